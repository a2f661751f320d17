// Spares requests the wait for a service that does not answer: after some failures in a row it is left alone for a while,
// then one request tries.

/** Whether a service is asked now. */
export interface Circuit {
  /** Whether to ask; while the service is left alone, one try per pause. */
  admits(): boolean;
  succeeded(): void;
  failed(problem: string): void;
  /** The last problem, in words for an operator; null when the last answer was good. */
  problem(): string | null;
}

/** When a service is left alone. */
export interface CircuitOptions {
  /** Failures in a row. */
  readonly failures?: number;
  readonly pauseMs?: number;
  /** Monotonic milliseconds. */
  readonly clock?: () => number;
  /** The service stopped or began to answer; null: it answers. */
  readonly onTurn?: (problem: string | null) => void;
}

/** Creates a circuit that admits. */
export function createCircuit({
  failures = 5,
  pauseMs = 2_000,
  clock = () => performance.now(),
  onTurn = () => undefined,
}: CircuitOptions = {}): Circuit {
  let inARow = 0;
  let nextTryAt = 0;
  let problem: string | null = null;
  return {
    admits() {
      if (inARow < failures) return true;
      const now = clock();
      if (now < nextTryAt) return false;
      nextTryAt = now + pauseMs; // Whoever comes while this one tries waits for the next pause.
      return true;
    },
    succeeded() {
      if (problem !== null) onTurn(null);
      inARow = 0;
      problem = null;
    },
    failed(what) {
      if (problem === null) onTurn(what);
      problem = what;
      inARow++;
      nextTryAt = clock() + pauseMs;
    },
    problem: () => problem,
  };
}
