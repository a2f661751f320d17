// Passwords made for a person: words to read aloud and two digits, e.g. wharf-ember-cotton-…-59.
import { randomInt } from 'node:crypto';
import { words } from './words.ts';

const wordCount = 6;

/** A password of 60 random bits: six of 512 words (54 bits) and two digits (6.6 bits). */
export function generatePassword(): string {
  const chosen = Array.from({ length: wordCount }, () => words[randomInt(words.length)] ?? '');
  return [...chosen, String(randomInt(100)).padStart(2, '0')].join('-');
}
