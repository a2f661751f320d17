// Finds the characters of a YAML scalar's value in the source: quotes, escapes, block indentation and folded lines lie
// between the two. Positions of words are exact; white space that YAML folds has none of its own.
import { isScalar, type LineCounter } from 'yaml';

interface Place {
  readonly line: number;
  readonly column: number;
  readonly endColumn?: number;
}

/** Where the characters `start` to `end` of a scalar's value stand; null when the node is no scalar text. */
export function placeWithin(
  source: string,
  node: unknown,
  { start, end }: { readonly start: number; readonly end: number },
  lines: LineCounter,
): Place | null {
  if (!isScalar(node) || typeof node.value !== 'string' || !node.range) return null;
  const offsets = offsetsOf(source, node.value, { from: node.range[0], to: node.range[1], type: node.type });
  const last = offsets.length - 1;
  const first = offsets[Math.min(start, last)];
  if (first === undefined) return null;
  const { line, col } = lines.linePos(first);
  const final = offsets[Math.min(Math.max(end - 1, start), last)] ?? first;
  const ending = lines.linePos(final);
  return { line, column: col, ...(ending.line === line ? { endColumn: ending.col + 1 } : {}) };
}

interface Extent {
  readonly from: number;
  readonly to: number;
  readonly type: string | undefined | null;
}

/** The source offset of each character of a value. */
function offsetsOf(source: string, value: string, { from, to, type }: Extent): number[] {
  const isBlock = type === 'BLOCK_LITERAL' || type === 'BLOCK_FOLDED';
  const isQuoted = type === 'QUOTE_SINGLE' || type === 'QUOTE_DOUBLE';
  let at = isBlock ? source.indexOf('\n', from) + 1 : isQuoted ? from + 1 : from;
  return Array.from({ length: value.length }, (_, index) => {
    const wanted = value[index] ?? '';
    if (isEscapedBreak(source, at, type)) {
      at++;
      while (at < to && isBlank(source[at])) at++;
    }
    if (isBlank(wanted)) {
      const found = Math.min(at, to);
      at = afterBlank(source, at, { from, to, type });
      return found;
    }
    // What folding and indentation left out of the value.
    while (at < to && isBlank(source[at])) at++;
    const found = Math.min(at, to);
    at += lengthInSource(source, at, type);
    return found;
  });
}

const isBlank = (character: string | undefined): boolean => character !== undefined && /\s/.test(character);
const isEscapedBreak = (source: string, at: number, type: Extent['type']): boolean =>
  type === 'QUOTE_DOUBLE' && source[at] === '\\' && isBlank(source[at + 1]) && source[at + 1] !== ' ';

/** Where the source goes on after a blank of the value: a folded line break takes its indentation with it. */
function afterBlank(source: string, at: number, { to, type }: Extent): number {
  if (type === 'QUOTE_DOUBLE' && source[at] === '\\') return at + lengthInSource(source, at, type);
  if (!isBlank(source[at])) return at;
  if (source[at] !== '\n' && source[at] !== '\r') return at + 1;
  let next = at;
  while (next < to && isBlank(source[next])) next++;
  return next;
}

/** How many characters of the source write the one at `at`. */
function lengthInSource(source: string, at: number, type: Extent['type']): number {
  if (type === 'QUOTE_SINGLE' && source.startsWith("''", at)) return 2;
  if (type !== 'QUOTE_DOUBLE' || source[at] !== '\\') return 1;
  const digits = { x: 2, u: 4, U: 8 }[source[at + 1] ?? ''] ?? 0;
  return 2 + digits;
}
