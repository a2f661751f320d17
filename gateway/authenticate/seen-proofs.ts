// Proofs that were accepted, until they are too old to be accepted again (RFC 9449 §11.1). Bounded: when the memory is
// full, whoever fills it most loses his entries, and his proofs up to then are refused instead of remembered. So filling
// it neither lets a replay through nor refuses anybody else.
import { hash } from 'node:crypto';

/** What is remembered of a proof. */
export interface SeenProof {
  /** Whose share it counts towards: the principal. */
  readonly holder: string;
  readonly jkt: string;
  readonly jti: string;
  /** Epoch seconds. */
  readonly issuedAt: number;
}

/** One principal's entries. Sets of two generations: what is in the older one may be forgotten next. */
interface Share {
  recent: Set<string>;
  older: Set<string>;
  /** Proofs issued up to then are refused: they may be among the entries that were given up. */
  refusedUpTo: number;
  latest: number;
  /** Generation of the last change. */
  generation: number;
}

export interface SeenProofsOptions {
  /** A proof is remembered for at least this long, at most twice as long. */
  readonly windowMs: number;
  /** Entries of all principals together. */
  readonly maxEntries?: number;
}

/** Memory of accepted proofs. */
export class SeenProofs {
  readonly #shares = new Map<string, Share>();
  readonly #windowMs: number;
  readonly #maxEntries: number;
  #entries = 0;
  #generation = -1;

  constructor({ windowMs, maxEntries = 100_000 }: SeenProofsOptions) {
    this.#windowMs = windowMs;
    this.#maxEntries = maxEntries;
  }

  /** Principals and proofs that are remembered, for the bound. */
  get size(): number {
    return this.#entries + this.#shares.size;
  }

  /** Remembers a proof. `replayed`: it was there before. `too_many`: it is too old for what was given up. */
  admit(proof: SeenProof, nowMs: number): 'fresh' | 'replayed' | 'too_many' {
    this.#age(Math.floor(nowMs / this.#windowMs));
    const digest = hash('sha256', `${proof.jkt} ${proof.jti}`, 'base64');
    const known = this.#shares.get(proof.holder);
    if (known?.recent.has(digest) === true || known?.older.has(digest) === true) return 'replayed';
    if (this.size >= this.#maxEntries) this.#giveUpLargest();
    const share = known ?? this.#newShare(proof.holder);
    if (share === null || proof.issuedAt <= share.refusedUpTo) return 'too_many';
    share.recent.add(digest);
    share.latest = Math.max(share.latest, proof.issuedAt);
    share.generation = this.#generation;
    this.#entries++;
    return 'fresh';
  }

  #newShare(holder: string): Share | null {
    // Only when every entry is a principal of its own with nothing left to give up.
    if (this.size >= this.#maxEntries) return null;
    const share: Share = {
      recent: new Set(),
      older: new Set(),
      refusedUpTo: -Infinity,
      latest: -Infinity,
      generation: this.#generation,
    };
    this.#shares.set(holder, share);
    return share;
  }

  /** Forgets what is older than the window, once in each window. */
  #age(generation: number): void {
    // A clock that was set back must not make proofs forgotten early.
    if (generation <= this.#generation) return;
    const passed = generation - this.#generation;
    this.#generation = generation;
    for (const [holder, share] of this.#shares) {
      this.#entries -= share.older.size;
      share.older = share.recent;
      share.recent = new Set();
      if (passed > 1) {
        this.#entries -= share.older.size;
        share.older = new Set();
      }
      // What it was given up for is over as well once it has not changed for two windows.
      if (share.older.size === 0 && share.generation < generation - 1) this.#shares.delete(holder);
    }
  }

  #giveUpLargest(): void {
    let largest: Share | null = null;
    let most = 0;
    for (const share of this.#shares.values()) {
      const count = share.recent.size + share.older.size;
      if (count > most) [largest, most] = [share, count];
    }
    if (largest === null) return;
    this.#entries -= most;
    largest.recent = new Set();
    largest.older = new Set();
    largest.refusedUpTo = largest.latest;
    largest.generation = this.#generation;
  }
}
