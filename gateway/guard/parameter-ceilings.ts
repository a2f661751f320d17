// Guard kind `parameter_ceilings`: how much one request may ask for. A parameter that is absent is left to the
// upstream's default; types were checked before (parameter-types.ts).
import { z } from 'zod';
import type { CompiledGuard, GuardKind, Objection } from './guard.ts';

const ceiling = (what: string) => z.int().min(0).optional().describe(what);

const schema = z.strictObject({
  kind: z
    .literal('parameter_ceilings')
    .describe('Refuses parameters above a ceiling with `parameter_above_ceiling`.'),
  max_tokens: ceiling(
    'Model tokens of one answer: `max_tokens`, `max_completion_tokens`, `max_output_tokens` and `max_length`.',
  ),
  n: ceiling('Answers to one prompt: `n`, and `best_of` where that has no ceiling of its own.'),
  best_of: ceiling('Candidates for one answer: `best_of`.'),
  prompts: ceiling('Prompts or inputs in one request: entries of a list in `prompt` or `input`.'),
  messages: ceiling('Messages of one conversation: entries of `messages`.'),
  stop: ceiling('Stop sequences: entries of `stop`.'),
  logprobs: ceiling('Alternatives per model token: `logprobs` as a number, and `top_logprobs`.'),
});
type Options = z.output<typeof schema>;

/** How large one parameter is; null where it is absent. */
type Measure = (value: unknown) => number | null;

const number: Measure = (value) => (typeof value === 'number' ? value : null);
const entries: Measure = (value) =>
  Array.isArray(value) ? value.length : typeof value === 'string' ? 1 : null;
/** A list of token ids is one prompt; a list of texts or of such lists is several. */
const prompts: Measure = (value) =>
  Array.isArray(value) && typeof value[0] === 'number' ? 1 : entries(value);

/** Which ceiling holds for which parameter of the body. */
function ceilingsOf(
  options: Options,
): readonly { readonly param: string; readonly ceiling: number; readonly measure: Measure }[] {
  const rows: readonly [param: string, ceiling: number | undefined, measure: Measure][] = [
    ['max_tokens', options.max_tokens, number],
    ['max_completion_tokens', options.max_tokens, number],
    ['max_output_tokens', options.max_tokens, number],
    ['max_length', options.max_tokens, number],
    ['n', options.n, number],
    ['best_of', options.best_of ?? options.n, number],
    ['prompt', options.prompts, prompts],
    ['input', options.prompts, prompts],
    ['messages', options.messages, entries],
    ['stop', options.stop, entries],
    ['logprobs', options.logprobs, number],
    ['top_logprobs', options.logprobs, number],
  ];
  return rows.flatMap(([param, limit, measure]) =>
    limit === undefined ? [] : [{ param, ceiling: limit, measure }],
  );
}

/** Ceilings for what one request may ask for. */
export const parameterCeilings = {
  name: 'parameter_ceilings',
  schema,
  create(options): CompiledGuard {
    const ceilings = ceilingsOf(options);
    return {
      check(body): Objection | null {
        for (const { param, ceiling: limit, measure } of ceilings) {
          const size = measure(body[param]);
          if (size === null || size <= limit) continue;
          return {
            code: 'parameter_above_ceiling',
            reason: `${param} ${size} above ${limit}`,
            param,
            params: { param, ceiling: limit },
          };
        }
        return null;
      },
    };
  },
} as const satisfies GuardKind<typeof schema>;
