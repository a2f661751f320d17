// Remembers for a moment what a remote counter said, so that looking at it before each request costs no round trip.
// What this process counts itself is known at once; what others count, within the age given here.
import { LRUCache } from 'lru-cache';
import type { LimitRule, LimitState, Soon } from './store.ts';

/** How old an answer may be, milliseconds. */
const maxAgeMs = 1_000;
const maxEntries = 10_000;

/** The states last read or counted, by rule and key. */
export interface PeekCache {
  /** The known state, at once, or what `read` brings; concurrent reads of one key are one. */
  peek(rule: LimitRule, key: string, read: () => Promise<LimitState>): Soon<LimitState>;
  /** What this process has just counted. */
  counted(rule: LimitRule, key: string, state: LimitState): void;
}

/** Creates an empty cache. */
export function createPeekCache(): PeekCache {
  const states = new LRUCache<string, Soon<LimitState>>({ max: maxEntries, ttl: maxAgeMs });
  const nameOf = (rule: LimitRule, key: string): string =>
    `${rule.name}:${rule.quota}:${rule.windowMs} ${key}`;
  return {
    peek(rule, key, read) {
      const name = nameOf(rule, key);
      const known = states.get(name);
      if (known !== undefined) return known;
      const pending = read();
      states.set(name, pending);
      // As old as its question; unless it was counted meanwhile. A store that was down is asked again.
      pending.then(
        (state) => {
          if (states.peek(name) === pending) states.set(name, state, { ttl: states.getRemainingTTL(name) });
        },
        () => states.delete(name),
      );
      return pending;
    },
    counted(rule, key, state) {
      const name = nameOf(rule, key);
      // Only keys that are looked at before they are counted need remembering.
      if (states.has(name)) states.set(name, { ...state, permitted: state.remaining > 0 });
    },
  };
}
