// Remembers for a moment what a remote counter said, so that looking at it before each request costs no round trip.
// What this process counts itself is known at once; what others count, within the age given here.
import { LRUCache } from 'lru-cache';
import type { LimitRule, LimitState } from './store.ts';

/** How old an answer may be, milliseconds. */
const maxAgeMs = 1_000;
const maxEntries = 10_000;

/** The states last read or counted, by rule and key. */
export interface PeekCache {
  /** The known state, or what `read` brings; concurrent reads of one key are one. */
  peek(rule: LimitRule, key: string, read: () => Promise<LimitState>): Promise<LimitState>;
  /** What this process has just counted. */
  counted(rule: LimitRule, key: string, state: LimitState): void;
}

/** Creates an empty cache. */
export function createPeekCache(): PeekCache {
  const states = new LRUCache<string, Promise<LimitState>>({ max: maxEntries, ttl: maxAgeMs });
  const nameOf = (rule: LimitRule, key: string): string =>
    `${rule.name}:${rule.quota}:${rule.windowMs} ${key}`;
  return {
    peek(rule, key, read) {
      const name = nameOf(rule, key);
      const known = states.get(name);
      if (known !== undefined) return known;
      const pending = read();
      states.set(name, pending);
      pending.catch(() => states.delete(name)); // A store that was down is asked again by the next request.
      return pending;
    },
    counted(rule, key, state) {
      // Only keys that are looked at before they are counted need remembering.
      if (!states.has(nameOf(rule, key))) return;
      states.set(nameOf(rule, key), Promise.resolve({ ...state, permitted: state.remaining > 0 }));
    },
  };
}
