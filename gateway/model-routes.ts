// What the path at the upstream says about the body of a route to a model: where messages stand, and what bounds the
// length of an answer.
import type { Route } from './policies/routes.ts';

type ModelRoute = Pick<Route, 'kind' | 'upstreamPath'>;

/** What bounds the length of an answer on one kind of route. */
export interface AnswerLength {
  /** Members of the body that bound it, the one that every upstream knows first. */
  readonly members: readonly [string, ...string[]];
  /** The length where none is stated, as the API defines it; null where that is the upstream's affair. */
  readonly usual: number | null;
}

/** Whether the body holds a conversation in `messages`. */
export function takesMessages({ kind, upstreamPath }: ModelRoute): boolean {
  return kind === 'openai' && upstreamPath.endsWith('/chat/completions');
}

/** What bounds the length of an answer, or null where answers have none (embeddings). */
export function answerLengthOf({ kind, upstreamPath }: ModelRoute): AnswerLength | null {
  if (kind === 'generate') return { members: ['max_length'], usual: usualGeneration };
  if (kind !== 'openai') return null;
  if (upstreamPath.endsWith('/chat/completions'))
    return { members: ['max_tokens', 'max_completion_tokens'], usual: null };
  if (upstreamPath.endsWith('/completions')) return { members: ['max_tokens'], usual: 16 };
  return upstreamPath.endsWith('/responses') ? { members: ['max_output_tokens'], usual: null } : null;
}

/** New model tokens of a generation that states no `max_length`. */
export const usualGeneration = 50;
