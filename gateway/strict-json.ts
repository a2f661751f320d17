// One strict parse of a JSON body. A body that a lenient and a strict parser would read differently is refused, since
// the upstream receives these very bytes and may read them with another parser.
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

// Go's encoding/json folds the long s and the Kelvin sign too; upper-casing first covers both.
function fold(name: string): string {
  return name.toUpperCase().toLowerCase();
}
