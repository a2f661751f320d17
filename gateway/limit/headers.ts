// What an answer says about limits: the IETF draft's `RateLimit` and `RateLimit-Policy`, and OpenAI's `x-ratelimit-*`,
// which tell of the limit that has least left.
import type { CompiledLimit } from './limits-policy.ts';
import type { LimitState } from './store.ts';

/** One limit of the route and what its counter says. */
export interface Counted {
  readonly limit: CompiledLimit;
  readonly state: LimitState;
}

/** Headers for every answer, permitted or refused; empty when nothing was counted. */
export function limitHeaders(counted: readonly Counted[]): Readonly<Record<string, string>> {
  const [first] = counted;
  if (first === undefined) return {};
  let tightest = first;
  let policies = first.limit.policyItem;
  let limits = limitItem(first);
  for (let index = 1; index < counted.length; index++) {
    const entry = counted[index];
    if (entry === undefined) break;
    policies += `, ${entry.limit.policyItem}`;
    limits += `, ${limitItem(entry)}`;
    if (isTighter(entry, tightest)) tightest = entry;
  }
  return {
    'ratelimit-policy': policies,
    ratelimit: limits,
    'x-ratelimit-limit-requests': String(tightest.limit.rule.requests),
    'x-ratelimit-remaining-requests': String(tightest.state.remaining),
    'x-ratelimit-reset-requests': goDuration(tightest.state.resetMs),
  };
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
  return `"${limit.rule.name}";r=${state.remaining};t=${Math.ceil(state.resetMs / 1_000)}`;
}

function isTighter(one: Counted, other: Counted): boolean {
  if (one.state.permitted !== other.state.permitted) return !one.state.permitted;
  if (one.state.remaining !== other.state.remaining) return one.state.remaining < other.state.remaining;
  return one.state.resetMs > other.state.resetMs;
}
