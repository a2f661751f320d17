// How much public-key work is done in place, on the event loop, instead of in the thread pool. To hand one signature to
// the pool keeps the loop as busy as to check it there and then (a job, its wake-ups, a promise), and the pool's threads
// come on top of that: 24 µs against 75. So single ones are done at once, and what would hold the loop up is not.

/** The most that a burst may take at once, ms: what ten signatures of 2,048-bit RSA take. */
const maxDebtMs = 0.2;
/** Of all time, how much may go on with it. */
const share = 0.5;

/** A budget of time: it fills as time passes, and each piece of work that is done in place takes what it took. */
export class InPlaceTime {
  readonly #now: () => number;
  #debtMs = 0;
  #at = 0;

  /** `now` is a monotonic clock in ms. */
  constructor(now = () => performance.now()) {
    this.#now = now;
  }

  /**
   * What `work` returns, or null: not now, the loop has spent its share. All work together takes at most half of any
   * stretch of time, 0.2 ms and one piece of work more; so `work` must be short by itself.
   */
  spend<T>(work: () => T): T | null {
    const start = this.#now();
    this.#debtMs = Math.max(0, this.#debtMs - (start - this.#at) * share);
    this.#at = start;
    if (this.#debtMs >= maxDebtMs) return null;
    try {
      return work();
    } finally {
      this.#debtMs += this.#now() - start;
    }
  }
}

/** Of this process: there is one event loop. */
export const inPlaceTime = new InPlaceTime();
