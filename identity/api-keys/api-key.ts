// What an API key looks like: `sp_`, a public id, `_`, a secret. The prefix lets secret scanners find one that leaked.
import { createHash, randomInt, timingSafeEqual } from 'node:crypto';

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const idLength = 12;
// 32 of 62 characters are 190 random bits.
const secretLength = 32;
const shape = /^sp_([0-9A-Za-z]{12})_([0-9A-Za-z]{32,64})$/;

/** The two parts of a key. */
export interface ApiKeyParts {
  readonly id: string;
  readonly secret: string;
}

/** A fresh key. */
export function generateApiKey(): ApiKeyParts & { readonly text: string } {
  const [id, secret] = [randomText(idLength), randomText(secretLength)];
  return { id, secret, text: `sp_${id}_${secret}` };
}

/** The parts of a presented key, or null for what cannot be one. */
export function parseApiKey(presented: string): ApiKeyParts | null {
  const [, id, secret] = shape.exec(presented) ?? [];
  return id === undefined || secret === undefined ? null : { id, secret };
}

/** Whether a text may be the id of a key. */
export function isApiKeyId(text: string): boolean {
  return /^[0-9A-Za-z]{12}$/.test(text);
}

/** What is stored of a secret. A slow hash guards guessable passwords; 190 random bits cannot be guessed at any speed. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('base64url');
}

/** Compares a secret with a stored hash in constant time; with null it does the same work and says no. */
export function secretMatches(secret: string, storedHash: string | null): boolean {
  const presented = Buffer.from(hashSecret(secret));
  const stored = Buffer.from(storedHash ?? hashSecret(''));
  return presented.length === stored.length && timingSafeEqual(presented, stored) && storedHash !== null;
}

function randomText(length: number): string {
  return Array.from({ length }, () => alphabet[randomInt(alphabet.length)] ?? '').join('');
}
