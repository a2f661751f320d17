// How many model tokens a request may come to, before it is sent: an estimate of the prompt and the longest answer that
// it asks for. The true count replaces it when the answer has ended (settle.ts).
import { someModelText } from '../model-texts.ts';

type Body = Readonly<Record<string, unknown>>;

/** Template and separators around one message. */
const tokensPerMessage = 4;

/**
 * Model tokens of the prompt. Text of few bytes per character is taken at four characters for a token, as English is;
 * every further byte counts for one, since such scripts fall apart into bytes. Token ids count exactly. `isPlain`: all
 * texts are known to be ASCII.
 */
export function estimatedPrompt(body: Body, isPlain = false): number {
  let estimated = 0;
  someModelText(body, (text) => {
    estimated += Math.ceil(text.length / 4) + (isPlain ? 0 : Buffer.byteLength(text) - text.length);
    return false;
  });
  estimated += tokenIds(body['prompt']) + tokenIds(body['input']);
  if (Array.isArray(body['messages'])) estimated += body['messages'].length * tokensPerMessage;
  return estimated;
}

const answerMaxima = ['max_tokens', 'max_completion_tokens', 'max_output_tokens', 'max_length'] as const;

/** Model tokens of the longest answer that the body asks for; embeddings have none. */
export function estimatedAnswer(body: Body, openAnswer: number): number {
  if (body['input'] !== undefined) return 0;
  let longest = -1;
  for (const name of answerMaxima) {
    const value = body[name];
    if (typeof value === 'number' && value > longest) longest = value;
  }
  if (longest < 0) longest = openAnswer;
  return Math.ceil(longest * Math.max(count(body['n']), count(body['best_of']), 1) * prompts(body['prompt']));
}

const count = (value: unknown): number => (typeof value === 'number' && value > 0 ? value : 0);

const prompts = (value: unknown): number =>
  Array.isArray(value) && typeof value[0] !== 'number' ? Math.max(value.length, 1) : 1;

function tokenIds(value: unknown): number {
  if (!Array.isArray(value)) return 0;
  let ids = 0;
  for (const entry of value) {
    if (typeof entry === 'number') ids += 1;
    else if (Array.isArray(entry)) ids += tokenIds(entry);
  }
  return ids;
}
