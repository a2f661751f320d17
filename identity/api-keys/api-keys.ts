// API keys: the only statements that touch their table. A key belongs to an account, carries at most the roles that
// the account has at the moment of use, and always expires.
import type { Account } from '../accounts/accounts.ts';
import { findAccountById } from '../accounts/accounts.ts';
import type { EventLog } from '../revocation/event-log.ts';
import { nowInSeconds, type Database } from '../storage/database.ts';
import type { ApiKeysTable } from '../storage/schema.ts';
import { generateApiKey, isApiKeyId, parseApiKey, secretMatches, hashSecret } from './api-key.ts';

/** A key without its secret. */
export interface ApiKey {
  readonly id: string;
  /** Id of the account. */
  readonly owner: string;
  readonly name: string;
  readonly roles: readonly string[];
  readonly createdAt: number;
  readonly expiresAt: number;
  /** To within ten minutes. */
  readonly lastUsedAt: number | null;
  readonly revokedAt: number | null;
}

/** What a new key shall be. */
export interface WantedApiKey {
  readonly owner: string;
  readonly name: string;
  readonly roles: readonly string[];
  readonly lifetimeSeconds: number;
  /** Keys that one account may have at a time. */
  readonly atMost: number;
}

/** A key that is good, with the account behind it as it is now. */
export interface UsedApiKey {
  readonly key: ApiKey;
  readonly owner: Account;
  /** Roles of the key that the owner still has. */
  readonly roles: readonly string[];
}

// Coarse, so that a busy key costs no write per use.
const lastUsedStepSeconds = 600;

/**
 * Makes a key; its text is answered here and never again.
 * Checks: the owner exists and is not disabled, the number of his keys.
 * Does not check: the name, the roles and the lifetime (the caller does).
 */
export async function insertApiKey(
  database: Database,
  wanted: WantedApiKey,
): Promise<{ key: ApiKey; text: string } | 'no-owner' | 'too-many'> {
  const fresh = generateApiKey();
  const now = nowInSeconds();
  const row: ApiKeysTable = {
    id: fresh.id,
    owner: wanted.owner,
    secret_hash: hashSecret(fresh.secret),
    name: wanted.name,
    roles: JSON.stringify(wanted.roles),
    created_at: now,
    expires_at: now + wanted.lifetimeSeconds,
    last_used_at: null,
    revoked_at: null,
  };
  return database.transaction().execute(async (transaction) => {
    // Holds the owner's row: neither disabling him nor a second key at the same moment slips in between.
    const owners = await transaction
      .updateTable('accounts')
      .set((column) => ({ disabled: column.ref('disabled') }))
      .where('id', '=', wanted.owner)
      .where('disabled', '=', 0)
      .returning('id')
      .execute();
    if (owners.length !== 1) return 'no-owner';
    const { count } = await transaction
      .selectFrom('api_keys')
      .select((column) => column.fn.countAll<number>().as('count'))
      .where('owner', '=', wanted.owner)
      .where('revoked_at', 'is', null)
      .where('expires_at', '>', now)
      .executeTakeFirstOrThrow();
    if (count >= wanted.atMost) return 'too-many';
    await transaction.insertInto('api_keys').values(row).execute();
    return { key: toApiKey(row), text: fresh.text };
  });
}

/** Keys of one account, or of all, newest first; revoked and expired ones too, until they are forgotten. */
export async function listApiKeys(database: Database, owner: string | null): Promise<readonly ApiKey[]> {
  let query = database.selectFrom('api_keys').selectAll().orderBy('created_at', 'desc').orderBy('id');
  if (owner !== null) query = query.where('owner', '=', owner);
  return (await query.execute()).map(toApiKey);
}

/** Revokes a key and tells the gateways; null when there is none that can be revoked, or it is another owner's. */
export async function revokeApiKey(
  events: EventLog,
  id: string,
  owner: string | null,
): Promise<ApiKey | null> {
  if (!isApiKeyId(id)) return null;
  return events.record(async (transaction, emit) => {
    const now = nowInSeconds();
    let update = transaction
      .updateTable('api_keys')
      .set({ revoked_at: now })
      .where('id', '=', id)
      .where('revoked_at', 'is', null);
    if (owner !== null) update = update.where('owner', '=', owner);
    const row = await update.returningAll().executeTakeFirst();
    if (row === undefined) return null;
    emit({ type: 'revoked', credential: id, at: now });
    return toApiKey(row);
  });
}

/**
 * Judges a presented key.
 * Checks: shape, secret in constant time (with the same work for an unknown id), revocation, expiry, the owner exists
 * and is not disabled; roles are cut down to those the owner still has.
 * Does not check: what the roles permit (the gateway does).
 */
export async function judgeApiKey(database: Database, presented: string): Promise<UsedApiKey | null> {
  const parts = parseApiKey(presented);
  if (parts === null) return null;
  const row = await database.selectFrom('api_keys').selectAll().where('id', '=', parts.id).executeTakeFirst();
  const matches = secretMatches(parts.secret, row?.secret_hash ?? null);
  const now = nowInSeconds();
  if (row === undefined || !matches || row.revoked_at !== null || row.expires_at <= now) return null;
  const owner = await findAccountById(database, row.owner);
  if (owner === null || owner.disabled) return null;
  await noteUse(database, row, now);
  const key = toApiKey(row);
  return { key, owner, roles: key.roles.filter((role) => owner.roles.includes(role)) };
}

/** Forgets keys that have been over for 30 days. */
export async function purgeApiKeys(database: Database): Promise<void> {
  const longAgo = nowInSeconds() - 30 * 86_400;
  await database
    .deleteFrom('api_keys')
    .where((where) => where.or([where('expires_at', '<', longAgo), where('revoked_at', '<', longAgo)]))
    .execute();
}

async function noteUse(database: Database, row: ApiKeysTable, now: number): Promise<void> {
  if (row.last_used_at !== null && row.last_used_at > now - lastUsedStepSeconds) return;
  await database.updateTable('api_keys').set({ last_used_at: now }).where('id', '=', row.id).execute();
}

function toApiKey(row: ApiKeysTable): ApiKey {
  return {
    id: row.id,
    owner: row.owner,
    name: row.name,
    roles: JSON.parse(row.roles) as string[], // Written above, by nobody else.
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
    revokedAt: row.revoked_at,
  };
}
