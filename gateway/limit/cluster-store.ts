// Counters in the memory of the cluster primary, shared by its workers over the cluster's own channel.
import { RateLimiterCluster, RateLimiterClusterMaster } from 'rate-limiter-flexible';
import { createPeekCache } from './peek-cache.ts';
import { reserveRuns } from './reserve-in-turn.ts';
import type { CountedIn, LimitRule, LimitState, LimitStore } from './store.ts';
import { afterConsume, afterPeek, storeUnavailable, windowCounters } from './window-counter.ts';

/** How long a worker waits for its primary; a busy machine is no reason to refuse, a primary that hangs is. */
const answerTimeoutMs = 1_000;

/** Called once in the cluster primary, before it forks: holds the counters of all workers. */
export function hostClusterCounters(): void {
  new RateLimiterClusterMaster();
}

/** Counters of a worker; a primary that does not answer in time makes requests 503. */
export function createClusterStore(): LimitStore {
  const counterOf = windowCounters(
    (options) => new RateLimiterCluster({ ...options, timeoutMs: answerTimeoutMs }),
  );
  const cache = createPeekCache();
  let problem: string | null = null;
  const asked = async <T>(answer: Promise<T>): Promise<T> => {
    try {
      const value = await answer;
      problem = null;
      return value;
    } catch (error) {
      problem = 'the cluster primary does not answer';
      throw storeUnavailable(error);
    }
  };
  const count = async (rule: LimitRule, key: string, units: number): Promise<LimitState> =>
    afterConsume(rule, await asked(counterOf(rule).consume(key, units)));
  const adjust = async ({ rule, key, endMs }: CountedIn, units: number): Promise<void> => {
    if (units < 0 && Date.now() >= endMs) return;
    await asked(counterOf(rule).penalty(key, units));
  };
  const store: LimitStore = {
    kind: 'cluster',
    reserve: (claims) =>
      reserveRuns(
        claims.map((claim) => [
          {
            adjust,
            reserve: async () => {
              const state = await count(claim.rule, claim.key, claim.units);
              if (!state.permitted) await adjust({ ...claim, endMs: state.endMs }, -claim.units);
              return [state];
            },
          },
          [claim],
        ]),
      ),
    adjust,
    async consume(rule, key) {
      const state = await count(rule, key, 1);
      cache.counted(rule, key, state);
      return state;
    },
    peek: (rule, key) =>
      cache.peek(rule, key, async () => afterPeek(rule, await asked(counterOf(rule).get(key)))),
    problem: () => problem,
    close: () => Promise.resolve(),
  };
  return store;
}
