// Composes llama.cpp's batches through node-llama-cpp's public option `batching.itemPrioritizationStrategy`.
// 1. Sort. llama.cpp computes sequences in one pass only where their ids rise by one inside the batch; node-llama-cpp's
//    order is the one in which sampling happened to finish, so that a batch of 32 falls apart into many small passes.
//    Where many passes are cheaper than one (pass-choice.ts) the order is reversed, which makes one of each sequence.
// 2. Gather. Returning an empty list lets promise turns pass until every sequence of the step has asked for its token.
// How many ids of a prompt are in a batch is decided before (steps.ts).
// Measured at 32 streams: 2.7 times the tokens per second at 0.37 of the CPU of the default order.
import type { CustomBatchingPrioritizationStrategy } from 'node-llama-cpp';
import type { PassChoice } from './pass-choice.ts';

/** Promise turns to wait for stragglers; a sequence that is gone for good must not stop the others. */
const patienceTurns = 64;

/** A strategy and what it has seen. */
export interface BatchComposer {
  readonly strategy: CustomBatchingPrioritizationStrategy;
  readonly statistics: { batches: number; items: number };
  /** Has a listener told the priorities of each batch, in its order; null ends that. The self-test uses it. */
  readonly watch: (listener: ((priorities: readonly number[]) => void) | null) => void;
}

/**
 * Creates the composer.
 * @param expected how many sequences the next batch is to hold.
 * @param passes absent: always one pass.
 */
export function createBatchComposer(expected: () => number, passes?: PassChoice): BatchComposer {
  const statistics = { batches: 0, items: 0 };
  let waitedTurns = 0;
  let listener: ((priorities: readonly number[]) => void) | null = null;
  const strategy: CustomBatchingPrioritizationStrategy = ({ items }) => {
    if (items.length < expected() && waitedTurns < patienceTurns) {
      waitedTurns++;
      return [];
    }
    waitedTurns = 0;
    const sorted = [...items].sort((one, other) => one.evaluationPriority - other.evaluationPriority);
    const isPure = items.every((item) => item.tokens.length === 1);
    // The self-test, which listens, is about one pass.
    if (listener === null && passes?.isSplit(items.length, isPure) === true) sorted.reverse();
    statistics.batches++;
    statistics.items += sorted.length;
    listener?.(sorted.map((item) => item.evaluationPriority));
    return sorted.map((item) => ({ item, processAmount: item.tokens.length }));
  };
  return { strategy, statistics, watch: (next) => void (listener = next) };
}
