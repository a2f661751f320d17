// Counters of one limit in the memory of this process. Written for the hot path: a count is one or two look-ups, waits for
// nothing and sets no timer. Windows that begin within one span lie together and are dropped together, so nothing is
// ever swept.
import { CounterShard, digestOf, type KeyDigest } from './counter-shard.ts';

/** What one counter says. */
export interface WindowCount {
  /** Units counted in the window, those of this call included when they were. */
  readonly spent: number;
  /** Whether there was room for the units of this call. */
  readonly counted: boolean;
  /** Epoch ms at which the window ends: its identity. */
  readonly endMs: number;
  readonly resetMs: number;
}

/** Fixed windows, one per key, each of which begins with its first count. */
export interface WindowTable {
  /** Counts `units` when the quota has room for them, else nothing. */
  add(key: string, units: number, quota: number): WindowCount;
  /** Looks without counting; null when no window is open. */
  peek(key: string): { readonly spent: number; readonly endMs: number } | null;
  /** Corrects the window that ends at `endMs`. Once it is over, nothing is given back, and what is added counts now. */
  adjust(key: string, units: number, endMs: number): void;
  /** Drops spans that are over; counting does it, too, so that only an idle gateway needs to be told. */
  forgetEnded(): void;
  /** Counters that are held, those included that have ended and were not dropped yet. */
  size(): number;
  /** What they take in memory. */
  bytes(): number;
}

/** What a table is created with. */
export interface WindowTableOptions {
  readonly windowMs: number;
  readonly now?: () => number;
  /** Keys of one span and shard with a counter of their own; further ones share counters. */
  readonly keysPerShard?: number;
}

/** Several, because one of more keys than this needs over a millisecond to grow, in which nothing else runs. */
const shardCount = 8;
const defaultKeysPerShard = 32_768;
/** Counters in each shard for the keys beyond: they may be refused early, never late. */
const sharedCounters = 64;

/**
 * Creates an empty table. It holds at most 2 × 8 × (keysPerShard + 64) counters; with 32 bytes for each place and twice as
 * many places as keys that is at most 32 MiB, and 4 MiB for a span of 100,000 keys.
 */
export function createWindowTable(options: WindowTableOptions): WindowTable {
  const { windowMs, now = Date.now, keysPerShard = defaultKeysPerShard } = options;
  let current = newSpan();
  let previous = newSpan();
  let spanEndsMs = now() + windowMs;

  const turn = (nowMs: number): void => {
    if (nowMs < spanEndsMs) return;
    previous = nowMs < spanEndsMs + windowMs ? current : newSpan();
    current = newSpan();
    spanEndsMs = nowMs + windowMs;
  };
  /** The shard that holds the open window of a key, or null. */
  const holding = (key: KeyDigest, nowMs: number): CounterShard | null => {
    for (const span of [current, previous]) {
      const shard = shardIn(span, key);
      if (openSlot(shard, key, { nowMs, keysPerShard }) !== -1) return shard;
    }
    return null;
  };
  const count = (key: KeyDigest, units: number, quota: number): WindowCount => {
    const nowMs = now();
    turn(nowMs);
    const shard = holding(key, nowMs) ?? shardIn(current, key);
    let slot = openSlot(shard, key, { nowMs, keysPerShard });
    if (slot === -1) slot = begin(shard, key, { endMs: nowMs + windowMs, keysPerShard });
    const spent = shard.spentAt(slot);
    const counted = spent + units <= quota;
    if (counted) shard.spend(slot, spent + units);
    const endMs = shard.endOf(slot);
    return { spent: counted ? spent + units : spent, counted, endMs, resetMs: endMs - nowMs };
  };
  const sumOf = (member: 'size' | 'bytes'): number =>
    [...current, ...previous].reduce((sum, shard) => sum + shard[member], 0);
  return {
    add: (key, units, quota) => count(digestOf(key), units, quota),
    peek(longKey) {
      const nowMs = now();
      const key = digestOf(longKey);
      const shard = holding(key, nowMs);
      if (shard === null) return null;
      const slot = openSlot(shard, key, { nowMs, keysPerShard });
      return { spent: shard.spentAt(slot), endMs: shard.endOf(slot) };
    },
    adjust(longKey, units, endMs) {
      const nowMs = now();
      const key = digestOf(longKey);
      const shard = holding(key, nowMs);
      const slot = shard === null ? -1 : openSlot(shard, key, { nowMs, keysPerShard });
      if (shard !== null && shard.endOf(slot) === endMs)
        shard.spend(slot, Math.max(shard.spentAt(slot) + units, 0));
      else if (units > 0) count(key, units, Number.POSITIVE_INFINITY);
    },
    forgetEnded: () => turn(now()),
    size: () => sumOf('size'),
    bytes: () => sumOf('bytes'),
  };
}

function newSpan(): readonly CounterShard[] {
  return Array.from({ length: shardCount }, () => new CounterShard());
}

/** The slot of the key's open window: its own, or in a full shard the one that it shares; -1 when there is none. */
function openSlot(
  shard: CounterShard,
  key: KeyDigest,
  { nowMs, keysPerShard }: { readonly nowMs: number; readonly keysPerShard: number },
): number {
  const own = shard.find(key);
  if (own !== -1) return shard.endOf(own) > nowMs ? own : -1;
  const shared = shard.size >= keysPerShard ? shard.find(sharedBy(key)) : -1;
  return shared !== -1 && shard.endOf(shared) > nowMs ? shared : -1;
}

function begin(
  shard: CounterShard,
  key: KeyDigest,
  { endMs, keysPerShard }: { readonly endMs: number; readonly keysPerShard: number },
): number {
  const isFull = shard.size >= keysPerShard;
  return shard.begin(isFull && shard.find(key) === -1 ? sharedBy(key) : key, endMs);
}

function shardIn(span: readonly CounterShard[], { a }: KeyDigest): CounterShard {
  const shard = span[a & (shardCount - 1)];
  if (shard === undefined) throw new RangeError('a shard index is below the number of shards');
  return shard;
}

/** Names of the shared counters: nobody can find a key of such a digest. */
const sharedNames = Array.from({ length: sharedCounters }, (_, b): KeyDigest => ({ a: 0, b, c: 0, d: 0 }));

function sharedBy(key: KeyDigest): KeyDigest {
  return sharedNames[key.c & (sharedCounters - 1)] ?? key;
}
