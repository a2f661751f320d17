// Passwords: what is acceptable, and argon2id in libuv's thread pool, never on the event loop.
import { hash, verify, type Options } from '@node-rs/argon2';
import { commonPasswords } from './common-passwords.ts';

// OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
// Argon2id is the package's default; its enum is ambient and const, which a type-stripping runtime cannot read.
const options: Options = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };

/** Shortest and longest acceptable password, in characters. 15 or more are recommended. */
export const passwordLength = { least: 8, most: 256 } as const;

/**
 * Why a new password is not acceptable, or null.
 * Checks: length, whole characters, common passwords, being the user name.
 * Does not check: character classes (they do not help) or expiry.
 */
export function passwordProblem(password: string, username: string): string | null {
  const length = Array.from(password).length;
  if (length < passwordLength.least)
    return `The password must have at least ${passwordLength.least} characters; 15 or more are recommended`;
  if (length > passwordLength.most) return `The password must have at most ${passwordLength.most} characters`;
  // Half characters all hash as the same replacement character.
  if (!password.isWellFormed()) return 'The password holds half a character, which nobody can type';
  const folded = password.toLowerCase();
  if (commonPasswords.has(folded) || new Set(folded).size < 3) return 'This password is too common';
  if (folded.includes(username.toLowerCase()) && length < username.length + 8)
    return 'The password must not be made of the username';
  return null;
}

/** Hashes a password with a fresh salt. */
export function hashPassword(password: string): Promise<string> {
  return hash(normalise(password), options);
}

/** Compares in constant time; an overlong password is refused without work. */
export async function verifyPassword(passwordHash: string, password: string): Promise<boolean> {
  if (password.length > passwordLength.most * 4) return false;
  return verify(passwordHash, normalise(password));
}

let dummyHash: Promise<string> | undefined;

/** Does the work of a comparison and says no: for accounts that do not exist. */
export async function verifyAgainstNothing(password: string): Promise<false> {
  dummyHash ??= hashPassword('no account has this password');
  await verifyPassword(await dummyHash, password);
  return false;
}

// NIST SP 800-63B §5.1.1.2: the same characters typed on different systems must give the same password.
function normalise(password: string): string {
  return password.normalize('NFKC');
}
