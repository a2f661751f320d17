// The types of the parameters that decide: what limits, guards and the forwarder read must be what it seems. Members
// that only the upstream interprets are left to the upstream. `null` counts as absent, as in OpenAI's API.
import { GatewayError } from '../../core/errors.ts';
import type { Route } from '../policies/routes.ts';

/** What is wrong with a value, or null. */
type Check = (value: unknown) => string | null;

const wholeFrom =
  (least: number): Check =>
  (value) =>
    Number.isSafeInteger(value) && (value as number) >= least
      ? null
      : `is not a whole number of at least ${least}`;
const boolean: Check = (value) => (typeof value === 'boolean' ? null : 'is not true or false');
const isTextList = (value: unknown): boolean =>
  Array.isArray(value) && value.every((entry) => typeof entry === 'string');
const isTokenList = (value: unknown): boolean =>
  Array.isArray(value) && value.every((entry) => Number.isSafeInteger(entry));

const stop: Check = (value) =>
  typeof value === 'string' || isTextList(value) ? null : 'is neither text nor a list of texts';
const text: Check = (value) => (typeof value === 'string' ? null : 'is not text');

/** Text, a list of texts, a list of token ids, or a list of such lists. */
const promptLike: Check = (value) => {
  if (typeof value === 'string') return null;
  if (!Array.isArray(value)) return 'is neither text nor a list';
  if (value.length === 0) return 'is an empty list';
  if (isTextList(value) || isTokenList(value)) return null;
  return value.every((entry) => Array.isArray(entry) && entry.length > 0 && isTokenList(entry))
    ? null
    : 'mixes texts and token ids, or holds something else';
};

/** Roles of the OpenAI API; a server without a chat template writes the role into the prompt, so it is a closed set. */
const messageRoles = new Set(['system', 'developer', 'user', 'assistant', 'tool', 'function']);

const messages: Check = (value) => {
  if (!Array.isArray(value) || value.length === 0) return 'is not a list with at least one message';
  for (let index = 0; index < value.length; index++) {
    const problem = messageProblem(value[index]);
    if (problem !== null) return `has a message (${index}) whose ${problem}`;
  }
  return null;
};

function messageProblem(entry: unknown): string | null {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return 'form is not an object';
  const { role, content, name } = entry as Readonly<Record<string, unknown>>; // Any members: checked here.
  if (typeof role !== 'string' || !messageRoles.has(role)) return 'role is not one of the API';
  if (name !== undefined && name !== null && typeof name !== 'string') return 'name is not text';
  if (content === undefined || content === null || typeof content === 'string') return null;
  if (!Array.isArray(content)) return 'content is neither text nor a list of parts';
  return content.every(isPart)
    ? null
    : 'content holds a part without a type, or with a text that is not text';
}

function isPart(part: unknown): boolean {
  if (typeof part !== 'object' || part === null || Array.isArray(part)) return false;
  const { type, text: partText } = part as Readonly<Record<string, unknown>>; // Any members: checked here.
  return typeof type === 'string' && (partText === undefined || typeof partText === 'string');
}

const streamOptions: Check = (value) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'is not an object';
  const includeUsage = (value as Readonly<Record<string, unknown>>)['include_usage'];
  return includeUsage === undefined || includeUsage === null || typeof includeUsage === 'boolean'
    ? null
    : 'has an include_usage that is not true or false';
};

/** `logprobs` is a number for completions and true or false for chat. */
const logprobs: Check = (value) => (typeof value === 'boolean' ? null : wholeFrom(0)(value));

const checks: ReadonlyMap<string, Check> = new Map([
  ['stream', boolean],
  ['stream_options', streamOptions],
  ['messages', messages],
  ['prompt', promptLike],
  ['input', promptLike],
  ['suffix', text],
  ['max_tokens', wholeFrom(1)],
  ['max_completion_tokens', wholeFrom(1)],
  ['max_output_tokens', wholeFrom(1)],
  ['max_length', wholeFrom(1)],
  ['n', wholeFrom(1)],
  ['best_of', wholeFrom(1)],
  ['logprobs', logprobs],
  ['top_logprobs', wholeFrom(0)],
  ['stop', stop],
]);

/**
 * Refuses a body whose deciding parameters have the wrong type.
 * Checks: the members listed above; `prompt` as text on `generate` routes, `messages` on chat routes.
 * Does not check: ceilings (parameter-ceilings.ts), members that only the upstream reads.
 */
export function checkParameterTypes(
  body: Readonly<Record<string, unknown>>,
  route: Pick<Route, 'kind' | 'upstreamPath'>,
): void {
  for (const name in body) {
    const value = body[name];
    if (value === undefined || value === null) continue;
    const problem = checks.get(name)?.(value) ?? null;
    if (problem !== null) throw invalid(name, problem);
  }
  if (route.kind === 'generate' && typeof body['prompt'] !== 'string') throw invalid('prompt', 'is not text');
  if (route.upstreamPath.endsWith('/chat/completions') && !Array.isArray(body['messages']))
    throw invalid('messages', 'is missing');
}

const invalid = (param: string, problem: string): GatewayError =>
  new GatewayError('body_invalid', { params: { problem: `${param} ${problem}` }, param });
