// One strict parse of a JSON body. A body that a lenient and a strict parser would read differently is refused, since
// the upstream receives these very bytes and may read them with another parser.
import { isAscii } from 'node:buffer';
import { StrictJsonError, parseStrictObject } from '../core/strict-json.ts';

/** Members on which decisions are made; a parser that ignores case must not find a second one. */
const decisiveMembers = new Set(
  'model messages prompt input max_tokens max_completion_tokens max_length n best_of stream stream_options stop suffix tools functions'.split(
    ' ',
  ),
);

/**
 * Parses the JSON object of a request body.
 * Checks: what parseStrictObject checks, and no member that differs from a decisive one by case alone.
 * Does not check: what the members mean (guard) or the media type (body.ts).
 * @throws StrictJsonError
 */
export function parseStrictJson(bytes: Buffer): Record<string, unknown> {
  const value = parseStrictObject(bytes);
  for (const name of Object.keys(value)) {
    if (!decisiveMembers.has(name) && decisiveMembers.has(fold(name))) {
      throw new StrictJsonError('a member differs from a known one by letter case alone');
    }
  }
  return value;
}

const backslash = 0x5c;
const deleteCharacter = 0x7f;
/** Escapes that may stand for something else than printable ASCII and plain white space. */
const oddEscapes = ['\\u', '\\b', '\\f'].map((escape) => Buffer.from(escape));

/**
 * Whether all texts of a body that parseStrictJson accepted are printable ASCII and plain white space; false also where
 * that is not seen at once. Told from the bytes, because searching them costs a tenth of looking at each text.
 */
export function holdsPlainText(bytes: Buffer): boolean {
  // RFC 8259 §7: control characters stand in JSON as escapes only; DEL is the exception.
  if (!isAscii(bytes) || bytes.includes(deleteCharacter)) return false;
  return !bytes.includes(backslash) || !oddEscapes.some((escape) => bytes.includes(escape));
}

// Go's encoding/json folds the long s and the Kelvin sign too; upper-casing first covers both.
function fold(name: string): string {
  return name.toUpperCase().toLowerCase();
}
