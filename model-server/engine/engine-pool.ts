// The engine processes of one model, seen as one: which of them a completion goes to, and their sums. Each keeps its own
// sequences and what they hold; when one dies, what ran there fails, the others go on, and it is started again.
import { EngineLost, startEngineProcess, type EngineEvents, type EngineProcess } from './engine-process.ts';
import type { BatchStatistics, EngineOptions, ModelCard } from './messages.ts';

/** An engine on which a completion may run; `leave` gives the sequence back, once. */
export interface Seat {
  readonly engine: EngineProcess;
  readonly leave: () => void;
}

/** Who wants a sequence. */
export interface SeatRequest {
  /** Opaque key of the principal; null: nothing is reused. */
  readonly owner: string | null;
  readonly promptIds: readonly number[];
}

/** The engines of one model. */
export interface EnginePool {
  /** Null while no engine is ready. */
  readonly card: () => ModelCard | null;
  readonly ready: () => number;
  readonly size: number;
  /** Sequences of the engines that are ready; of all while none is, so that those who wait are told at once. */
  readonly places: () => number;
  /** Takes a sequence of the engine that has least to do for it. @throws EngineLost when none is free. */
  readonly seat: (request: SeatRequest) => Seat;
  /** The engine with least to do, for calls that need no sequence. @throws EngineLost while none is ready. */
  readonly idlest: () => EngineProcess;
  /** Has a listener told whenever an engine has become ready (again). */
  readonly onPlaces: (listener: () => void) => void;
  readonly restarts: () => number;
  readonly statistics: () => BatchStatistics;
  readonly processIds: () => readonly number[];
  readonly close: () => Promise<void>;
}

interface Member {
  readonly engine: EngineProcess;
  running: number;
  /** The latest prompts that ran here, the newest last; as many as there are sequences. */
  recent: readonly SeatRequest[];
}

/** A completion that runs weighs as much as this many ids of a prompt that need not be read again. */
const idsPerRunning = 64;

/** Starts `count` engines. @throws Error with the reason when one of them does not get ready. */
export async function startEnginePool(
  count: number,
  options: EngineOptions,
  events: EngineEvents,
): Promise<EnginePool> {
  const listeners: (() => void)[] = [];
  const onReady = (card: ModelCard): void => {
    events.onReady(card);
    for (const listener of listeners) listener();
  };
  const started = await Promise.allSettled(
    Array.from({ length: count }, () => startEngineProcess(options, { ...events, onReady })),
  );
  const engines = started.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const failed = started.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) {
    await Promise.all(engines.map((engine) => engine.close()));
    throw failed.reason as Error; // startEngineProcess rejects with nothing else.
  }
  return createEnginePool(engines, options.sequences, (listener) => void listeners.push(listener));
}

/** Treats engines that have been started as one. @param sequences of each. */
export function createEnginePool(
  engines: readonly EngineProcess[],
  sequences: number,
  onPlaces: EnginePool['onPlaces'],
): EnginePool {
  const members = engines.map((engine): Member => ({ engine, running: 0, recent: [] }));
  const ready = (): Member[] => members.filter(({ engine }) => engine.card() !== null);
  const lost = (): EngineLost => new EngineLost(1);

  const seat: EnginePool['seat'] = (request) => {
    const free = ready().filter(({ running }) => running < sequences);
    const weight = (member: Member): number => member.running - sharedIds(member, request) / idsPerRunning;
    const member = least(free, weight);
    if (member === undefined) throw lost();
    member.running++;
    member.recent = [...member.recent, request].slice(-sequences);
    let isLeft = false;
    return {
      engine: member.engine,
      leave: () => {
        if (isLeft) return;
        isLeft = true;
        member.running--;
      },
    };
  };

  return {
    card: () => ready()[0]?.engine.card() ?? null,
    ready: () => ready().length,
    size: members.length,
    places: () => (ready().length || members.length) * sequences,
    seat,
    idlest: () => {
      const member = least(ready(), ({ running }) => running);
      if (member === undefined) throw lost();
      return member.engine;
    },
    onPlaces,
    restarts: () => engines.reduce((sum, engine) => sum + engine.restarts(), 0),
    statistics: () => ({
      batches: engines.reduce((sum, engine) => sum + engine.statistics().batches, 0),
      items: engines.reduce((sum, engine) => sum + engine.statistics().items, 0),
    }),
    processIds: () => engines.map((engine) => engine.processId()).filter((id) => id !== null),
    close: async () => {
      await Promise.all(engines.map((engine) => engine.close()));
    },
  };
}

/** How much of the prompt the engine has lately read for the same principal; a guess, the engine itself decides. */
function sharedIds({ recent }: Member, { owner, promptIds }: SeatRequest): number {
  if (owner === null) return 0;
  return recent.reduce((longest, earlier) => {
    if (earlier.owner !== owner) return longest;
    let shared = 0;
    while (shared < promptIds.length && promptIds[shared] === earlier.promptIds[shared]) shared++;
    return Math.max(longest, shared);
  }, 0);
}

function least<T>(candidates: readonly T[], weigh: (candidate: T) => number): T | undefined {
  return candidates.reduce<T | undefined>(
    (best, candidate) => (best === undefined || weigh(candidate) < weigh(best) ? candidate : best),
    undefined,
  );
}
