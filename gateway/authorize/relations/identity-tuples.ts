// The tuples that the embedded identity holds, followed: read whole at start, when identity says that they changed, and
// now and then in case that was missed. While identity is away the last ones are believed for a while, then none is known.
import type { Logger } from '../../../core/log.ts';
import type { LearnedTuples } from './embedded-store.ts';

/** What identity answers: the tuples with their tag, or null when those with the given tag are still the newest. */
export type FetchTuples = (
  etag: string | null,
  signal: AbortSignal,
) => Promise<{ readonly etag: string | null; readonly tuples: readonly string[] } | null>;

/** Followed tuples, with a lifetime. */
export interface IdentityTuples extends LearnedTuples {
  /** They may have changed: reads them, after a reading under way. */
  changed(): void;
  /** Why they are not the newest, in words for an operator; null when they are. */
  problem(): string | null;
  close(): void;
}

/** How they are followed. */
export interface IdentityTuplesOptions {
  readonly fetch: FetchTuples;
  /** How long the last ones are believed while identity is away. */
  readonly toleranceMs: number;
  /** Between two readings without a word of identity. */
  readonly pollMs?: number;
  /** Between two tries while identity is away. */
  readonly retryMs?: number;
  readonly timeoutMs?: number;
  /** Monotonic milliseconds. */
  readonly clock?: () => number;
  readonly log: Logger;
}

/** Follows them from when they are wanted; never throws, and never keeps the process alive. */
export function followIdentityTuples(options: IdentityTuplesOptions): IdentityTuples {
  const { fetch, toleranceMs, log } = options;
  const { pollMs = 15_000, retryMs = 1_000, timeoutMs = 5_000, clock = () => performance.now() } = options;
  const stop = new AbortController();
  let known: { readonly etag: string | null; readonly tuples: readonly string[] } | null = null;
  let readAt = 0;
  let problem: string | null = 'the relations of the identity server have not been read yet';
  let timer: NodeJS.Timeout | undefined;
  let isReading = false;
  let isWanted = false;
  let changes = 0;

  const fail = (error: unknown): void => {
    const now = error instanceof Error ? error.message : 'the request failed';
    if (problem === null) log.warn({ problem: now }, 'the relations of the identity server cannot be read');
    problem = now;
  };
  const read = async (): Promise<void> => {
    const startedAt = clock();
    try {
      const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(timeoutMs)]);
      known = (await fetch(known?.etag ?? null, signal)) ?? known;
      // What was true when the reading began is what is known.
      readAt = startedAt;
      if (problem !== null) log.info({}, 'the relations of the identity server are known');
      problem = null;
    } catch (error) {
      fail(error);
    }
  };
  const run = async (): Promise<void> => {
    changes++;
    if (isReading) return;
    isReading = true;
    clearTimeout(timer);
    let seen: number;
    do {
      seen = changes;
      await read();
    } while (seen !== changes && !stop.signal.aborted);
    isReading = false;
    if (stop.signal.aborted) return;
    timer = setTimeout(() => void run(), problem === null ? pollMs : retryMs);
    timer.unref();
  };

  return {
    wanted() {
      if (isWanted) return;
      isWanted = true;
      void run();
    },
    current: () => (known !== null && clock() - readAt <= toleranceMs + pollMs ? known.tuples : null),
    changed() {
      if (isWanted) void run();
    },
    problem: () => (isWanted ? problem : null),
    close() {
      stop.abort();
      clearTimeout(timer);
    },
  };
}

/** The tuples in a document of identity. @throws Error when it is none: half of them could hide the one that bans */
export function tuplesIn(document: Readonly<Record<string, unknown>> | null): readonly string[] {
  const tuples = document?.['tuples'];
  if (!Array.isArray(tuples) || !tuples.every((each): each is string => typeof each === 'string'))
    throw new Error('the answer holds no list of tuples');
  return tuples;
}
