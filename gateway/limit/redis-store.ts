// Counters in Redis, for several gateways that share their limits. Fails closed: a Redis that is down or hangs makes
// requests 503, the hung one within the command timeout.
import { Redis } from 'ioredis';
import { z } from 'zod';
import type { Logger } from '../../core/log.ts';
import { createLeases, type Ask, type Grant, type SharedCounters } from './leases.ts';
import { followFailures } from './known-failures.ts';
import { redisFailures } from './redis-failures.ts';
import { redisScripts } from './redis-scripts.ts';
import type { Claim, LimitStore } from './store.ts';
import { opaqueKey, prefixOf, remainingOf, slotOf, storeUnavailable } from './window-counter.ts';

/** Connects, waiting at most the connect timeout; an unreachable Redis is a problem, not an error. */
export async function createRedisStore(options: {
  readonly url: string;
  /** How long units taken in advance are held; null: none are. */
  readonly leaseMs: number | null;
  readonly log: Logger;
}): Promise<LimitStore> {
  const client = new Redis(options.url, {
    lazyConnect: true,
    enableOfflineQueue: false,
    // Commands of all requests of one turn of the event loop are one write.
    enableAutoPipelining: true,
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

  const scripts = redisScripts(client);
  const asked = async <T>(ask: () => Promise<T>): Promise<T> => {
    try {
      const value = await ask();
      report(null);
      return value;
    } catch (error) {
      report(client.status === 'ready' ? 'Redis does not answer in time' : 'Redis is not reachable');
      throw storeUnavailable(error);
    }
  };
  const shared: SharedCounters = {
    take: (asks) =>
      asked(async () => {
        const slots = asks.map(({ claim: { rule, key } }) => slotOf(rule, opaqueKey(key)));
        const answer = await scripts.reserve(
          asks.map(({ claim: { rule } }, index) => `${prefixOf(rule)}:${slots[index]?.key}`),
          asks.flatMap(({ claim: { rule, units, isHeld }, extra, back }, index) => [
            units,
            rule.quota,
            slots[index]?.lastsMs ?? rule.windowMs,
            isHeld ? 1 : 0,
            extra,
            back.units,
            back.endMs,
          ]),
        );
        return grantsOf(asks, answer);
      }),
    adjust: ({ rule, key, endMs }, units) =>
      asked(async () => {
        const slot = slotOf(rule, opaqueKey(key));
        await scripts.adjust([`${prefixOf(rule)}:${slot.key}`], [units, endMs, slot.lastsMs]);
      }),
  };
  const failures = redisFailures(scripts, asked);
  const known = followFailures(failures, { nameOf: opaqueKey });
  const leases = options.leaseMs === null ? null : createLeases(shared, { holdMs: options.leaseMs });
  return {
    kind: 'redis',
    reserve: (claims) => (leases === null ? shared.take(claims.map(withoutLease)) : leases.reserve(claims)),
    adjust: (counted, units) => (leases ?? shared).adjust(counted, units),
    async consume(rule, key) {
      const [state] = await shared.take([withoutLease({ rule, key, units: 1, isHeld: false })]);
      if (state === undefined) throw new RangeError('Redis has not answered for the event');
      return state;
    },
    async countFailure(rule, key) {
      known.counted(rule, key, await failures.count(rule, opaqueKey(key)));
    },
    peek: (rule, key) => known.peek(rule, key),
    problem: () => problem,
    async close() {
      known.close();
      await leases?.close();
      client.disconnect();
    },
  };
}

const withoutLease = (claim: Claim): Ask => ({ claim, extra: 0, back: { units: 0, endMs: 0 } });

const countSchema = z.tuple([z.number(), z.number(), z.number(), z.number()]);

/** @throws Error when the answer is not that of the script */
function grantsOf(asks: readonly Ask[], answer: unknown): readonly Grant[] {
  const counts = z.array(z.unknown()).min(1).parse(answer);
  const nowMs = z.number().parse(counts.pop());
  return counts.map((count, index) => {
    const [spent, leftMs, permitted, granted] = countSchema.parse(count);
    const ask = asks[index];
    if (ask === undefined) throw new RangeError('Redis has answered for more limits than were asked for');
    return {
      permitted: permitted === 1,
      remaining: remainingOf(ask.claim.rule, spent),
      resetMs: leftMs,
      endMs: nowMs + leftMs,
      granted,
    };
  });
}
