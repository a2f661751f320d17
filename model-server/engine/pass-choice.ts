// Whether the sequences of a step are computed in one pass or each in its own. One pass reads the weights once, but
// multiplies with other kernels: with AMX it is faster from two sequences on, with AVX-512 alone at GPT-2's shape only
// from seven (two took 24 ms in one pass and 12 ms in two). So each count is tried both ways, and the cheaper one stays.

/** Decides for each step, and learns from what the steps cost. */
export interface PassChoice {
  /** True: each sequence in a pass of its own. @param count sequences of the step. @param isPure no prompt is read in it. */
  readonly isSplit: (count: number, isPure: boolean) => boolean;
}

/** Tries of each way; the least of them counts, since other work only ever adds to the cost. */
const tries = 4;
/** Above this, one pass has won everywhere. */
const mostSplit = 16;

interface Tried {
  joint: number;
  split: number;
  readonly least: { joint: number; split: number };
}

/**
 * Creates the choice. `isSplit` is asked once per step, right before it, so that two calls enclose a step.
 * @param cost what has been spent so far, in any unit: CPU time with one thread, since it stays true on a busy machine.
 */
export function createPassChoice(cost: () => number): PassChoice {
  const triedOf = new Map<number, Tried>();
  /** From this count on one pass is known to be cheaper. */
  let jointFrom = mostSplit + 1;
  let last: { tried: Tried; way: 'joint' | 'split'; before: number } | null = null;

  const learn = (): void => {
    if (last === null) return;
    const { tried, way, before } = last;
    tried[way]++;
    tried.least[way] = Math.min(tried.least[way], cost() - before);
  };

  return {
    isSplit: (count, isPure) => {
      learn();
      last = null;
      if (count < 2 || count >= jointFrom) return false;
      const tried = triedOf.get(count) ?? { joint: 0, split: 0, least: { joint: Infinity, split: Infinity } };
      triedOf.set(count, tried);
      const isKnown = tried.joint >= tries && tried.split >= tries;
      const isCheaper = tried.least.split < tried.least.joint;
      if (isKnown && !isCheaper) jointFrom = Math.min(jointFrom, count);
      if (isKnown || !isPure) return isKnown && isCheaper;
      const way = tried.joint <= tried.split ? 'joint' : 'split';
      last = { tried, way, before: cost() };
      return way === 'split';
    },
  };
}
