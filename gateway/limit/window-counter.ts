// One counter of rate-limiter-flexible per limit name and window. The library only counts (its own ceiling is out of
// reach); whether a count is within the rule is decided here, so that a reload that changes `requests` keeps the count.
import { createHash } from 'node:crypto';
import type { RateLimiterAbstract, RateLimiterRes } from 'rate-limiter-flexible';
import { GatewayError } from '../../core/errors.ts';
import { spanOf } from './period.ts';
import type { LimitRule, LimitState } from './store.ts';

/** What a limiter of the library is created with. */
export interface WindowCounterOptions {
  readonly keyPrefix: string;
  readonly points: number;
  /** Seconds. */
  readonly duration: number;
}

/** Far above every `requests`, so that the library never refuses by itself. */
const outOfReach = 2 ** 40;

/** Finds or makes the counter of a rule; rules with one name and window share it over reloads. */
export function windowCounters<Counter extends RateLimiterAbstract>(
  create: (options: WindowCounterOptions) => Counter,
): (rule: LimitRule) => Counter {
  const counters = new Map<string, Counter>();
  return (rule) => {
    const keyPrefix = prefixOf(rule);
    const known = counters.get(keyPrefix);
    if (known !== undefined) return known;
    const counter = create({ keyPrefix, points: outOfReach, duration: rule.windowMs / 1_000 });
    counters.set(keyPrefix, counter);
    return counter;
  };
}

/** The state after one request was counted. */
export function afterConsume(rule: LimitRule, counted: RateLimiterRes): LimitState {
  return {
    permitted: counted.consumedPoints <= rule.quota,
    remaining: remainingOf(rule, counted.consumedPoints),
    ...windowOf(counted.msBeforeNext),
  };
}

/** The state that one more request would meet. */
export function afterPeek(rule: LimitRule, found: RateLimiterRes | null): LimitState {
  const consumed = found === null || found.msBeforeNext <= 0 ? 0 : found.consumedPoints;
  return {
    permitted: consumed < rule.quota,
    remaining: remainingOf(rule, consumed),
    ...windowOf(found === null ? rule.windowMs : found.msBeforeNext),
  };
}

/** The library says how long a window lasts, not which one it is. */
function windowOf(msBeforeNext: number): Pick<LimitState, 'resetMs' | 'endMs'> {
  const resetMs = Math.max(msBeforeNext, 0);
  return { resetMs, endMs: Date.now() + resetMs };
}

/** What is left of a quota; never more than all of it, whatever was given back. */
export function remainingOf(rule: LimitRule, consumed: number): number {
  return Math.min(Math.max(rule.quota - consumed, 0), rule.quota);
}

/** Where a rule counts a key in a shared store, and how long that counter lives: a period has a slot of its own. */
export function slotOf(rule: LimitRule, digest: string): { readonly key: string; readonly lastsMs: number } {
  if (rule.period === undefined) return { key: digest, lastsMs: rule.windowMs };
  const nowMs = Date.now();
  const { startMs, endMs } = spanOf(rule.period, nowMs);
  return { key: `${digest}@${startMs / 1_000}`, lastsMs: endMs - nowMs };
}

/** What the names of all counters of a rule begin with. */
export function prefixOf(rule: LimitRule): string {
  return `sallyport:limit:${rule.name}:${rule.windowMs}`;
}

/** Keys of counters outside this process are digests: no subject or address lies in a shared store. */
export function opaqueKey(key: string): string {
  return createHash('sha256').update(key).digest('base64url');
}

/** Fail closed: a store that does not answer refuses the request. */
export function storeUnavailable(cause: unknown): GatewayError {
  return new GatewayError('limit_store_unavailable', { retryAfterSeconds: 1, reason: 'limit_store', cause });
}
