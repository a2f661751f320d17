// Counters in Redis, for several gateways that share their limits. Fails closed: a Redis that is down or hangs makes
// requests 503, the hung one within the command timeout.
import { Redis } from 'ioredis';
import { RateLimiterRedis } from 'rate-limiter-flexible';
import type { Logger } from '../../core/log.ts';
import { createPeekCache } from './peek-cache.ts';
import type { LimitStore } from './store.ts';
import {
  afterConsume,
  afterPeek,
  opaqueKey,
  slotOf,
  storeUnavailable,
  windowCounters,
} from './window-counter.ts';

/** Connects, waiting at most the connect timeout; an unreachable Redis is a problem, not an error. */
export async function createRedisStore(options: { url: string; log: Logger }): Promise<LimitStore> {
  const client = new Redis(options.url, {
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    connectTimeout: 500,
    commandTimeout: 500,
    retryStrategy: (attempt) => Math.min(attempt * 100, 1_000),
  });
  let problem: string | null = 'Redis is not connected yet';
  const report = (next: string | null): void => {
    if (next === problem) return;
    if (next === null) options.log.info('the limit store answers');
    else options.log.error({ problem: next }, 'the limit store does not answer: requests are refused');
    problem = next;
  };
  client.on('ready', () => report(null));
  client.on('close', () => report('Redis is not reachable'));
  // The message of a connection error may hold the address of Redis; its code says enough.
  client.on('error', (error: NodeJS.ErrnoException) =>
    report(`Redis is not reachable (${error.code ?? 'error'})`),
  );
  await client.connect().catch(() => undefined); // Reported by the events above; ioredis goes on trying.

  const counterOf = windowCounters(
    (window) => new RateLimiterRedis({ ...window, storeClient: client, rejectIfRedisNotReady: true }),
  );
  const cache = createPeekCache();
  const asked = async <T>(answer: Promise<T>): Promise<T> => {
    try {
      const value = await answer;
      report(null);
      return value;
    } catch (error) {
      report(client.status === 'ready' ? 'Redis does not answer in time' : 'Redis is not reachable');
      throw storeUnavailable(error);
    }
  };
  return {
    kind: 'redis',
    async consume(rule, key, units = 1) {
      const digest = opaqueKey(key);
      const slot = slotOf(rule, digest);
      const counted = await asked(counterOf(rule).consume(slot.key, units, slot.options));
      const state = afterConsume(rule, counted);
      cache.counted(rule, digest, state);
      return state;
    },
    async adjust(rule, key, units) {
      const slot = slotOf(rule, opaqueKey(key));
      await asked(counterOf(rule).penalty(slot.key, units, slot.options));
    },
    peek(rule, key) {
      const digest = opaqueKey(key);
      const { key: slot } = slotOf(rule, digest);
      return cache.peek(rule, digest, async () => afterPeek(rule, await asked(counterOf(rule).get(slot))));
    },
    problem: () => problem,
    close() {
      client.disconnect();
      return Promise.resolve();
    },
  };
}
