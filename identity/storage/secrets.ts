// Random secrets that must survive a restart: cookie signatures and form protection.
import { randomBytes } from 'node:crypto';
import { nowInSeconds, type Database } from './database.ts';

/** Reads the named secret, created on first use; two processes that start together agree on one value. */
export async function persistentSecret(database: Database, name: string): Promise<string> {
  await database
    .insertInto('secrets')
    .values({ name, value: randomBytes(32).toString('base64url'), created_at: nowInSeconds() })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .execute();
  const row = await database
    .selectFrom('secrets')
    .select('value')
    .where('name', '=', name)
    .executeTakeFirstOrThrow();
  return row.value;
}
