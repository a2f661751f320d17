// What a rush leaves on the heap goes back to the system when it is over. V8 does that by itself only where its last
// collections say that little is allocated; a process that falls silent has no more collections, so their last word stays
// "much", and a gateway that rests would hold what it needed at its worst. A whole collection takes up to 0.1 s in which
// nothing else runs, and with the last request of each kind the shapes of its objects go, on which compiled code rests: the next
// tens of thousands of requests cost a fifth more. Hence the conditions: nobody came for long, and it is worth it.
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
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
  /** Default: V8's own, which gives back every page that it can. */
  readonly collect?: () => void;
  /** What V8 has of the system for its heap. */
  readonly heapBytes?: () => number;
}

const lookMs = 1_000;
/** So many looks in turn must find silence. */
const quietLooks = 120;
/** What the heap must have grown by since the last one. */
const worthBytes = 16 * 1_048_576;

/**
 * Collects once in a silence: when no request is under way, none has begun for two minutes, and the heap takes 16 MiB more
 * than after the last time. @returns what ends it
 */
export function collectWhenQuiet(
  { active, begun }: Activity,
  { collect = collectAll, heapBytes = heapSize }: QuietCollectionOptions = {},
): () => void {
  let known = begun();
  let quiet = 0;
  let lastBytes = 0;
  const timer = setInterval(() => {
    quiet = active() === 0 && begun() === known ? quiet + 1 : 0;
    known = begun();
    if (quiet < quietLooks || heapBytes() < lastBytes + worthBytes) return;
    collect();
    lastBytes = heapBytes();
  }, lookMs).unref();
  return () => clearInterval(timer);
}

function heapSize(): number {
  return getHeapStatistics().total_heap_size;
}

type Collector = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

let collector: Collector | null = null;

/** V8's `gc` is made with the contexts that come after its flag; no code but this has one. */
function collectAll(): void {
  if (collector === null) {
    setFlagsFromString('--expose-gc');
    collector = runInNewContext('gc') as Collector; // What the flag puts there.
    setFlagsFromString('--no-expose-gc');
  }
  collector({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
