// The turnstile before every batch: one step is one batch, and everybody who generates goes through it together.
// node-llama-cpp holds its context lock for as long as anybody has asked for a next token, so that with several streams
// a sequence could neither be emptied nor lent out before all had ended (a completion of 5 tokens was answered when its
// neighbours' 480 were done). Here the next step begins only when all have their token: the lock is free in between, and
// whoever arrives joins the very next batch.

/** Somebody who generates. */
export interface Participant {
  /** Waits for the next step. @param wanted ids still to be computed. @returns how many of them this step computes. */
  readonly next: (wanted: number) => Promise<number>;
  /** Goes; the others no longer wait for it. Idempotent. */
  readonly leave: () => void;
}

/** The turnstile of one context. */
export interface Steps {
  readonly enter: () => Participant;
  /** How many sequences the current step's batch holds. */
  readonly expected: () => number;
}

/** Bounds of a step, and who hears of it. */
export interface StepOptions {
  /** Ids in one batch. */
  readonly batchSize: number;
  /** Ids of prompts that one batch reads while others generate: it bounds their pause. */
  readonly promptChunk: number;
  /** Called when a step has begun, and when the last participant has left: what the step before gave is complete. */
  readonly onStep: () => void;
}

interface Waiting {
  /** Order of entering: of two long prompts the earlier is read first. */
  readonly order: number;
  readonly wanted: number;
  readonly go: (amount: number) => void;
}

/** A prompt of at most this part of a chunk does not wait behind longer ones. */
const shortPart = 4;

/** Creates the turnstile. */
export function createSteps({ batchSize, promptChunk, onStep }: StepOptions): Steps {
  let present = 0;
  let entered = 0;
  let expected = 0;
  let waiting: Waiting[] = [];
  let isScheduled = false;

  const begin = (): void => {
    isScheduled = false;
    if (waiting.length === 0 || waiting.length < present) return;
    const granted = shareOut(waiting, { batchSize, promptChunk });
    waiting = waiting.filter((one) => !granted.has(one));
    expected = granted.size;
    for (const [one, amount] of granted) one.go(amount);
    onStep();
  };
  const schedule = (): void => {
    if (isScheduled || waiting.length === 0 || waiting.length < present) return;
    isScheduled = true;
    // A tick comes after all promise turns: node-llama-cpp has seen an empty queue by then, and given its lock back.
    process.nextTick(begin);
  };

  return {
    expected: () => expected,
    enter: () => {
      present++;
      const order = entered++;
      let own: Waiting | undefined;
      let isGone = false;
      return {
        next: (wanted) =>
          new Promise((resolve) => {
            own = { order, wanted, go: resolve };
            waiting.push(own);
            schedule();
          }),
        leave: () => {
          if (isGone) return;
          isGone = true;
          present--;
          waiting = waiting.filter((one) => one !== own);
          if (present === 0) onStep();
          else schedule();
        },
      };
    },
  };
}

/**
 * Who computes how much in the next batch: everybody who generates its one id, prompts a bounded number together. Short
 * prompts have half of that for themselves, so that they join at once; the rest goes in order of arrival.
 */
function shareOut(
  waiting: readonly Waiting[],
  { batchSize, promptChunk }: Pick<StepOptions, 'batchSize' | 'promptChunk'>,
): ReadonlyMap<Waiting, number> {
  const generating = waiting.filter((one) => one.wanted === 1);
  const reading = waiting.filter((one) => one.wanted > 1).sort((one, other) => one.order - other.order);
  const granted = new Map(generating.map((one) => [one, 1]));
  const chunk = generating.length === 0 ? batchSize : Math.min(batchSize - generating.length, promptChunk);
  let room = chunk;
  const grant = (one: Waiting, limit: number): void => {
    const amount = Math.min(one.wanted, limit);
    if (amount <= 0) return;
    granted.set(one, amount);
    room -= amount;
  };
  for (const one of reading) {
    if (one.wanted * shortPart <= chunk && one.wanted <= room - chunk / 2) grant(one, one.wanted);
  }
  for (const one of reading) if (!granted.has(one)) grant(one, room);
  return granted;
}
