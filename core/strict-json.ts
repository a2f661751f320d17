// One strict parse of a JSON object, for every server: what a lenient and a strict parser would read differently is
// refused.
import { isUtf8 } from 'node:buffer';

const maxDepth = 32;

/** Why a text was refused, in words for the caller. */
export class StrictJsonError extends Error {
  constructor(problem: string) {
    super(problem);
    this.name = 'StrictJsonError';
  }
}

/**
 * Parses any JSON object: a body, a JOSE header, a claims set.
 * Checks: valid UTF-8 without BOM, JSON syntax, an object at the top, no duplicate member (names compared decoded), no
 * `__proto__`, depth at most 32, finite numbers.
 * @throws StrictJsonError
 */
export function parseStrictObject(bytes: Buffer): Record<string, unknown> {
  return parseStrictText(decodeStrict(bytes));
}

/** The first half of parseStrictObject, for whoever needs the text as well: valid UTF-8. @throws StrictJsonError */
export function decodeStrict(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new StrictJsonError('it is not valid UTF-8');
  return bytes.toString('utf8');
}

/** The second half: everything else that parseStrictObject checks. @throws StrictJsonError */
export function parseStrictText(text: string): Record<string, unknown> {
  if (text.charCodeAt(0) === 0xfeff) throw new StrictJsonError('it begins with a byte order mark');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new StrictJsonError('it is not valid JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new StrictJsonError('it is not a JSON object');
  // Each member of the source has one colon outside strings; a duplicate collapses in the parsed value, so counts differ.
  if (countColons(text) !== countMembers(value, 1))
    throw new StrictJsonError('an object has the same member twice');
  return value as Record<string, unknown>; // Narrowed above: a JSON object has string keys.
}

function countColons(text: string): number {
  let count = 0;
  for (let index = 0; index < text.length; index++) {
    const character = text.charCodeAt(index);
    if (character === 0x3a) count++;
    else if (character === 0x22) index = endOfString(text, index + 1);
  }
  return count;
}

function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start);
  for (;;) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes++;
    if (backslashes % 2 === 0) return end;
    end = text.indexOf('"', end + 1);
  }
}

/** Members of an object, or of what a list holds; by index and `for in`, which allocate nothing. */
function countMembers(value: object, depth: number): number {
  if (depth > maxDepth) throw new StrictJsonError(`it is nested deeper than ${maxDepth} levels`);
  let count = 0;
  if (Array.isArray(value)) {
    const items = value as readonly unknown[];
    for (let index = 0; index < items.length; index++) count += countWithin(items[index], depth);
    return count;
  }
  const members = value as Readonly<Record<string, unknown>>; // An object of parsed JSON.
  for (const name in members) {
    if (name === '__proto__') throw new StrictJsonError('the member __proto__ is not accepted');
    count += 1 + countWithin(members[name], depth);
  }
  return count;
}

function countWithin(item: unknown, depth: number): number {
  if (typeof item === 'object') return item === null ? 0 : countMembers(item, depth + 1);
  if (typeof item === 'number' && !Number.isFinite(item))
    throw new StrictJsonError('a number is out of range');
  return 0;
}
