// What an issuer's answer about a credential must say (RFC 7662 §2.2). Nothing of it is believed beyond that: the same
// rules as for the claims of a JWT, none of them because the issuer says `active`.
import { GatewayError } from '../../../core/errors.ts';
import type { Principal } from '../../principal.ts';
import type { Claims } from '../claim-values.ts';
import { invalidToken } from '../invalid-token.ts';
import type { IssuerRules } from '../issuer-rules.ts';
import { judgeClaims } from '../judge-claims.ts';

/** `token_type` of what may be used as a credential here; others are refresh tokens and the like. */
const acceptedTypes = new Set(['bearer', 'dpop', 'api_key', 'access_token']);

/**
 * The principal of an answer.
 * Checks: `active` is true; iss, if there, is the issuer that was asked; token_type, if there, is one of a credential; exp,
 * if there, and everything else as in the claims of a JWT (judge-claims.ts); token_type DPoP comes with a key.
 * Does not check: that the caller holds what the credential is bound to (sender-constraint.ts), revocation.
 * @throws GatewayError `invalid_token`, `insufficient_scope`; `issuer_unavailable` when the answer is not one
 */
export function judgeIntrospection(
  answer: Readonly<Record<string, unknown>>,
  rules: IssuerRules,
  nowSeconds: number,
): Principal {
  const { active, ...members } = answer;
  // RFC 7662 §2.2: active is a boolean and required. Text such as "false" is no answer, least of all a yes.
  if (typeof active !== 'boolean')
    throw new GatewayError('issuer_unavailable', { reason: 'introspection_active' });
  if (!active) throw invalidToken('inactive');
  // An answer about another issuer's credential is not for us to believe.
  if (members['iss'] !== undefined && members['iss'] !== rules.issuer) throw invalidToken('iss');
  const kind = kindOf(members['token_type']);
  // RFC 7662 §2.2: scope is a text separated by blanks; policies written for Entra's `scp` read it too.
  const scopes =
    members['scp'] === undefined && members['scope'] !== undefined ? { scp: members['scope'] } : {};
  const claims: Claims = deepFrozen({ ...members, ...scopes, iss: rules.issuer });
  const principal = judgeClaims(
    { algorithm: '', keyId: '', type: '', issuer: rules.issuer, claims, isIntrospected: true },
    rules,
    nowSeconds,
  );
  if (kind === 'dpop' && principal.binding?.jkt == null) throw invalidToken('unbound');
  return Object.freeze({
    ...principal,
    credential: {
      ...principal.credential,
      kind: kind === 'api_key' ? ('api_key' as const) : principal.credential.kind,
    },
    // Without exp it lives until the issuer says otherwise: it is asked again and again.
    expiresAt: claims['exp'] === undefined ? Number.POSITIVE_INFINITY : principal.expiresAt,
  });
}

function kindOf(tokenType: unknown): string | null {
  if (tokenType === undefined) return null;
  // RFC 6749 §7.1: token types compare without regard to case.
  const kind = typeof tokenType === 'string' ? tokenType.toLowerCase() : '';
  if (!acceptedTypes.has(kind)) throw invalidToken('not_an_access_token');
  return kind;
}

function deepFrozen<T extends object>(value: T): T {
  for (const item of Object.values(value) as unknown[]) {
    if (typeof item === 'object' && item !== null) deepFrozen(item);
  }
  return Object.freeze(value);
}
