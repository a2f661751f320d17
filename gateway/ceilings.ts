// Ceilings for what one request may ask for: the keys that a guard of kind `parameter_ceilings` and the obligations of a
// rule share, and the test they compile to. A parameter that is absent is not above a ceiling.
import { z } from 'zod';

const ceiling = (what: string) => z.int().min(0).optional().describe(what);

/** The ceilings by name, as keys of a schema. */
export const ceilingsShape = {
  max_tokens: ceiling(
    'Model tokens of one answer: `max_tokens`, `max_completion_tokens`, `max_output_tokens` and `max_length`.',
  ),
  n: ceiling('Answers to one prompt: `n`, and `best_of` where that has no ceiling of its own.'),
  best_of: ceiling('Candidates for one answer: `best_of`.'),
  prompts: ceiling('Prompts or inputs in one request: entries of a list in `prompt` or `input`.'),
  messages: ceiling('Messages of one conversation: entries of `messages`.'),
  stop: ceiling('Stop sequences: entries of `stop`.'),
  logprobs: ceiling('Alternatives per model token: `logprobs` as a number, and `top_logprobs`.'),
};
/** The name of a ceiling. */
export type CeilingName = keyof typeof ceilingsShape;
/** Ceilings by name; one that is not there does not hold. */
export type Ceilings = { readonly [Name in CeilingName]?: number | undefined };

/** A parameter above its ceiling. */
export interface Excess {
  readonly param: string;
  readonly size: number;
  readonly ceiling: number;
}

/** The first parameter of a body that is above its ceiling, or null. */
export type CeilingTest = (body: Readonly<Record<string, unknown>>) => Excess | null;

/** How large one parameter is; null where it is absent. */
type Measure = (value: unknown) => number | null;

const number: Measure = (value) => (typeof value === 'number' ? value : null);
const entries: Measure = (value) =>
  Array.isArray(value) ? value.length : typeof value === 'string' ? 1 : null;
/** A list of token ids is one prompt; a list of texts or of such lists is several. */
const prompts: Measure = (value) =>
  Array.isArray(value) && typeof value[0] === 'number' ? 1 : entries(value);

/** Which ceiling holds for which parameter of the body. */
function rowsOf(
  ceilings: Ceilings,
): ReadonlyMap<string, { readonly ceiling: number; readonly measure: Measure }> {
  const rows: readonly [param: string, ceiling: number | undefined, measure: Measure][] = [
    ['max_tokens', ceilings.max_tokens, number],
    ['max_completion_tokens', ceilings.max_tokens, number],
    ['max_output_tokens', ceilings.max_tokens, number],
    ['max_length', ceilings.max_tokens, number],
    ['n', ceilings.n, number],
    ['best_of', ceilings.best_of ?? ceilings.n, number],
    ['prompt', ceilings.prompts, prompts],
    ['input', ceilings.prompts, prompts],
    ['messages', ceilings.messages, entries],
    ['stop', ceilings.stop, entries],
    ['logprobs', ceilings.logprobs, number],
    ['top_logprobs', ceilings.logprobs, number],
  ];
  return new Map(
    rows.flatMap(([param, limit, measure]) =>
      limit === undefined ? [] : [[param, { ceiling: limit, measure }]],
    ),
  );
}

/** Compiles ceilings. Does not check the types of the parameters: guard/parameter-types.ts does, before. */
export function compileCeilings(ceilings: Ceilings): CeilingTest {
  const rows = rowsOf(ceilings);
  return (body) => {
    for (const param in body) {
      const row = rows.get(param);
      if (row === undefined) continue;
      const size = row.measure(body[param]);
      if (size !== null && size > row.ceiling) return { param, size, ceiling: row.ceiling };
    }
    return null;
  };
}
