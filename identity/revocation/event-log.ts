// What gateways must learn at once, kept in order: revoked credentials, changed relations. An event is written in the
// same transaction as the change it tells of, so neither is ever there without the other.
import type { Transaction } from 'kysely';
import { nowInSeconds, type Database } from '../storage/database.ts';
import type { IdentityTables } from '../storage/schema.ts';

/** An event as the feed shows it. */
export type RevocationEvent =
  | { readonly type: 'revoked'; readonly credential: string; readonly at: number }
  /** Every credential of the subject that was issued at or before `at`. */
  | { readonly type: 'revoked_before'; readonly subject: string; readonly at: number }
  | { readonly type: 'relations_changed' };

/** An event with its place in the log. */
export interface LoggedEvent {
  readonly id: number;
  readonly event: RevocationEvent;
}

/** Adds an event to the transaction under way. */
export type Emit = (event: RevocationEvent) => void;

/** A change of the database together with the events that it makes. */
export type RecordedChange<T> = (transaction: Transaction<IdentityTables>, emit: Emit) => Promise<T>;

/** The log, and who waits for it. */
export interface EventLog {
  /** Runs a change and appends its events in one transaction; wakes the listeners of this process after the commit. */
  record<T>(change: RecordedChange<T>): Promise<T>;
  /** Id of the newest event; 0 when there never was one. */
  latest(): Promise<number>;
  /** The next events after an id, in order. */
  after(id: number, atMost: number): Promise<readonly LoggedEvent[]>;
  /** Calls back after each commit of this process; answers how to stop that. */
  onAppend(listener: () => void): () => void;
}

// Twice the longest lifetime that an access token can be given (access_token_ttl_s), so that a gateway which was away
// for a day still learns of every token that it could be shown.
const keepForSeconds = 2 * 86_400;
const counter = 'events';

/** Opens the log on a database. */
export function createEventLog(database: Database): EventLog {
  const listeners = new Set<() => void>();
  return {
    async record(change) {
      let count = 0;
      const result = await database.transaction().execute(async (transaction) => {
        await lockLog(transaction);
        const events: RevocationEvent[] = [];
        const changed = await change(transaction, (event) => events.push(event));
        count = events.length;
        await append(transaction, events);
        return changed;
      });
      if (count > 0) for (const listener of listeners) listener();
      return result;
    },
    async latest() {
      const row = await database
        .selectFrom('counters')
        .select('value')
        .where('name', '=', counter)
        .executeTakeFirst();
      return row?.value ?? 0;
    },
    async after(id, atMost) {
      const rows = await database
        .selectFrom('events')
        .selectAll()
        .where('id', '>', id)
        .orderBy('id')
        .limit(atMost)
        .execute();
      return rows.map((row) => ({ id: row.id, event: eventOf(row) }));
    },
    onAppend(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

/** Whether a credential was revoked by name, or with everything that its subject had at the time. */
export async function isRevoked(
  database: Database,
  credential: { readonly id: string | undefined; readonly subject: string; readonly issuedAt: number },
): Promise<boolean> {
  const found = await database
    .selectFrom('events')
    .select('id')
    .where((where) =>
      where.or([
        where.and([where('type', '=', 'revoked'), where('about', '=', credential.id ?? '')]),
        where.and([
          where('type', '=', 'revoked_before'),
          where('about', '=', credential.subject),
          where('at', '>=', credential.issuedAt),
        ]),
      ]),
    )
    .limit(1)
    .executeTakeFirst();
  return found !== undefined;
}

/** Deletes events that can concern no credential any more. */
export async function purgeEvents(database: Database): Promise<void> {
  await database
    .deleteFrom('events')
    .where('at', '<', nowInSeconds() - keepForSeconds)
    .execute();
}

// The row of the counter is held until the commit, so events become visible in the order of their ids and without
// gaps: a reader that has seen an id has seen every one before it. A write comes first in the transaction, since
// SQLite lets no reader of an old state become a writer.
async function lockLog(transaction: Transaction<IdentityTables>): Promise<void> {
  await transaction
    .insertInto('counters')
    .values({ name: counter, value: 0 })
    .onConflict((conflict) =>
      conflict.column('name').doUpdateSet((column) => ({ value: column.ref('counters.value') })),
    )
    .execute();
}

async function append(
  transaction: Transaction<IdentityTables>,
  events: readonly RevocationEvent[],
): Promise<void> {
  if (events.length === 0) return;
  const { value: last } = await transaction
    .updateTable('counters')
    .set((column) => ({ value: column('value', '+', events.length) }))
    .where('name', '=', counter)
    .returning('value')
    .executeTakeFirstOrThrow();
  const first = last - events.length + 1;
  const rows = events.map((event, index) => ({ id: first + index, ...columnsOf(event) }));
  // Both databases bound the parameters of one statement.
  for (let start = 0; start < rows.length; start += 500) {
    await transaction
      .insertInto('events')
      .values(rows.slice(start, start + 500))
      .execute();
  }
}

function columnsOf(event: RevocationEvent): { type: string; about: string; at: number } {
  switch (event.type) {
    case 'revoked':
      return { type: event.type, about: event.credential, at: event.at };
    case 'revoked_before':
      return { type: event.type, about: event.subject, at: event.at };
    case 'relations_changed':
      return { type: event.type, about: '', at: nowInSeconds() };
  }
}

function eventOf(row: { type: string; about: string; at: number }): RevocationEvent {
  switch (row.type) {
    case 'revoked':
      return { type: row.type, credential: row.about, at: row.at };
    case 'revoked_before':
      return { type: row.type, subject: row.about, at: row.at };
    case 'relations_changed':
      return { type: row.type };
    default:
      throw new Error(`there is no event type ${row.type}`); // Written above, by nobody else.
  }
}
