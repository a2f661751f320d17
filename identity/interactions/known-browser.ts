// Remembers that somebody signed in to an account with this browser. Its guesses are counted apart from the world's,
// so that a stranger's guesses never keep the owner out (a lockout as denial of service).
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Request, Response } from 'express';

const cookieName = '_known';
const maxAgeMs = 180 * 86_400_000;

export interface KnownBrowser {
  readonly accountId: string;
  /** Random, one per sign-in. */
  readonly id: string;
}

/** Reads the cookie; null when there is none or it was not made here. */
export function knownBrowser(request: Request, key: string): KnownBrowser | null {
  const cookies = (request.headers.cookie ?? '').split('; ');
  const value = cookies.find((cookie) => cookie.startsWith(`${cookieName}=`))?.slice(cookieName.length + 1);
  const [accountId, id, mac] = (value ?? '').split('.');
  if (accountId === undefined || id === undefined || mac === undefined) return null;
  const [given, expected] = [Buffer.from(mac), Buffer.from(macOf(key, accountId, id))];
  return given.length === expected.length && timingSafeEqual(given, expected) ? { accountId, id } : null;
}

/** Sets the cookie after a sign-in. */
export function rememberBrowser(
  response: Response,
  accountId: string,
  options: { key: string; secure: boolean; path: string },
): void {
  const id = randomBytes(12).toString('base64url');
  const value = `${accountId}.${id}.${macOf(options.key, accountId, id)}`;
  const { secure, path } = options;
  response.cookie(cookieName, value, { httpOnly: true, sameSite: 'lax', secure, path, maxAge: maxAgeMs });
}

function macOf(key: string, accountId: string, id: string): string {
  return createHmac('sha256', key).update(`known browser ${accountId} ${id}`).digest('base64url');
}
