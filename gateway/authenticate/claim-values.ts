// Reads claims without believing their types.
import { invalidToken } from './invalid-token.ts';

/** The claims of a token, of which no type is believed. */
export type Claims = Readonly<Record<string, unknown>>;

/** The value at a path of claim names, or undefined; only own members count. */
export function claimAt(claims: Claims, path: readonly string[]): unknown {
  let value: unknown = claims;
  for (const name of path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, name))
      return undefined;
    value = (value as Claims)[name]; // Narrowed above: an object that has this member.
  }
  return value;
}

/**
 * The texts of a claim: a text (split at blanks if asked), a list of texts, or nothing.
 * @throws GatewayError `invalid_token` for any other type: a claim of an odd type is not read as absent.
 */
export function textsAt(claims: Claims, path: readonly string[], split: boolean): ReadonlySet<string> {
  const value = claimAt(claims, path);
  if (value === undefined) return new Set();
  if (typeof value === 'string')
    return new Set((split ? value.split(' ') : [value]).filter((text) => text !== ''));
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return new Set(value);
  throw invalidToken('claim_type');
}

/** A claim that must be text when it is there; null when it is not. @throws GatewayError `invalid_token` */
export function optionalText(
  claims: Claims,
  name: string,
  reason: 'client_id' | 'tid' | 'jti',
): string | null {
  const value = claims[name];
  if (value === undefined) return null;
  if (typeof value !== 'string' || value === '') throw invalidToken(reason);
  return value;
}

/** Text that may become part of a key: not empty, bounded, well-formed Unicode, no control characters. */
export function isIdentifier(value: unknown): value is string {
  // A lone surrogate would become U+FFFD in UTF-8, so two subjects could share one key.
  return (
    typeof value === 'string' &&
    value !== '' &&
    value.length <= 512 &&
    value.isWellFormed() &&
    !hasControls(value)
  );
}

function hasControls(value: string): boolean {
  return /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(value);
}
