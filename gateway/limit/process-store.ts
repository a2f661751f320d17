// Counters in the memory of this one process, for a gateway without workers and without Redis. Every answer is there at
// once: nothing on the way of a request waits.
import { reserveInTurn } from './reserve-in-turn.ts';
import type { Claim, LimitState, LimitStore } from './store.ts';
import { remainingOf } from './window-counter.ts';
import { createWindowTables } from './window-tables.ts';

/** Never unavailable; a restart forgets the counts. */
export function createProcessStore(): LimitStore {
  const tables = createWindowTables();
  const count = ({ rule, key, units }: Claim): LimitState => {
    const { spent, counted, endMs, resetMs } = tables.of(rule).add(key, units, rule.quota);
    return { permitted: counted, remaining: remainingOf(rule, spent), resetMs, endMs };
  };
  const adjust: LimitStore['adjust'] = ({ rule, key, endMs }, units) =>
    tables.of(rule).adjust(key, units, endMs);
  const counters = { count, adjust };
  return {
    kind: 'process',
    reserve: (claims) => reserveInTurn(claims, counters),
    adjust,
    consume: (rule, key) => count({ rule, key, units: 1, isHeld: false }),
    countFailure(rule, key) {
      count({ rule, key, units: 1, isHeld: false });
    },
    peek: (rule, key) => {
      const found = tables.of(rule).peek(key);
      const resetMs = found === null ? rule.windowMs : Math.max(found.endMs - Date.now(), 0);
      const spent = found?.spent ?? 0;
      return {
        permitted: spent < rule.quota,
        remaining: remainingOf(rule, spent),
        resetMs,
        endMs: found?.endMs ?? 0,
      };
    },
    problem: () => null,
    close: () => {
      tables.close();
      return Promise.resolve();
    },
  };
}
