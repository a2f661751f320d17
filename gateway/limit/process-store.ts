// Counters in the memory of this one process, for a gateway without workers and without Redis.
import { RateLimiterMemory } from 'rate-limiter-flexible';
import type { LimitStore } from './store.ts';
import { afterConsume, afterPeek, windowCounters } from './window-counter.ts';

/** Never unavailable; a restart forgets the counts. */
export function createProcessStore(): LimitStore {
  const counterOf = windowCounters((options) => new RateLimiterMemory(options));
  return {
    kind: 'process',
    consume: async (rule, key, units = 1) => afterConsume(rule, await counterOf(rule).consume(key, units)),
    adjust: async (rule, key, units) => {
      await counterOf(rule).penalty(key, units);
    },
    peek: async (rule, key) => afterPeek(rule, await counterOf(rule).get(key)),
    problem: () => null,
    close: () => Promise.resolve(),
  };
}
