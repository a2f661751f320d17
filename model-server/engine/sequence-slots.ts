// Which sequence a completion gets, and what of an earlier one it may build on. A sequence that was used keeps the
// computed state of its text for a while, for the same principal alone: a later prompt that begins alike is read from
// where it differs. Whoever else gets the sequence gets it empty, and no principal is ever faster for what another wrote.

/** What is needed of a sequence of node-llama-cpp. */
export interface KeptSequence {
  /** Ids whose state is held. */
  readonly contextTokens: readonly number[];
  readonly clearHistory: () => Promise<void>;
  /** True where a state cannot be cut, as in recurrent models: nothing is kept there. */
  readonly needsCheckpoints: boolean;
  readonly eraseContextTokenRanges: (
    ranges: { readonly start: number; readonly end: number }[],
  ) => Promise<void>;
}

/** A sequence that is lent out. */
export interface Slot<Sequence extends KeptSequence> {
  /** llama.cpp's number of the sequence: the order of getSequence(). */
  readonly number: number;
  readonly sequence: Sequence;
}

/** Who wants a sequence, and for what. */
export interface SlotRequest {
  /** Opaque key of the principal; null: nothing is reused or kept. */
  readonly owner: string | null;
  readonly promptIds: readonly number[];
  readonly maxTokens: number;
}

/** The sequences of one context. */
export interface SequenceSlots<Sequence extends KeptSequence> {
  /**
   * Takes a sequence that holds the first `cachedTokens` ids of the prompt and nothing else.
   * Checks that what it holds came from the same owner, and leaves at least one id of the prompt to compute.
   */
  readonly take: (
    request: SlotRequest,
  ) => Promise<{ readonly slot: Slot<Sequence>; readonly cachedTokens: number }>;
  /** Hands it back. @param owner whose state it keeps; null empties it. */
  readonly giveBack: (slot: Slot<Sequence>, owner: string | null) => void;
  /** Empties what has not been used for `keepMs`. */
  readonly expire: () => void;
}

interface Entry<Sequence extends KeptSequence> {
  readonly slot: Slot<Sequence>;
  owner: string | null;
  heldIds: readonly number[];
  usedAtMs: number;
  /** Settles when what had to be erased is. */
  settled: Promise<void>;
}

/** Shorter common beginnings are not worth the erasing of the rest. */
const leastShared = 16;
/**
 * What a further pass costs in each step, in prompt ids: llama.cpp computes only neighbouring numbers together. Measured
 * at GPT-2's shape with 8 streams: a gap costs 10 to 12 times what reading one id of a prompt does.
 */
const passCost = 10;
/** `usedAtMs` of an empty sequence: before all others. */
const never = -1;

/** Creates the slots. @param keepMs how long a state is kept for its owner; 0: not at all. */
export function createSequenceSlots<Sequence extends KeptSequence>(
  sequences: readonly Sequence[],
  keepMs: number,
  now: () => number = Date.now,
): SequenceSlots<Sequence> {
  const entries = sequences.map((sequence, number): Entry<Sequence> => ({
    slot: { number, sequence },
    owner: null,
    heldIds: [],
    usedAtMs: never,
    settled: Promise.resolve(),
  }));
  const free = new Set(entries);

  const empty = (entry: Entry<Sequence>): void => {
    entry.owner = null;
    entry.heldIds = [];
    entry.usedAtMs = never;
    entry.settled = entry.settled.catch(() => undefined).then(() => entry.slot.sequence.clearHistory());
    entry.settled.catch(() => undefined); // Whoever takes it next hears of it.
  };

  const sharedIds = (entry: Entry<Sequence>, { owner, promptIds }: SlotRequest): number => {
    if (owner === null || entry.owner !== owner || isExpired(entry)) return 0;
    const most = Math.min(entry.heldIds.length, promptIds.length - 1);
    let shared = 0;
    while (shared < most && entry.heldIds[shared] === promptIds[shared]) shared++;
    return shared < leastShared ? 0 : shared;
  };
  const isExpired = (entry: Entry<Sequence>): boolean => now() - entry.usedAtMs >= keepMs;

  /** 1: the sequence stands alone in a batch; 0: beside another; −1: it closes a gap. */
  const furtherPasses = ({ slot: { number } }: Entry<Sequence>): number => {
    const isBusy = (other: Entry<Sequence> | undefined): boolean => other !== undefined && !free.has(other);
    return 1 - Number(isBusy(entries[number - 1])) - Number(isBusy(entries[number + 1]));
  };

  const choose = (request: SlotRequest): { entry: Entry<Sequence>; shared: number } | undefined => {
    const candidates = [...free].map((entry) => {
      const shared = sharedIds(entry, request);
      return { entry, shared, cost: furtherPasses(entry) * passCost * request.maxTokens - shared };
    });
    // Of equals the empty ones first, then what has been kept longest, then the lowest number.
    candidates.sort(
      (one, other) =>
        one.cost - other.cost ||
        one.entry.usedAtMs - other.entry.usedAtMs ||
        one.entry.slot.number - other.entry.slot.number,
    );
    return candidates[0];
  };

  return {
    take: async (request) => {
      const chosen = choose(request);
      if (chosen === undefined) throw new Error('no free sequence');
      const { entry, shared } = chosen;
      const { sequence } = entry.slot;
      free.delete(entry);
      try {
        await entry.settled;
        if (shared === 0) {
          if (entry.heldIds.length > 0) await sequence.clearHistory();
        } else if (shared < entry.heldIds.length) {
          await sequence.eraseContextTokenRanges([{ start: shared, end: entry.heldIds.length }]);
        }
      } catch (error) {
        empty(entry);
        free.add(entry);
        throw error;
      }
      return { slot: entry.slot, cachedTokens: shared };
    },
    giveBack: (slot, owner) => {
      const entry = entries[slot.number];
      if (entry === undefined || free.has(entry)) return;
      free.add(entry);
      if (owner === null || keepMs === 0 || slot.sequence.needsCheckpoints) {
        empty(entry);
        return;
      }
      entry.owner = owner;
      entry.heldIds = slot.sequence.contextTokens;
      entry.usedAtMs = now();
    },
    expire: () => {
      for (const entry of free) if (entry.owner !== null && isExpired(entry)) empty(entry);
    },
  };
}
