// RFC 7662 for our own JWT access tokens, which oidc-provider itself refuses to look at because it does not store them.
import { createLocalJWKSet, jwtVerify } from 'jose';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { findAccountById } from '../accounts/accounts.ts';
import { resource } from '../config.ts';
import type { Database } from '../storage/database.ts';
import type { SigningKey } from '../storage/signing-keys.ts';

/**
 * Replaces oidc-provider's refusal of a structured token by a real answer.
 * Checks: our signature, issuer, audience, typ, expiry, that the account may still sign in.
 * Does not check: the asking client (oidc-provider has authenticated it before it refused).
 */
export async function answerForJwt(
  ctx: KoaContextWithOIDC,
  deps: { readonly database: Database; readonly keys: readonly SigningKey[]; readonly issuer: string },
): Promise<void> {
  if (ctx.oidc.route !== 'introspection' || ctx.oidc.client === undefined) return;
  if ((ctx.body as { error?: string } | undefined)?.error !== 'unsupported_token_type') return;
  ctx.status = 200;
  ctx.body = (await activeClaims(String(ctx.oidc.params?.['token']), deps)) ?? { active: false };
}

async function activeClaims(
  presented: string,
  deps: { readonly database: Database; readonly keys: readonly SigningKey[]; readonly issuer: string },
): Promise<Record<string, unknown> | null> {
  const publicKeys = deps.keys.map(({ kty = 'RSA', n = '', e = '', kid, alg, use }) => ({
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
      issuer: deps.issuer,
      audience: resource,
      requiredClaims: ['exp', 'sub', 'client_id'],
    });
    if (payload['idtyp'] === 'user') {
      const account = await findAccountById(deps.database, String(payload.sub));
      if (account === null || account.disabled) return null;
    }
    return { active: true, token_type: 'Bearer', ...payload };
  } catch {
    return null; // RFC 7662 §2.2: whatever is wrong with it, it is not active.
  }
}
