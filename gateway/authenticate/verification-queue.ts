// Signatures that wait for the thread pool. Few are under way at a time, so that files and names, which share the pool,
// never wait behind a flood of new access tokens; the rest waits here, bounded.
import { GatewayError } from '../../core/errors.ts';

/** How many at a time. */
export interface QueueBounds {
  readonly maxUnderWay: number;
  readonly maxWaiting: number;
}

/** Twice and more what the pool's four threads take at once: none is idle while the event loop is elsewhere. */
const defaultBounds: QueueBounds = { maxUnderWay: 16, maxWaiting: 4_096 };

/** Runs tasks in their order, a bounded number at a time. */
export class VerificationQueue {
  readonly #bounds: QueueBounds;
  #waiting: (() => void)[] = [];
  /** How many of `#waiting` have had their turn. */
  #turns = 0;
  #underWay = 0;

  constructor(bounds = defaultBounds) {
    this.#bounds = bounds;
  }

  /** Tasks that wait. */
  get waiting(): number {
    return this.#waiting.length - this.#turns;
  }

  /** Runs a task when it is its turn. @throws GatewayError `server_is_overloaded` at once, when too many wait */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#underWay >= this.#bounds.maxUnderWay) await this.#turn();
    else this.#underWay++;
    try {
      return await task();
    } finally {
      this.#next();
    }
  }

  #turn(): Promise<void> {
    if (this.waiting >= this.#bounds.maxWaiting)
      throw new GatewayError('server_is_overloaded', { reason: 'verification_queue', retryAfterSeconds: 1 });
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** The place of a task that has ended goes to the one that waited longest. */
  #next(): void {
    const start = this.#waiting[this.#turns];
    if (start === undefined) {
      this.#underWay--;
      return;
    }
    this.#turns++;
    // Shifting a long list for each turn would cost more than the turns.
    if (this.#turns === this.#waiting.length || this.#turns >= 1_024) {
      this.#waiting = this.#waiting.slice(this.#turns);
      this.#turns = 0;
    }
    start();
  }
}
