// What an answer says about limits: the IETF draft's `RateLimit` and `RateLimit-Policy`, and OpenAI's `x-ratelimit-*`,
// which tell of the limit on requests, and of the one on model tokens, that have least left.
import type { CompiledLimit } from './limits-policy.ts';
import type { LimitState } from './store.ts';

/** One limit of the route and what its counter says. */
export interface Counted {
  readonly limit: CompiledLimit;
  readonly state: LimitState;
}

/**
 * Headers for every answer, permitted or refused; empty when nothing was counted. On the way of every request: no text is
 * built twice, and what a limit always says was written when the policies were compiled.
 */
export function limitHeaders(counted: readonly Counted[]): Readonly<Record<string, string>> {
  const [first] = counted;
  if (first === undefined) return {};
  let requests: Counted | null = null;
  let modelTokens: Counted | null = null;
  let policies = '';
  let limits = '';
  for (const entry of counted) {
    policies = policies === '' ? entry.limit.policyItem : `${policies}, ${entry.limit.policyItem}`;
    limits = limits === '' ? limitItem(entry) : `${limits}, ${limitItem(entry)}`;
    if (entry.limit.unit === 'requests') requests = tighter(entry, requests);
    else modelTokens = tighter(entry, modelTokens);
  }
  const headers: Record<string, string> = { 'ratelimit-policy': policies, ratelimit: limits };
  if (requests !== null) {
    headers['x-ratelimit-limit-requests'] = requests.limit.quotaText;
    headers['x-ratelimit-remaining-requests'] = String(requests.state.remaining);
    headers['x-ratelimit-reset-requests'] = goDuration(requests.state.resetMs);
  }
  if (modelTokens !== null) {
    headers['x-ratelimit-limit-tokens'] = modelTokens.limit.quotaText;
    headers['x-ratelimit-remaining-tokens'] = String(modelTokens.state.remaining);
    headers['x-ratelimit-reset-tokens'] = goDuration(modelTokens.state.resetMs);
  }
  return headers;
}

/** The exact wait; `Retry-After` and `x-should-retry` follow from it in the renderer. */
export function waitHeaders(resetMs: number): Readonly<Record<string, string>> {
  return { 'retry-after-ms': String(Math.max(Math.ceil(resetMs), 1)) };
}

/** Whole seconds that a caller must wait: never 0, never too early. */
export function waitSeconds(resetMs: number): number {
  return Math.max(Math.ceil(resetMs / 1_000), 1);
}

/** A Go duration as OpenAI writes it: `120ms`, `1s`, `6m0s`, `2h0m5s`. */
export function goDuration(durationMs: number): string {
  const wholeMs = Math.max(Math.ceil(durationMs), 0);
  if (wholeMs < 1_000) return `${wholeMs}ms`;
  const seconds = Math.ceil(wholeMs / 1_000);
  const hours = Math.floor(seconds / 3_600);
  const minutes = Math.floor((seconds % 3_600) / 60);
  const rest = seconds % 60;
  if (hours > 0) return `${hours}h${minutes}m${rest}s`;
  return minutes > 0 ? `${minutes}m${rest}s` : `${rest}s`;
}

// draft-ietf-httpapi-ratelimit-headers §4: r is what remains, t the seconds until the quota resets.
function limitItem({ limit, state }: Counted): string {
  return `${limit.limitItemStart}${state.remaining};t=${Math.ceil(state.resetMs / 1_000)}`;
}

const tighter = (one: Counted, other: Counted | null): Counted =>
  other === null || isTighter(one, other) ? one : other;

function isTighter(one: Counted, other: Counted): boolean {
  if (one.state.permitted !== other.state.permitted) return !one.state.permitted;
  if (one.state.remaining !== other.state.remaining) return one.state.remaining < other.state.remaining;
  return one.state.resetMs > other.state.resetMs;
}
