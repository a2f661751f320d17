// The parent's side of one engine child: starts it, correlates requests with results, and starts it again with
// backoff when it dies. Whatever was running then fails with `EngineLost`; nothing waits for an answer in vain.
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type {
  BatchStatistics,
  EngineOptions,
  EngineReport,
  EngineRequest,
  EngineResult,
  ModelCard,
} from './messages.ts';

/** The engine died, or is not there yet; the request may succeed after `retryAfterSeconds`. */
export class EngineLost extends Error {
  readonly retryAfterSeconds: number;
  constructor(retryAfterSeconds: number) {
    super('the inference engine ended');
    this.name = 'EngineLost';
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** What the owner of an engine process is told. */
export interface EngineEvents {
  /** The child ended although nobody asked; `problem` is the last line it wrote, if any. */
  readonly onLost: (how: { exit: string; problem: string | null; restartInMs: number }) => void;
  readonly onReady: (card: ModelCard) => void;
}

/** A request to the child without its id. */
export type EngineCall =
  | Omit<Extract<EngineRequest, { kind: 'tokenize' }>, 'id'>
  | Omit<Extract<EngineRequest, { kind: 'generate' }>, 'id'>
  | Omit<Extract<EngineRequest, { kind: 'embed' }>, 'id'>;

/** One engine child and its successors. */
export interface EngineProcess {
  /** Null while the child is starting or waiting to be started again. */
  readonly card: () => ModelCard | null;
  readonly restarts: () => number;
  readonly statistics: () => BatchStatistics;
  readonly processId: () => number | null;
  /** Sends a call; `onResult` receives each result, the last of which ends it. @throws EngineLost, Error */
  readonly call: (
    request: EngineCall,
    onResult: (result: EngineResult) => void,
  ) => { readonly id: number; readonly done: Promise<void> };
  readonly abort: (id: number) => void;
  readonly close: () => Promise<void>;
}

const firstBackoffMs = 100;
const longestBackoffMs = 10_000;
/** Silence of a child that has work; whatever it does then, it does not decode. */
const longestSilenceMs = 120_000;
/** A child that lived this long starts the backoff anew. */
const healthyAfterMs = 30_000;

interface PendingCall {
  readonly onResult: (result: EngineResult) => void;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * Starts the child and waits until its model is loaded.
 * @throws Error with the reason when the first start fails; later failures are retried.
 */
export async function startEngineProcess(
  options: EngineOptions,
  events: EngineEvents,
): Promise<EngineProcess> {
  const pending = new Map<number, PendingCall>();
  let nextId = 1;
  let child: ChildProcess | null = null;
  let card: ModelCard | null = null;
  let statistics: BatchStatistics = { batches: 0, items: 0 };
  let earlier: BatchStatistics = { batches: 0, items: 0 };
  let restarts = 0;
  let backoffMs = firstBackoffMs;
  let timer: NodeJS.Timeout | undefined;
  let heardAtMs = Date.now();
  let isClosing = false;

  const retryAfterSeconds = (): number => Math.max(1, Math.ceil(backoffMs / 1000));

  const loseAll = (): void => {
    const calls = [...pending.values()];
    pending.clear();
    for (const call of calls) call.reject(new EngineLost(retryAfterSeconds()));
  };

  const receiveResult = (result: EngineResult): void => {
    const call = pending.get(result.id);
    if (call === undefined) return;
    if (result.kind !== 'text') pending.delete(result.id);
    if (result.kind === 'failed') {
      call.reject(new Error(result.problem));
      return;
    }
    call.onResult(result);
    if (result.kind !== 'text') call.resolve();
  };

  /** Resolves once the model is loaded, rejects when this child will not get there. */
  const startChild = (): Promise<ModelCard> =>
    new Promise((resolve, reject) => {
      const started = forkEngine(options);
      const startedAtMs = Date.now();
      let lastLine: string | null = null;
      child = started;
      started.stderr?.setEncoding('utf8').on('data', (text: string) => {
        lastLine = text.trim().split('\n').at(-1)?.slice(0, 300) ?? lastLine;
      });
      started.on('message', (message) => {
        heardAtMs = Date.now();
        const report = message as EngineReport; // Only the child holds the other end of the channel.
        if (report.kind === 'results') {
          statistics = {
            batches: earlier.batches + report.statistics.batches,
            items: earlier.items + report.statistics.items,
          };
          report.results.forEach(receiveResult);
        } else if (report.kind === 'ready') {
          card = report.card;
          events.onReady(card);
          resolve(card);
        } else {
          lastLine = report.problem;
          started.kill('SIGKILL');
        }
      });
      started.on('error', (error) => reject(error));
      started.on('exit', (code, signal) => {
        if (child !== started) return;
        const wasReady = card !== null;
        child = null;
        card = null;
        earlier = statistics;
        if (Date.now() - startedAtMs > healthyAfterMs) backoffMs = firstBackoffMs;
        loseAll();
        reject(new Error(lastLine ?? `the engine ended (${signal ?? `exit code ${code ?? '?'}`})`));
        if (!isClosing && (wasReady || restarts > 0)) restart(signal ?? `exit code ${code ?? '?'}`, lastLine);
      });
      started.send({ kind: 'load', options } satisfies EngineRequest);
    });

  const restart = (exit: string, problem: string | null): void => {
    const restartInMs = backoffMs;
    events.onLost({ exit, problem, restartInMs });
    restarts++;
    backoffMs = Math.min(longestBackoffMs, backoffMs * 2);
    timer = setTimeout(() => {
      startChild().catch(() => undefined); // Its exit has scheduled the next attempt.
    }, restartInMs);
  };

  await startChild();
  const watchdog = setInterval(() => {
    if (pending.size > 0 && Date.now() - heardAtMs > longestSilenceMs) child?.kill('SIGKILL');
  }, 5_000).unref();

  return {
    card: () => card,
    restarts: () => restarts,
    statistics: () => statistics,
    processId: () => child?.pid ?? null,
    call: (request, onResult) => {
      const id = nextId++;
      const done = new Promise<void>((resolve, reject) => {
        if (card === null || child === null || isClosing) {
          reject(new EngineLost(retryAfterSeconds()));
          return;
        }
        if (pending.size === 0) heardAtMs = Date.now();
        pending.set(id, { onResult, resolve, reject });
        child.send({ ...request, id });
      });
      return { id, done };
    },
    abort: (id) => {
      if (pending.has(id)) child?.send({ kind: 'abort', id } satisfies EngineRequest);
    },
    close: async () => {
      isClosing = true;
      clearTimeout(timer);
      clearInterval(watchdog);
      const last = child;
      if (last === null) return;
      const ended = new Promise<void>((resolve) => last.once('exit', () => resolve()));
      last.kill('SIGKILL'); // It holds nothing that an orderly end would save.
      await ended;
    },
  };
}

function forkEngine({ threads }: Pick<EngineOptions, 'threads'>): ChildProcess {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const program = fileURLToPath(new URL(`./main.${extension}`, import.meta.url));
  return fork(program, [], {
    env: { ...engineEnvironment(), UV_THREADPOOL_SIZE: String(poolSize(threads)) },
    execArgv: [],
    serialization: 'json',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
}

/**
 * Threads that compute and sample. One computes the step while another may embed; each further one is only woken to sample,
 * which with one thread of llama.cpp cost the small model 5 % of its processor time at 8 streams.
 */
function poolSize(threads: number): number {
  return Math.min(4, threads + 1);
}

/** What the child needs of our environment: no secret is there for a prompt that takes over llama.cpp. */
function engineEnvironment(): NodeJS.ProcessEnv {
  const needed =
    /^(PATH|HOME|TMPDIR|LANG|LD_LIBRARY_PATH|DYLD_.*|GGML_.*|LLAMA_.*|OMP_.*|CUDA_.*|VK_.*|NODE_ENV)$/;
  const kept = Object.entries(process.env).filter(([name]) => needed.test(name));
  return { ...Object.fromEntries(kept), NODE_LLAMA_CPP_SKIP_DOWNLOAD: 'true' };
}
