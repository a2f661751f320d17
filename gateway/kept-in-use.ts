// Values that are kept for those who come again, within bounds. A value in use is not pushed out: where more come in turn
// than there is room for, the least recently used one is the next that is wanted, so pushing it out would keep everything
// for nobody. Those who find no room are served without.
import { LRUCache } from 'lru-cache';

/** How long a value must not have been used before it gives way. */
const restMs = 5_000;

interface Kept<T> {
  readonly value: T;
  usedAt: number;
}

/** Bounds of such a memory. */
export interface KeptBounds {
  readonly maxEntries: number;
  readonly maxBytes: number;
}

/** The memory; `now` is any clock in milliseconds. */
export class KeptInUse<T> {
  readonly #entries: LRUCache<string, Kept<T>>;
  readonly #bounds: KeptBounds;
  readonly #now: () => number;

  constructor(bounds: KeptBounds, now: () => number) {
    this.#bounds = bounds;
    this.#now = now;
    const { maxEntries, maxBytes } = bounds;
    this.#entries = new LRUCache({ max: maxEntries, maxSize: maxBytes, maxEntrySize: maxBytes });
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The value of a key, which is used now. */
  get(key: string): T | undefined {
    const kept = this.#entries.get(key);
    if (kept === undefined) return undefined;
    kept.usedAt = this.#now();
    return kept.value;
  }

  /** Whether a new value of so many bytes pushes out none that is in use. */
  hasRoom(bytes: number): boolean {
    const { maxEntries, maxBytes } = this.#bounds;
    const { size, calculatedSize } = this.#entries;
    if (size < maxEntries && calculatedSize + bytes <= maxBytes) return true;
    const { value: oldest } = this.#entries.rvalues().next() as IteratorResult<Kept<T>, undefined>;
    // A clock that was set back counts as rest.
    return oldest === undefined || Math.abs(this.#now() - oldest.usedAt) >= restMs;
  }

  /** Keeps a value of so many bytes, whether or not there was room. */
  set(key: string, value: T, bytes: number): void {
    this.#entries.set(key, { value, usedAt: this.#now() }, { size: bytes });
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }
}
