// Keeps an issuer that is down from piling up requests: bounded questions at a time, and after repeated failures none
// but one trial after each pause. Whoever cannot be asked about is refused at once.

import { NoAnswer } from './ask-issuer.ts';

/** Bounds of the questions. */
export interface CircuitBounds {
  readonly maxInFlight: number;
  /** Places kept for credentials that were good before, so that random ones cannot take them all. */
  readonly reserved: number;
}

const defaultBounds: CircuitBounds = { maxInFlight: 64, reserved: 16 };
const failuresToOpen = 3;
const firstPauseMs = 500;
const longestPauseMs = 10_000;

/** Counts failures and questions in flight. */
export class Circuit {
  readonly #bounds: CircuitBounds;
  readonly #monotonic: () => number;
  #inFlight = 0;
  #failures = 0;
  #openUntil = Number.NEGATIVE_INFINITY;
  #isTrying = false;

  constructor(monotonic: () => number, bounds = defaultBounds) {
    this.#monotonic = monotonic;
    this.#bounds = bounds;
  }

  get isOpen(): boolean {
    return this.#failures >= failuresToOpen;
  }

  /** Milliseconds until the next question may be asked. */
  get waitMs(): number {
    return Math.max(0, this.#openUntil - this.#monotonic());
  }

  /** Asks, or says at once that this is not the moment (null). */
  pass<T>(isKnown: boolean, ask: () => Promise<T>): Promise<T> | null {
    const places = isKnown ? this.#bounds.maxInFlight : this.#bounds.maxInFlight - this.#bounds.reserved;
    if (this.#inFlight >= places) return null;
    if (this.isOpen) {
      if (this.#isTrying || this.waitMs > 0) return null;
      this.#isTrying = true;
    }
    this.#inFlight++;
    return this.#counted(ask);
  }

  async #counted<T>(ask: () => Promise<T>): Promise<T> {
    try {
      const answer = await ask();
      this.#failures = 0;
      return answer;
    } catch (error) {
      // What one credential alone brings about must not close the way for the others.
      if (error instanceof NoAnswer && !error.isDown) this.#failures = 0;
      else this.#failures++;
      const pauseMs = firstPauseMs * 2 ** Math.min(10, Math.max(0, this.#failures - failuresToOpen));
      if (this.isOpen) this.#openUntil = this.#monotonic() + Math.min(longestPauseMs, pauseMs);
      throw error;
    } finally {
      this.#inFlight--;
      this.#isTrying = false;
    }
  }
}
