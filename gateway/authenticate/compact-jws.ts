// Takes a compact JWS apart, strictly, before anything in it is believed: one spelling, one reading. Access tokens and
// DPoP proofs share it; each says what a fault is called.
import type { GatewayError } from '../../core/errors.ts';
import { parseStrictObject } from '../../core/strict-json.ts';

/** What can be wrong with the form. */
export type CompactFault = 'form' | 'encoding' | 'header_json' | 'claims_json';

/** Header and claims; nothing in them is verified. */
export interface UnverifiedJws {
  readonly header: Readonly<Record<string, unknown>>;
  /** Reads the claims; apart, so that the header is judged before they are looked at. */
  readonly readClaims: () => Readonly<Record<string, unknown>>;
}

/** Media types compare case-insensitively and may leave out `application/` (RFC 7515 §4.1.9). */
export function normalisedType(type: string): string {
  return type.toLowerCase().replace(/^application\//, '');
}

/**
 * Checks: three parts of canonical base64url, strict JSON objects (UTF-8, no duplicate members, no `__proto__`, depth).
 * Does not check: size, any member, the signature.
 * @throws what `refuse` makes of the fault, at once or when the claims are read
 */
export function parseCompactJws(
  text: string,
  refuse: (fault: CompactFault, cause?: unknown) => GatewayError,
): UnverifiedJws {
  if (!compactForm.test(text)) throw refuse('form');
  const [first, last] = [text.indexOf('.'), text.lastIndexOf('.')];
  const [header, claims] = [text.slice(0, first), text.slice(first + 1, last)];
  // RFC 7515 §2: base64url without padding. Spare bits must be zero, else one signature would have many spellings.
  if (!hasOneSpelling(header) || !hasOneSpelling(claims) || !hasOneSpelling(text.slice(last + 1)))
    throw refuse('encoding');
  return {
    header: headers.get(header) ?? kept(header, objectIn(header, 'header_json', refuse)),
    readClaims: () => objectIn(claims, 'claims_json', refuse),
  };
}

// RFC 8725 §3.1: only the compact JWS form is accepted, so no five-part JWE, JSON serialization or empty signature.
const compactForm = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

function objectIn(
  part: string,
  fault: CompactFault,
  refuse: (fault: CompactFault, cause?: unknown) => GatewayError,
): Record<string, unknown> {
  try {
    return parseStrictObject(Buffer.from(part, 'base64url'));
  } catch (error) {
    throw refuse(fault, error);
  }
}

/** Headers by their text: all tokens of one key of an issuer have the same. */
const headers = new Map<string, Readonly<Record<string, unknown>>>();
const mostHeaders = 64;
const longestHeader = 256;

function kept(text: string, header: Record<string, unknown>): Readonly<Record<string, unknown>> {
  Object.freeze(header);
  if (text.length > longestHeader) return header;
  if (headers.size >= mostHeaders) headers.clear();
  // A copy: a part of a token keeps all of it.
  headers.set(Buffer.from(text, 'latin1').toString('latin1'), header);
  return header;
}

// By the last character, instead of encoding the bytes once more: after a multiple of four it stands for six bits; after
// two more its lower four are spare, after three its lower two. One more stands for nothing.
function hasOneSpelling(part = ''): boolean {
  const last = part.slice(-1);
  switch (part.length % 4) {
    case 0:
      return true;
    case 2:
      return 'AQgw'.includes(last);
    case 3:
      return 'AEIMQUYcgkosw048'.includes(last);
    default:
      return false;
  }
}
