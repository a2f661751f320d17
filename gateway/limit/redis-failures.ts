// Failed authentications in Redis: one ordered set of counts and one of ends for each rule, so that a single question lists
// all addresses that have failed too often.
import { z } from 'zod';
import { longestList, type SharedFailures } from './known-failures.ts';
import type { RedisScripts } from './redis-scripts.ts';
import type { LimitRule, LimitState } from './store.ts';
import { prefixOf, remainingOf } from './window-counter.ts';

const counted = z.tuple([z.number(), z.number()]);
const listed = z.tuple([z.number()]).rest(z.union([z.string(), z.number()]));

/** As `SharedFailures`, by digests of addresses, and what counts them; `asked` makes a fault `limit_store_unavailable`. */
export function redisFailures(
  scripts: Pick<RedisScripts, 'fail' | 'failures' | 'failuresOf'>,
  asked: <T>(ask: () => Promise<T>) => Promise<T>,
): SharedFailures & { count(rule: LimitRule, digest: string): Promise<LimitState> } {
  return {
    count: (rule, digest) =>
      asked(async () => stateOf(rule, await scripts.fail(keysOf(rule), [digest, rule.windowMs]))),
    one: (rule, digest) => asked(async () => stateOf(rule, await scripts.failuresOf(keysOf(rule), [digest]))),
    list: (rule) =>
      asked(async () => {
        const [isWhole, ...rest] = listed.parse(
          await scripts.failures(keysOf(rule), [rule.quota, longestList]),
        );
        const reached = [];
        for (let index = 0; index < rest.length; index += 2)
          reached.push({ key: String(rest[index]), leftMs: Number(rest[index + 1]) });
        return { isWhole: isWhole === 1, reached };
      }),
  };
}

const keysOf = (rule: LimitRule): readonly string[] => [`${prefixOf(rule)}:counts`, `${prefixOf(rule)}:ends`];

function stateOf(rule: LimitRule, answer: unknown): LimitState {
  const [spent, leftMs] = counted.parse(answer);
  return {
    permitted: spent < rule.quota,
    remaining: remainingOf(rule, spent),
    resetMs: leftMs === 0 ? rule.windowMs : leftMs,
    endMs: Date.now() + leftMs,
  };
}
