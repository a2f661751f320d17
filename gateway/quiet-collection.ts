// What a rush leaves on the heap goes back to the system when it is over. V8 does that by itself, in small steps, but only
// where its last collections say that little is allocated; a process that falls silent has no more collections, so their
// last word stays "much". One collection of the young generation in the silence (1 to 3 ms) tells it otherwise.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** What the gateway is doing. */
export interface Activity {
  /** Requests under way. */
  readonly active: () => number;
  /** Requests that ever began. */
  readonly begun: () => number;
}

/** What a test replaces. */
export interface QuietCollectionOptions {
  /** Default: V8's own collection of the young generation. */
  readonly collect?: () => void;
  readonly intervalMs?: number;
}

/**
 * Collects the young generation once in every silence: when no request is under way and none has begun for one to two
 * seconds. V8 then gives back what is not used, within about ten. @returns what ends it
 */
export function collectWhenQuiet(
  { active, begun }: Activity,
  { collect = collectYoung, intervalMs = 1_000 }: QuietCollectionOptions = {},
): () => void {
  let known = begun();
  let isCollected = false;
  const timer = setInterval(() => {
    const isQuiet = active() === 0 && begun() === known;
    known = begun();
    if (isQuiet && !isCollected) collect();
    isCollected = isQuiet;
  }, intervalMs).unref();
  return () => clearInterval(timer);
}

type Collector = (options: { readonly type: 'minor' }) => void;

let collector: Collector | null = null;

/** V8's `gc` is made with the contexts that come after its flag; no code but this has one. */
function collectYoung(): void {
  if (collector === null) {
    setFlagsFromString('--expose-gc');
    collector = runInNewContext('gc') as Collector; // What the flag puts there.
    setFlagsFromString('--no-expose-gc');
  }
  collector({ type: 'minor' });
}
