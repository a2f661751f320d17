// Where oidc-provider keeps its records. Identifiers that a bearer presents are stored as hashes only, and whatever
// may happen once (consuming a code or refresh token, settling a device code) is one conditional statement.
import { createHash } from 'node:crypto';
import { errors, type Adapter, type AdapterPayload } from 'oidc-provider';
import { createEventLog, type EventLog } from '../revocation/event-log.ts';
import { revokeTokensOfGrant } from '../revocation/issued-tokens.ts';
import { nowInSeconds, type Database } from '../storage/database.ts';
import type { RecordsTable } from '../storage/schema.ts';

// A record found by something else than its identifier gets this handle instead, usable here but nowhere outside:
// no identifier that oidc-provider makes contains a colon, and the token endpoint refuses one that does.
const handlePrefix = 'stored:';

/** Whether a value presented from outside pretends to be an internal handle. */
export function isInternalHandle(value: string): boolean {
  return value.startsWith(handlePrefix);
}

/** Creates the adapter factory that oidc-provider calls once per model. */
export function recordAdapter(
  database: Database,
  events: EventLog = createEventLog(database),
): (model: string) => Adapter {
  return (model) => ({
    async upsert(id, payload, expiresIn) {
      const row = toRow(model, id, payload, expiresIn);
      const written = await database
        .insertInto('records')
        .values(row)
        .onConflict((conflict) =>
          conflict
            .columns(['model', 'id_hash'])
            .doUpdateSet(changeable(row))
            .where('records.settled', '=', 0),
        )
        .returning('id_hash')
        .execute();
      // RFC 8628 §3.3: a code that one person approved or denied is not changed by another.
      if (written.length !== 1) throw new errors.InvalidRequest('the code has already been used');
    },
    async consume(id) {
      const consumed = await database
        .updateTable('records')
        .set({ consumed_at: nowInSeconds() })
        .where('model', '=', model)
        .where('id_hash', '=', hashOf(id))
        .where('consumed_at', 'is', null)
        .returning('id_hash')
        .execute();
      // RFC 6749 §4.1.2: a code is used once; of several at the same moment exactly one wins.
      if (consumed.length !== 1) throw new errors.InvalidGrant('already consumed');
    },
    async find(id) {
      const row = await select(database, model).where('id_hash', '=', hashOf(id)).executeTakeFirst();
      return row === undefined ? undefined : fromRow(row, id);
    },
    async findByUserCode(userCode) {
      const row = await select(database, model).where('user_code', '=', userCode).executeTakeFirst();
      return row === undefined ? undefined : fromRow(row);
    },
    async findByUid(uid) {
      const row = await select(database, model).where('uid', '=', uid).executeTakeFirst();
      return row === undefined ? undefined : fromRow(row);
    },
    async destroy(id) {
      await database
        .deleteFrom('records')
        .where('model', '=', model)
        .where('id_hash', '=', hashOf(id))
        .execute();
    },
    async revokeByGrantId(grantId) {
      await database
        .deleteFrom('records')
        .where('model', '=', model)
        .where('grant_id', '=', grantId)
        .execute();
      // oidc-provider asks this of every model when a grant ends; our access tokens are no records.
      if (model === 'AccessToken') await revokeTokensOfGrant(events, grantId);
    },
  });
}

/** Deletes what has been over for an hour; until then a late caller learns that it expired. */
export async function purgeExpiredRecords(database: Database): Promise<void> {
  const now = nowInSeconds();
  await database
    .deleteFrom('records')
    .where('expires_at', '<', now - 3600)
    .execute();
  await database.deleteFrom('attempts').where('expires_at', '<', now).execute();
}

function select(database: Database, model: string) {
  return database
    .selectFrom('records')
    .select(['id_hash', 'payload', 'consumed_at'])
    .where('model', '=', model);
}

function hashOf(id: string): string {
  return isInternalHandle(id)
    ? id.slice(handlePrefix.length)
    : createHash('sha256').update(id).digest('base64url');
}

function toRow(
  model: string,
  id: string,
  payload: AdapterPayload,
  expiresIn: number | undefined,
): RecordsTable {
  // What a bearer presents is kept as a hash alone: the record's own id, and the session's cookie in an interaction.
  const session = payload.session === undefined ? undefined : { ...payload.session, cookie: undefined };
  return {
    model,
    id_hash: hashOf(id),
    payload: JSON.stringify({ ...payload, jti: undefined, session }),
    grant_id: payload.grantId ?? null,
    account_id: payload.accountId ?? null,
    user_code: payload.userCode ?? null,
    uid: payload.uid ?? null,
    settled:
      model === 'DeviceCode' && (payload.accountId !== undefined || payload.error !== undefined) ? 1 : 0,
    consumed_at: null,
    expires_at: expiresIn === undefined ? null : nowInSeconds() + expiresIn,
  };
}

/** The columns that a later save may change: neither the key nor that it was consumed. */
function changeable(row: RecordsTable): Partial<RecordsTable> {
  const { payload, grant_id, account_id, user_code, uid, settled, expires_at } = row;
  return { payload, grant_id, account_id, user_code, uid, settled, expires_at };
}

function fromRow(
  row: Pick<RecordsTable, 'id_hash' | 'payload' | 'consumed_at'>,
  id?: string,
): AdapterPayload {
  const payload = JSON.parse(row.payload) as AdapterPayload; // Written by toRow, by nobody else.
  // Whoever typed a code and went away must be able to type it again; settling is what happens once.
  delete payload.inFlight;
  return {
    ...payload,
    jti: id ?? `${handlePrefix}${row.id_hash}`,
    ...(row.consumed_at === null ? {} : { consumed: row.consumed_at }),
  };
}
