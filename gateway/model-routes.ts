// What the path at the upstream says about the body of a route to a model: where messages stand, and which members bound
// the length of an answer.
import type { Route } from './policies/routes.ts';

type ModelRoute = Pick<Route, 'kind' | 'upstreamPath'>;

/** Whether the body holds a conversation in `messages`. */
export function takesMessages({ kind, upstreamPath }: ModelRoute): boolean {
  return kind === 'openai' && upstreamPath.endsWith('/chat/completions');
}

/** Members that bound the length of an answer on this route, the one that every upstream knows first; none where there is no such bound. */
export function lengthMembers({ kind, upstreamPath }: ModelRoute): readonly string[] {
  if (kind === 'generate') return ['max_length'];
  if (kind !== 'openai') return [];
  if (upstreamPath.endsWith('/chat/completions')) return ['max_tokens', 'max_completion_tokens'];
  if (upstreamPath.endsWith('/completions')) return ['max_tokens'];
  return upstreamPath.endsWith('/responses') ? ['max_output_tokens'] : [];
}
