// Relations between people, teams and models: the only statements that touch their table. Gateways read them whole and
// are told of each change.
import { createHash } from 'node:crypto';
import type { EventLog } from '../revocation/event-log.ts';
import { nowInSeconds, type Database } from '../storage/database.ts';
import { formatTuple, type RelationTuple } from './tuple.ts';

/** How many relations one change may add or remove. */
export const relationsPerChange = 1000;

/** Adds and removes relations in one step; answers how many were new and how many were there. */
export async function changeRelations(
  events: EventLog,
  change: { readonly add: readonly RelationTuple[]; readonly remove: readonly RelationTuple[] },
): Promise<{ readonly added: number; readonly removed: number }> {
  return events.record(async (transaction, emit) => {
    let [added, removed] = [0, 0];
    for (const tuple of change.remove) {
      const gone = await transaction
        .deleteFrom('relations')
        .where('object', '=', tuple.object)
        .where('relation', '=', tuple.relation)
        .where('subject', '=', tuple.subject)
        .returning('object')
        .execute();
      removed += gone.length;
    }
    for (const { object, relation, subject } of change.add) {
      const fresh = await transaction
        .insertInto('relations')
        .values({ object, relation, subject, created_at: nowInSeconds() })
        .onConflict((conflict) => conflict.columns(['object', 'relation', 'subject']).doNothing())
        .returning('object')
        .execute();
      added += fresh.length;
    }
    if (added + removed > 0) emit({ type: 'relations_changed' });
    return { added, removed };
  });
}

/** All relations as text, sorted. */
export async function listRelations(database: Database): Promise<readonly string[]> {
  const rows = await database.selectFrom('relations').select(['object', 'relation', 'subject']).execute();
  // Sorted here: the two databases order text differently.
  return rows.map(formatTuple).sort();
}

/** What gateways read, with a tag that changes exactly when it does. */
export async function relationsDocument(database: Database): Promise<{ etag: string; body: string }> {
  const body = JSON.stringify({ tuples: await listRelations(database) });
  return { etag: `"${createHash('sha256').update(body).digest('base64url')}"`, body };
}
