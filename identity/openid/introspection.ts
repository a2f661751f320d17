// RFC 7662 and RFC 7009 for our own JWT access tokens, which oidc-provider itself refuses to look at because it does
// not store them.
import { createLocalJWKSet, jwtVerify, type JWTPayload } from 'jose';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { findAccountById } from '../accounts/accounts.ts';
import { resource } from '../config.ts';
import { isRevoked, type EventLog } from '../revocation/event-log.ts';
import { nowInSeconds } from '../storage/database.ts';
import type { Database } from '../storage/database.ts';
import type { SigningKey } from '../storage/signing-keys.ts';

/** What our access tokens are judged by. */
export interface AccessTokenJudge {
  readonly database: Database;
  readonly keys: readonly SigningKey[];
  readonly issuer: string;
}

/**
 * Replaces oidc-provider's refusal of a structured token by a real answer.
 * Checks: what `activeAccessToken` checks; before a revocation, that the token was issued to the asking client.
 * Does not check: the asking client (oidc-provider has authenticated it before it refused).
 */
export async function answerForJwt(
  ctx: KoaContextWithOIDC,
  deps: AccessTokenJudge & { readonly events: EventLog },
): Promise<void> {
  const { route, client } = ctx.oidc;
  if ((route !== 'introspection' && route !== 'revocation') || client === undefined) return;
  if ((ctx.body as { error?: string } | undefined)?.error !== 'unsupported_token_type') return;
  const presented = String(ctx.oidc.params?.['token']);
  ctx.status = 200;
  if (route === 'introspection') {
    ctx.body = (await activeAccessToken(presented, deps)) ?? { active: false };
    return;
  }
  await revokeJwt(presented, client.clientId, deps);
  // RFC 7009 §2.2: a token that was not good before is answered like one that is not any more.
  ctx.body = '';
}

async function revokeJwt(
  presented: string,
  clientId: string,
  deps: AccessTokenJudge & { readonly events: EventLog },
): Promise<void> {
  const payload = await verified(presented, deps);
  // RFC 7009 §2.1: the token was issued to the client that asks.
  if (payload?.jti === undefined || payload['client_id'] !== clientId) return;
  const { jti: credential, sub: subject = '', iat: issuedAt = 0 } = payload;
  // What is revoked already makes no further event, however often it is asked for.
  if (await isRevoked(deps.database, { id: credential, subject, issuedAt })) return;
  await deps.events.record((_transaction, emit) => {
    emit({ type: 'revoked', credential, at: nowInSeconds() });
    return Promise.resolve();
  });
}

/**
 * Claims of an access token of ours that is good, in the shape of RFC 7662; else null.
 * Checks: our signature, issuer, audience, typ, expiry, revocation, that the account may still sign in.
 * Does not check: a key or certificate that the token is bound to (whoever accepts it does).
 */
export async function activeAccessToken(
  presented: string,
  judge: AccessTokenJudge,
): Promise<Record<string, unknown> | null> {
  const payload = await verified(presented, judge);
  if (payload === null) return null; // RFC 7662 §2.2: whatever is wrong with it, it is not active.
  const subject = String(payload.sub);
  if (await isRevoked(judge.database, { id: payload.jti, subject, issuedAt: payload.iat ?? 0 })) return null;
  if (payload['idtyp'] === 'user') {
    const account = await findAccountById(judge.database, subject);
    if (account === null || account.disabled) return null;
  }
  return { ...payload, active: true, token_type: 'Bearer' };
}

async function verified(presented: string, judge: AccessTokenJudge): Promise<JWTPayload | null> {
  const publicKeys = judge.keys.map(({ kty = 'RSA', n = '', e = '', kid, alg, use }) => ({
    kty,
    n,
    e,
    kid,
    alg,
    use,
  }));
  try {
    const { payload } = await jwtVerify(presented, createLocalJWKSet({ keys: publicKeys }), {
      algorithms: ['RS256'],
      typ: 'at+jwt',
      issuer: judge.issuer,
      audience: resource,
      requiredClaims: ['exp', 'sub', 'client_id'],
    });
    return payload;
  } catch {
    return null;
  }
}
