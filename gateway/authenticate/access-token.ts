// Takes an access token apart, strictly, before anything in it is believed: one spelling, one reading.
import { normalisedType, parseCompactJws, type CompactFault } from './compact-jws.ts';
import { invalidToken, type InvalidTokenReason } from './invalid-token.ts';

/** Longest access token that is looked at, characters. */
const maxAccessTokenLength = 16_384;

/** An access token in parts; nothing in it is verified. */
export interface UnverifiedAccessToken {
  readonly algorithm: string;
  readonly keyId: string;
  /** `typ` in lower case, without `application/`. */
  readonly type: string;
  readonly issuer: string;
  readonly claims: Readonly<Record<string, unknown>>;
  /** Not a JWT: its issuer was asked and answered with these claims, some of which RFC 7662 does not require. */
  readonly isIntrospected?: true;
}

// Each of these would change how the signature is checked or where its key comes from; x5t and x5t#S256 only name one.
const refusedHeaderParameters = ['crit', 'b64', 'jku', 'jwk', 'x5u', 'x5c', 'zip', 'enc'];

const reasons: Readonly<Record<CompactFault, InvalidTokenReason>> = {
  form: 'token_form',
  encoding: 'token_encoding',
  header_json: 'header_json',
  claims_json: 'claims_json',
};

/**
 * Parses a compact JWS.
 * Checks: size, three parts of canonical base64url, strict JSON objects (UTF-8, no duplicate members, no `__proto__`,
 * depth), no header parameter that refers to a key or changes processing, not nested; alg, kid, typ and iss are text.
 * Does not check: that anything of it is true or accepted (verify-access-token.ts).
 * @throws GatewayError `invalid_token`
 */
export function parseAccessToken(accessToken: string): UnverifiedAccessToken {
  if (accessToken.length > maxAccessTokenLength) throw invalidToken('token_size');
  const { header, readClaims } = parseCompactJws(accessToken, (fault, cause) =>
    invalidToken(reasons[fault], cause),
  );
  checkHeader(header);
  const claims = readClaims();
  deepFrozen(claims);
  return {
    algorithm: textOf(header['alg'], 'alg'),
    keyId: textOf(header['kid'], 'kid'),
    type: normalisedType(textOf(header['typ'], 'typ')),
    issuer: textOf(claims['iss'], 'iss'),
    claims,
  };
}

function checkHeader(header: Readonly<Record<string, unknown>>): void {
  // RFC 7515 §4.1.11: an extension that is not understood makes the JWS invalid; we understand none.
  // RFC 8725 §3.10: keys and key addresses in the token are never followed.
  if (refusedHeaderParameters.some((name) => Object.hasOwn(header, name)))
    throw invalidToken('header_parameter');
  // RFC 8725 §3.3: nesting is refused, since only the outer signature would be verified.
  if (Object.hasOwn(header, 'cty')) throw invalidToken('header_parameter');
}

function textOf(value: unknown, reason: 'alg' | 'kid' | 'typ' | 'iss'): string {
  if (typeof value !== 'string' || value === '') throw invalidToken(reason);
  return value;
}

function deepFrozen(value: object): void {
  for (const item of Object.values(value) as unknown[]) {
    if (typeof item === 'object' && item !== null) deepFrozen(item);
  }
  Object.freeze(value);
}
