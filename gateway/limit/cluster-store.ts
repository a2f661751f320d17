// Counters in the memory of the cluster primary, shared by its workers over the cluster's own channel. A message costs
// more than the rest of a request's limits together, so a worker takes units in advance.
import { RateLimiterCluster } from 'rate-limiter-flexible';
import { openClusterChannel } from './cluster-host.ts';
import { createLeases } from './leases.ts';
import { createPeekCache } from './peek-cache.ts';
import type { LimitStore } from './store.ts';
import { afterConsume, afterPeek, storeUnavailable, windowCounters } from './window-counter.ts';

/** How long a worker waits for its primary; a busy machine is no reason to refuse, a primary that hangs is. */
const answerTimeoutMs = 1_000;

/** How long a worker holds units that it does not use; its neighbours are few and on the same machine. */
const holdMs = 2_000;

/** A message costs more than sixteen requests' limits, and what is too much goes back with that of all others. */
const ahead = 15;

/** Counters of a worker; a primary that does not answer in time makes requests 503. */
export function createClusterStore(): LimitStore {
  const eventsOf = windowCounters(
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
  const channel = openClusterChannel();
  const leases = createLeases(
    {
      take: (asks) => asked(channel.take(asks, answerTimeoutMs)),
      adjust: ({ rule, key, endMs }, units) => {
        channel.adjust({ rule, key, endMs, units });
        return Promise.resolve();
      },
    },
    { holdMs, ahead },
  );
  return {
    kind: 'cluster',
    reserve: (claims) => leases.reserve(claims),
    adjust: (counted, units) => leases.adjust(counted, units),
    consume: async (rule, key) => afterConsume(rule, await asked(eventsOf(rule).consume(key))),
    async countFailure(rule, key) {
      cache.counted(rule, key, afterConsume(rule, await asked(eventsOf(rule).consume(key))));
    },
    peek: (rule, key) =>
      cache.peek(rule, key, async () => afterPeek(rule, await asked(eventsOf(rule).get(key)))),
    problem: () => problem,
    close: () => leases.close(),
  };
}
