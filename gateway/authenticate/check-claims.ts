// Every rule on the claims of an access token whose signature is good. Where `aud` is compared.
import type { UnverifiedAccessToken } from './access-token.ts';
import { isIdentifier, optionalText, type Claims } from './claim-values.ts';
import { checkEntra } from './entra-claims.ts';
import { invalidToken } from './invalid-token.ts';
import type { IssuerRules } from './issuer-rules.ts';

/** Claims that mark some other kind of JWT: ID tokens and logout tokens. */
const foreignClaims = ['at_hash', 'c_hash', 's_hash', 'events'];

/**
 * Checks: type against other kinds of JWT, exp, nbf and iat with the skew, aud, client, whether this client may use this
 * audience, RFC 9068's required claims, Entra's own (entra-claims.ts).
 * Does not check: signature, iss and typ (verify-access-token.ts), required claims of the policy (required-claims.ts),
 * cnf (binding.ts).
 * @returns the client id, or null where the policy accepts any client and the token names none
 * @throws GatewayError `invalid_token`
 */
export function checkClaims(
  accessToken: UnverifiedAccessToken,
  rules: IssuerRules,
  nowSeconds: number,
): string | null {
  const { claims } = accessToken;
  checkKind(claims);
  // RFC 7662 §2.2: an issuer that is asked need not say when a credential expires; it is asked again soon.
  const mayLackExp = accessToken.isIntrospected === true && claims['exp'] === undefined;
  checkTimes(
    mayLackExp ? { ...claims, exp: Number.POSITIVE_INFINITY } : claims,
    rules.clockSkewSeconds,
    nowSeconds,
  );
  checkAudience(claims, rules.audiences);
  const clientId = clientIdOf(claims);
  // An Entra token names its client in the claim of its version; any policy with listed clients needs one.
  if (clientId === null ? rules.clientIds !== null : rules.clientIds?.has(clientId) === false)
    throw invalidToken('client_id');
  const ownAudiences = clientId === null ? undefined : rules.clientAudiences.get(clientId);
  if (ownAudiences !== undefined) checkAudience(claims, ownAudiences, 'client_audience');
  if (accessToken.type === 'at+jwt') checkRfc9068(claims);
  if (rules.entra !== null) checkEntra(claims, rules.entra);
  return clientId;
}

// RFC 8725 §3.12: kinds of JWT exclude each other. `typ: JWT` says little, so other kinds are known by their claims.
function checkKind(claims: Claims): void {
  if (foreignClaims.some((name) => Object.hasOwn(claims, name))) throw invalidToken('not_an_access_token');
  // Keycloak's, Cognito's and Hydra's own markers.
  const { typ: kind, token_use: use } = claims;
  if (kind !== undefined && kind !== 'Bearer' && kind !== 'at+jwt' && kind !== 'JWT')
    throw invalidToken('not_an_access_token');
  if (use !== undefined && use !== 'access' && use !== 'access_token')
    throw invalidToken('not_an_access_token');
}

function checkTimes(claims: Claims, skewSeconds: number, nowSeconds: number): void {
  const { exp, nbf, iat } = claims;
  // RFC 7519 §4.1.4: on or after exp the token is not accepted, but for the skew. NaN and text compare as refused.
  if (typeof exp !== 'number' || !(nowSeconds < exp + skewSeconds)) throw invalidToken('exp');
  // RFC 7519 §4.1.5: before nbf the token is not accepted, but for the skew.
  if (nbf !== undefined && (typeof nbf !== 'number' || !(nowSeconds >= nbf - skewSeconds)))
    throw invalidToken('nbf');
  // A token from the future means that a clock is wrong or that somebody prepares tokens.
  if (iat !== undefined && (typeof iat !== 'number' || !(nowSeconds >= iat - skewSeconds)))
    throw invalidToken('iat');
}

// RFC 7519 §4.1.3: the token is refused unless it names us. Compared as exact text.
function checkAudience(
  claims: Claims,
  accepted: ReadonlySet<string> | null,
  reason: 'aud' | 'client_audience' = 'aud',
): void {
  const { aud } = claims;
  const named: unknown[] = Array.isArray(aud) ? aud : [aud];
  if (!named.every((audience) => typeof audience === 'string')) throw invalidToken('aud');
  if (accepted !== null && !named.some((audience) => accepted.has(audience))) throw invalidToken(reason);
}

// OIDC says azp, Entra v1.0 appid, RFC 9068 client_id. Two that disagree would let one stand in for the other.
function clientIdOf(claims: Claims): string | null {
  const named = new Set<string>();
  for (const name of ['azp', 'appid', 'client_id']) {
    const clientId = optionalText(claims, name, 'client_id');
    if (clientId !== null) named.add(clientId);
  }
  if (named.size > 1) throw invalidToken('client_id_conflict');
  const [clientId = null] = named;
  return clientId;
}

// RFC 9068 §2.2: iss, exp, aud, sub, client_id, iat and jti are required.
function checkRfc9068(claims: Claims): void {
  if (optionalText(claims, 'client_id', 'client_id') === null) throw invalidToken('client_id');
  if (claims['iat'] === undefined) throw invalidToken('iat');
  if (!isIdentifier(claims['sub'])) throw invalidToken('sub');
  if (optionalText(claims, 'jti', 'jti') === null) throw invalidToken('jti');
}
