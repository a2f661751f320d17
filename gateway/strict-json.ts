// One strict parse of a JSON body. A body that a lenient and a strict parser would read differently is refused, since
// the upstream receives these very bytes and may read them with another parser.
import { StrictJsonError, decodeStrict, parseStrictText } from '../core/strict-json.ts';
import type { RequestBody } from './exchange.ts';

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
export function parseStrictJson(bytes: Buffer): RequestBody {
  const text = decodeStrict(bytes);
  const json = parseStrictText(text);
  for (const name in json) {
    if (!decisiveMembers.has(name) && decisiveMembers.has(fold(name))) {
      throw new StrictJsonError('a member differs from a known one by letter case alone');
    }
  }
  return { bytes, json, isPlain: holdsPlainText(text, bytes.length) };
}

/**
 * Whether all texts in valid JSON are printable ASCII and plain white space; false also where that is not seen at once.
 * A few searches over the source cost a tenth of looking at each text.
 */
function holdsPlainText(source: string, byteLength: number): boolean {
  // RFC 8259 §7: control characters are in JSON as escapes only; DEL is the exception. As many bytes as units: ASCII.
  if (source.length !== byteLength || source.includes('\x7f')) return false;
  return !source.includes('\\') || !oddEscapes.some((escape) => source.includes(escape));
}

/** Escapes that may stand for something else; where a backslash is escaped itself, this is too careful. */
const oddEscapes = ['\\u', '\\b', '\\f'];

// Go's encoding/json folds the long s and the Kelvin sign too; upper-casing first covers both.
function fold(name: string): string {
  return name.toUpperCase().toLowerCase();
}
