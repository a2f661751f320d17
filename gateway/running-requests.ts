// The requests under way, as a chain. A Set would be made anew every few dozen requests, and V8 chains each of its tables to
// the next: one that grew old keeps all later ones from the young generation's collector, with the requests in them.
import type { RequestSignal } from './end-signal.ts';
import type { Outcome } from './exchange.ts';

/** A request under way: what ends it, and whose it is. */
export class RunningRequest {
  readonly signal: RequestSignal;
  readonly outcome: Outcome;
  previous: RunningRequest | null = null;
  next: RunningRequest | null = null;

  constructor(signal: RequestSignal, outcome: Outcome) {
    this.signal = signal;
    this.outcome = outcome;
  }
}

/** All of them; each joins once and leaves once. */
export class RunningRequests {
  #newest: RunningRequest | null = null;
  #size = 0;
  #joined = 0;

  get size(): number {
    return this.#size;
  }

  /** Those that ever joined. */
  get joined(): number {
    return this.#joined;
  }

  join(running: RunningRequest): void {
    running.next = this.#newest;
    if (this.#newest !== null) this.#newest.previous = running;
    this.#newest = running;
    this.#size++;
    this.#joined++;
  }

  /** Its own links are cut as well: a dead link from an old one would keep the others alive. */
  leave(running: RunningRequest): void {
    const { previous, next } = running;
    if (previous !== null) previous.next = next;
    else if (this.#newest === running) this.#newest = next;
    else return; // It has left before.
    if (next !== null) next.previous = previous;
    running.previous = null;
    running.next = null;
    this.#size--;
  }

  /** Those that run now; any of them may leave while they are gone through. */
  all(): readonly RunningRequest[] {
    const all: RunningRequest[] = [];
    for (let running = this.#newest; running !== null; running = running.next) all.push(running);
    return all;
  }
}
