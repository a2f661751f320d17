// The keys that sign access and ID tokens: RS256, made off the event loop, private part in the database only.
// The newest key signs; older ones stay published until the last token they signed has expired.
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';
import { nowInSeconds, type Database } from './database.ts';

/** A private key as the OpenID provider takes it. */
export type SigningKey = JWK & { readonly kid: string; readonly alg: 'RS256'; readonly use: 'sig' };

/** Keys in force, the signing one first; makes the first one when there is none. */
export async function loadSigningKeys(
  database: Database,
  keepForSeconds: number,
): Promise<readonly SigningKey[]> {
  const keys = await readKeys(database, keepForSeconds);
  if (keys.length > 0) return keys;
  await insertKey(database);
  // Read back: of two processes that start together both make one, and both agree on the order.
  return readKeys(database, keepForSeconds);
}

/** Makes a new signing key and retires the ones before it; forgets those whose last token has expired. */
export async function rotateSigningKeys(
  database: Database,
  keepForSeconds: number,
): Promise<readonly SigningKey[]> {
  const kid = await insertKey(database);
  const now = nowInSeconds();
  await database
    .updateTable('signing_keys')
    .set({ retired_at: now })
    .where('kid', '!=', kid)
    .where('retired_at', 'is', null)
    .execute();
  await database
    .deleteFrom('signing_keys')
    .where('retired_at', '<=', now - keepForSeconds)
    .execute();
  return readKeys(database, keepForSeconds);
}

/** Seconds since the signing key was made. */
export async function signingKeyAgeSeconds(database: Database): Promise<number> {
  const row = await database
    .selectFrom('signing_keys')
    .select('created_at')
    .where('retired_at', 'is', null)
    .orderBy('created_at', 'desc')
    .executeTakeFirst();
  return row === undefined ? 0 : nowInSeconds() - row.created_at;
}

async function readKeys(database: Database, keepForSeconds: number): Promise<SigningKey[]> {
  const rows = await database
    .selectFrom('signing_keys')
    .select('jwk')
    .where((where) =>
      where.or([where('retired_at', 'is', null), where('retired_at', '>', nowInSeconds() - keepForSeconds)]),
    )
    .orderBy((order) => order.case().when('retired_at', 'is', null).then(0).else(1).end())
    .orderBy('created_at', 'desc')
    .orderBy('kid')
    .execute();
  return rows.map((row) => JSON.parse(row.jwk) as SigningKey); // Written below, by nobody else.
}

async function insertKey(database: Database): Promise<string> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true, modulusLength: 2048 });
  const jwk = await exportJWK(privateKey);
  const kid = await calculateJwkThumbprint(jwk);
  const key: SigningKey = { ...jwk, kid, alg: 'RS256', use: 'sig' };
  await database
    .insertInto('signing_keys')
    .values({ kid, jwk: JSON.stringify(key), created_at: nowInSeconds(), retired_at: null })
    .execute();
  return kid;
}
