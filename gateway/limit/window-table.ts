// Counters of one limit in the memory of this process. Written for the hot path: a count is one or two look-ups, waits for
// nothing and sets no timer. Windows that begin within one span lie together and are dropped together, so nothing is
// ever swept.
import { hash } from 'node:crypto';

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
}

/** What a table is created with. */
export interface WindowTableOptions {
  readonly windowMs: number;
  readonly now?: () => number;
  /** Keys of one span and shard with a counter of their own; further ones share counters. */
  readonly keysPerShard?: number;
}

/** Several maps, because one of more keys than this needs over a millisecond to grow, in which nothing else runs. */
const shardCount = 8;
const defaultKeysPerShard = 32_768;
/** Counters in each shard for the keys beyond: they may be refused early, never late. */
const sharedCounters = 64;
/** Longer keys are counted by 16 bytes of their digest, so that a counter is small whoever is counted. */
const longestKey = 24;
/** Digests that are at hand, so that a caller who comes again is not hashed again. */
const keptDigests = 4_096;

interface Shard {
  readonly slots: Map<string, number>;
  spent: Float64Array;
  ends: Float64Array;
  isFull: boolean;
}

/** Creates an empty table. It holds at most 2 × 8 × (keysPerShard + 64) counters, each about 90 bytes with its key. */
export function createWindowTable(options: WindowTableOptions): WindowTable {
  const { windowMs, now = Date.now, keysPerShard = defaultKeysPerShard } = options;
  let current = newSpan();
  let previous = newSpan();
  let spanEndsMs = now() + windowMs;
  const boundedKey = keyShortener();

  const turn = (nowMs: number): void => {
    if (nowMs < spanEndsMs) return;
    previous = nowMs < spanEndsMs + windowMs ? current : newSpan();
    current = newSpan();
    spanEndsMs = nowMs + windowMs;
  };
  /** The shard that holds the open window of a key, or null. */
  const holding = (key: string, nowMs: number): Shard | null => {
    const index = shardOf(key);
    for (const span of [current, previous]) {
      const shard = span[index];
      if (shard !== undefined && openSlot(shard, key, nowMs) !== undefined) return shard;
    }
    return null;
  };
  const count = (longKey: string, units: number, quota: number): WindowCount => {
    const nowMs = now();
    turn(nowMs);
    const key = boundedKey(longKey);
    const shard = holding(key, nowMs) ?? shardIn(current, key);
    const slot = openSlot(shard, key, nowMs) ?? begin(shard, key, { endMs: nowMs + windowMs, keysPerShard });
    const spent = shard.spent[slot] ?? 0;
    const counted = spent + units <= quota;
    if (counted) shard.spent[slot] = spent + units;
    const endMs = shard.ends[slot] ?? 0;
    return { spent: counted ? spent + units : spent, counted, endMs, resetMs: endMs - nowMs };
  };
  return {
    add: count,
    peek(longKey) {
      const nowMs = now();
      const key = boundedKey(longKey);
      const shard = holding(key, nowMs);
      const slot = shard === null ? undefined : openSlot(shard, key, nowMs);
      if (shard === null || slot === undefined) return null;
      return { spent: shard.spent[slot] ?? 0, endMs: shard.ends[slot] ?? 0 };
    },
    adjust(longKey, units, endMs) {
      const nowMs = now();
      const key = boundedKey(longKey);
      const shard = holding(key, nowMs);
      const slot = shard === null ? undefined : openSlot(shard, key, nowMs);
      if (shard !== null && slot !== undefined && shard.ends[slot] === endMs)
        shard.spent[slot] = Math.max((shard.spent[slot] ?? 0) + units, 0);
      else if (units > 0) count(key, units, Number.POSITIVE_INFINITY);
    },
    forgetEnded: () => turn(now()),
    size: () => [...current, ...previous].reduce((sum, { slots }) => sum + slots.size, 0),
  };
}

function newSpan(): readonly Shard[] {
  return Array.from({ length: shardCount }, () => ({
    slots: new Map<string, number>(),
    spent: new Float64Array(8),
    ends: new Float64Array(8),
    isFull: false,
  }));
}

/** The slot of the key's open window: its own, or in a full shard the one that it shares. */
function openSlot(shard: Shard, key: string, nowMs: number): number | undefined {
  const own = shard.slots.get(key);
  if (own !== undefined) return (shard.ends[own] ?? 0) > nowMs ? own : undefined;
  const shared = shard.isFull ? shard.slots.get(sharedName(key)) : undefined;
  return shared !== undefined && (shard.ends[shared] ?? 0) > nowMs ? shared : undefined;
}

function begin(
  shard: Shard,
  key: string,
  { endMs, keysPerShard }: { readonly endMs: number; readonly keysPerShard: number },
): number {
  shard.isFull ||= shard.slots.size >= keysPerShard;
  const name = shard.isFull && !shard.slots.has(key) ? sharedName(key) : key;
  const slot = shard.slots.get(name) ?? shard.slots.size;
  if (slot === shard.spent.length) {
    shard.spent = grown(shard.spent);
    shard.ends = grown(shard.ends);
  }
  shard.slots.set(name, slot);
  shard.spent[slot] = 0;
  shard.ends[slot] = endMs;
  return slot;
}

function grown(numbers: Float64Array): Float64Array {
  const more = new Float64Array(numbers.length * 2);
  more.set(numbers);
  return more;
}

/** Keys as they are counted. Nobody can choose a subject whose 128 bits are those of another. */
function keyShortener(): (key: string) => string {
  const digests = new Map<string, string>();
  return (key) => {
    if (key.length <= longestKey) return key;
    const known = digests.get(key);
    if (known !== undefined) return known;
    // Latin1 by its older name: one byte for each byte. Read anew from bytes, since a slice would keep the whole digest.
    const digest = hash('sha256', key, 'buffer').toString('latin1', 0, 16);
    if (digests.size >= keptDigests) digests.clear();
    // A longer key would make this memory as large as its callers like.
    if (key.length <= 512) digests.set(key, digest);
    return digest;
  };
}

/** Two characters in which keys differ: the end of a subject or an IPv4 address, the middle of a network. */
function shardOf(key: string): number {
  const mixed = key.charCodeAt(key.length - 1) + key.charCodeAt(key.length >> 1);
  return mixed & (shardCount - 1); // NaN of an empty key is 0 here.
}

function shardIn(span: readonly Shard[], key: string): Shard {
  const shard = span[shardOf(key)];
  if (shard === undefined) throw new RangeError('a shard index is below the number of shards');
  return shard;
}

/** Keys hold no NUL, so no key can name a shared counter. */
function sharedName(key: string): string {
  let mixed = 0;
  for (let index = 0; index < key.length; index++) mixed = (Math.imul(mixed, 31) + key.charCodeAt(index)) | 0;
  return `\0${(mixed >>> 0) % sharedCounters}`;
}
