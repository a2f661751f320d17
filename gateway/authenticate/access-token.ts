// Takes an access token apart, strictly, before anything in it is believed: one spelling, one reading.
import { parseStrictObject } from '../../core/strict-json.ts';
import { invalidToken } from './invalid-token.ts';

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
}

// Each of these would change how the signature is checked or where its key comes from; x5t and x5t#S256 only name one.
const refusedHeaderParameters = ['crit', 'b64', 'jku', 'jwk', 'x5u', 'x5c', 'zip', 'enc'];

/**
 * Parses a compact JWS.
 * Checks: size, three parts of canonical base64url, strict JSON objects (UTF-8, no duplicate members, no `__proto__`,
 * depth), no header parameter that refers to a key or changes processing, not nested; alg, kid, typ and iss are text.
 * Does not check: that anything of it is true or accepted (verify-access-token.ts).
 * @throws GatewayError `invalid_token`
 */
export function parseAccessToken(accessToken: string): UnverifiedAccessToken {
  if (accessToken.length > maxAccessTokenLength) throw invalidToken('token_size');
  // RFC 8725 §3.1: only the compact JWS form is accepted, so no five-part JWE, JSON serialization or empty signature.
  const parts = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/.exec(accessToken);
  if (parts === null) throw invalidToken('token_form');
  const [headerBytes, claimsBytes] = [decoded(parts[1]), decoded(parts[2])];
  decoded(parts[3]);
  const header = objectFrom(headerBytes, 'header_json');
  checkHeader(header);
  const claims = deepFrozen(objectFrom(claimsBytes, 'claims_json'));
  return {
    algorithm: textOf(header['alg'], 'alg'),
    keyId: textOf(header['kid'], 'kid'),
    type: normalisedType(textOf(header['typ'], 'typ')),
    issuer: textOf(claims['iss'], 'iss'),
    claims,
  };
}

/** RFC 7515 §4.1.9: media types compare case-insensitively and may leave out `application/`. */
export function normalisedType(type: string): string {
  return type.toLowerCase().replace(/^application\//, '');
}

// RFC 7515 §2: base64url without padding. Spare bits must be zero, else one signature would have many spellings.
function decoded(part = ''): Buffer {
  const bytes = Buffer.from(part, 'base64url');
  if (bytes.toString('base64url') !== part) throw invalidToken('token_encoding');
  return bytes;
}

function objectFrom(bytes: Buffer, reason: 'header_json' | 'claims_json'): Record<string, unknown> {
  try {
    return parseStrictObject(bytes);
  } catch (error) {
    throw invalidToken(reason, error);
  }
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

function deepFrozen<T extends object>(value: T): T {
  for (const item of Object.values(value) as unknown[]) {
    if (typeof item === 'object' && item !== null) deepFrozen(item);
  }
  return Object.freeze(value);
}
