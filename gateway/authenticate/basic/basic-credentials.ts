// HTTP Basic credentials (RFC 7617), strictly: one spelling, UTF-8, no control characters, bounded.
import { GatewayError } from '../../../core/errors.ts';

/** What was typed. */
export interface BasicCredentials {
  readonly username: string;
  readonly password: string;
}

const longestUsername = 128;
const longestPassword = 1_024;

/** Whether an Authorization field is of the scheme Basic. */
export function isBasic(authorization: string): boolean {
  // RFC 9110 §11.1: the scheme is case-insensitive.
  return /^basic( |$)/i.test(authorization);
}

/**
 * Reads the field.
 * Checks: canonical base64, UTF-8, a colon, no control characters, lengths; neither name nor password is empty.
 * Does not check: that they are right (password-verifier.ts).
 * @throws GatewayError `invalid_request`
 */
export function parseBasic(authorization: string): BasicCredentials {
  const [, encoded = ''] = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(authorization) ?? [];
  const bytes = Buffer.from(encoded, 'base64');
  if (encoded === '' || bytes.toString('base64') !== encoded) throw malformed();
  const text = decoded(bytes);
  // RFC 7617 §2: the user-id ends at the first colon; the password may hold more of them.
  const colon = text.indexOf(':');
  const [username, password] = [text.slice(0, colon), text.slice(colon + 1)];
  if (colon < 1 || password === '') throw malformed();
  if (username.length > longestUsername || password.length > longestPassword) throw malformed();
  // RFC 7617 §2: user-id and password contain no control characters.
  if (/[\u0000-\u001f\u007f-\u009f]/.test(text)) throw malformed();
  return { username, password };
}

// RFC 7617 §2.1: with charset="UTF-8" in the challenge, whatever is not UTF-8 is malformed.
function decoded(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw malformed();
  }
}

function malformed(): GatewayError {
  return new GatewayError('invalid_request', { reason: 'malformed_credentials' });
}
