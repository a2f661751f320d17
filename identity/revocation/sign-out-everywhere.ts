// Ends everything that an account has: browser sessions, refresh tokens, codes, grants, API keys, and by an event the
// access tokens that gateways would take until they expire.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Transaction } from 'kysely';
import { nowInSeconds } from '../storage/database.ts';
import type { IdentityTables } from '../storage/schema.ts';
import type { Emit } from './event-log.ts';

/**
 * Ends every sign-in and API key of an account, inside the transaction that has a reason to.
 * @returns the second up to which credentials of the account are refused; issue none before it has passed
 */
export async function endAllCredentials(
  transaction: Transaction<IdentityTables>,
  emit: Emit,
  accountId: string,
): Promise<number> {
  await transaction
    .deleteFrom('records')
    .where('account_id', '=', accountId)
    // Without its grant, what another request is issuing at this moment is worth nothing afterwards.
    .where('model', 'in', ['Session', 'RefreshToken', 'AuthorizationCode', 'AccessToken', 'Grant'])
    .execute();
  await denyDeviceCodes(transaction, accountId);
  const now = nowInSeconds();
  const keys = await transaction
    .updateTable('api_keys')
    .set({ revoked_at: now })
    .where('owner', '=', accountId)
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', now)
    .returning('id')
    .execute();
  // One second on: a token that is being issued right now has a time that is not yet over.
  const at = nowInSeconds() + 1;
  emit({ type: 'revoked_before', subject: accountId, at });
  for (const { id } of keys) emit({ type: 'revoked', credential: id, at: now });
  return at;
}

/** Waits until credentials issued from now on are later than those that were ended. */
export async function untilAfter(second: number): Promise<void> {
  while (nowInSeconds() <= second) await sleep((second + 1) * 1000 - Date.now() + 1);
}

// A device that was approved before and asks afterwards learns access_denied, instead of that there was no such code.
async function denyDeviceCodes(transaction: Transaction<IdentityTables>, accountId: string): Promise<void> {
  const codes = await transaction
    .selectFrom('records')
    .select(['model', 'id_hash', 'payload'])
    .where('model', '=', 'DeviceCode')
    .where('account_id', '=', accountId)
    .execute();
  for (const { model, id_hash, payload } of codes) {
    const denied = { ...(JSON.parse(payload) as object), error: 'access_denied' }; // Written by the adapter.
    await transaction
      .updateTable('records')
      .set({ payload: JSON.stringify(denied) })
      .where('model', '=', model)
      .where('id_hash', '=', id_hash)
      .execute();
  }
}
