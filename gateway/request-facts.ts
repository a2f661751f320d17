// The counts and numbers of a request body: all that rules may ask about it, and all that a decision record keeps of it.
// Never a text that the caller wrote.

/** Numbers of one request body. */
export interface RequestFacts {
  readonly stream: boolean;
  /** The highest of max_tokens and its other spellings; 0 when none is given. */
  readonly max_tokens: number;
  /** Answers asked for. */
  readonly n: number;
  readonly message_count: number;
  /** Texts in `prompt` or `input`. */
  readonly prompt_count: number;
  readonly tool_count: number;
}

/** Reads them; of no body, what an empty one would say. */
export function requestFacts(body: Readonly<Record<string, unknown>>): RequestFacts {
  return {
    stream: body['stream'] === true,
    max_tokens: Math.max(
      0,
      whole(body['max_tokens']),
      whole(body['max_completion_tokens']),
      whole(body['max_output_tokens']),
      whole(body['max_length']),
    ),
    n: body['n'] === undefined || body['n'] === null ? 1 : whole(body['n']),
    message_count: entries(body['messages']),
    prompt_count: prompts(body['prompt']) + prompts(body['input']),
    tool_count: entries(body['tools']) + entries(body['functions']),
  };
}

/** A body that has these numbers and no text: what a recorded request is judged by again. */
export function bodyWithFacts(facts: RequestFacts): Readonly<Record<string, unknown>> {
  return {
    stream: facts.stream,
    max_tokens: facts.max_tokens,
    n: facts.n,
    messages: Array.from({ length: facts.message_count }),
    prompt: Array.from({ length: facts.prompt_count }, () => ''),
    tools: Array.from({ length: facts.tool_count }),
  };
}

/** A number that is none is 0 here: the guard refuses such a body whatever the rules say. */
function whole(value: unknown): number {
  if (typeof value !== 'number' || Number.isNaN(value)) return 0;
  return Math.ceil(Math.min(Math.max(value, Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER));
}

const entries = (value: unknown): number => (Array.isArray(value) ? value.length : 0);

/** Text is one prompt, a list of token ids as well. */
function prompts(value: unknown): number {
  if (typeof value === 'string') return 1;
  if (!Array.isArray(value)) return 0;
  return typeof value[0] === 'number' ? 1 : value.length;
}
