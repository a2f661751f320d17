// Remembers which JWT access tokens came from which grant: they are not stored, so when their grant ends (sign-out,
// reuse of a refresh token, a code presented twice) this is how they can be named to the gateways.
import { nowInSeconds, type Database } from '../storage/database.ts';
import type { EventLog } from './event-log.ts';

/** An access token as it is issued. */
export interface IssuedToken {
  readonly jti: string;
  readonly grantId: string;
  /** Seconds from now. */
  readonly expiresIn: number;
}

/** Notes an access token before it is handed out. */
export async function noteIssuedToken(database: Database, issued: IssuedToken): Promise<void> {
  await database
    .insertInto('issued_tokens')
    .values({
      jti: issued.jti,
      grant_id: issued.grantId,
      expires_at: nowInSeconds() + issued.expiresIn,
    })
    .execute();
}

/** Revokes every access token of a grant that may still be good. */
export async function revokeTokensOfGrant(events: EventLog, grantId: string): Promise<void> {
  await events.record(async (transaction, emit) => {
    const ended = await transaction
      .deleteFrom('issued_tokens')
      .where('grant_id', '=', grantId)
      .returning(['jti', 'expires_at'])
      .execute();
    const at = nowInSeconds();
    // RFC 7009 §2.1: with a refresh token, the access tokens of the same grant are invalidated too.
    for (const { jti } of ended) emit({ type: 'revoked', credential: jti, at });
  });
}

/** Forgets tokens that have expired, an hour later so that every clock agrees. */
export async function purgeIssuedTokens(database: Database): Promise<void> {
  await database
    .deleteFrom('issued_tokens')
    .where('expires_at', '<', nowInSeconds() - 3600)
    .execute();
}
