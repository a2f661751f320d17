// A request under way: what ends it, and whose it is.
import type { Linked } from './chain.ts';
import type { RequestSignal } from './end-signal.ts';
import type { Outcome } from './exchange.ts';

/** A member of the chain of all of them. */
export class RunningRequest implements Linked<RunningRequest> {
  readonly signal: RequestSignal;
  readonly outcome: Outcome;
  previous: RunningRequest | null = null;
  next: RunningRequest | null = null;

  constructor(signal: RequestSignal, outcome: Outcome) {
    this.signal = signal;
    this.outcome = outcome;
  }
}
