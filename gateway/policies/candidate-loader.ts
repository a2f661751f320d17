// Asks the candidate thread, one question at a time. The thread is started for the first question, kept for a while after
// the last, and never keeps the process alive by itself.
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { ConfigurationError } from '../../core/yaml-file.ts';
import type { Bundle } from './bundle.ts';
import type { CandidateSource } from './candidate.ts';
import type { CandidateVerdict } from './candidate-thread.ts';

/** Reads and tests candidates outside the event loop. */
export interface CandidateLoader {
  /** @throws ConfigurationError with every finding; Error when the thread failed or took too long */
  load(source: CandidateSource): Promise<Bundle>;
  /** Ends the thread; a question under way is answered with an error. */
  close(): void;
}

/** How patient a loader is, milliseconds. */
export interface CandidateLoaderOptions {
  /** A candidate that takes longer is refused: its tests or patterns are beyond reason. */
  readonly limitMs?: number;
  /** The thread ends after so long without a question. */
  readonly idleMs?: number;
}

/** Creates a loader; starts nothing yet. */
export function createCandidateLoader({
  limitMs = 60_000,
  idleMs = 10_000,
}: CandidateLoaderOptions = {}): CandidateLoader {
  let thread: Worker | null = null;
  let last: Promise<unknown> = Promise.resolve();
  let idle: NodeJS.Timeout | undefined;
  let closed = false;

  const end = (): void => {
    clearTimeout(idle);
    void thread?.terminate();
    thread = null;
  };

  const ask = async (source: CandidateSource): Promise<Bundle> => {
    if (closed) throw new Error('the policies are no longer followed');
    clearTimeout(idle);
    const asked = (thread ??= newThread());
    try {
      return bundleOf(await answerOf(asked, source, limitMs));
    } catch (error) {
      // A thread that failed or hangs answers nothing any more.
      if (!(error instanceof ConfigurationError)) end();
      throw error;
    } finally {
      idle = setTimeout(end, idleMs);
      idle.unref();
    }
  };
  return {
    load(source) {
      const answer = last.then(() => ask(source));
      last = answer.catch(() => undefined);
      return answer;
    },
    close() {
      closed = true;
      end();
    },
  };
}

function newThread(): Worker {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const thread = new Worker(fileURLToPath(new URL(`./candidate-thread.${extension}`, import.meta.url)));
  thread.unref();
  return thread;
}

function answerOf(thread: Worker, source: CandidateSource, limitMs: number): Promise<CandidateVerdict> {
  return new Promise((resolve, reject) => {
    const forget = (): void => {
      clearTimeout(limit);
      thread.off('message', answered).off('error', failed).off('exit', ended);
      thread.unref();
    };
    const fail = (words: string): void => {
      forget();
      thread.on('error', () => undefined); // It is ended; what it says then is of no interest.
      reject(new Error(words));
    };
    const answered = (verdict: CandidateVerdict): void => {
      forget();
      resolve(verdict);
    };
    const failed = (): void => fail('the thread that reads the policies failed');
    const ended = (): void => fail('the thread that reads the policies ended');
    const limit = setTimeout(() => fail('reading and testing the policies took too long'), limitMs);
    thread.on('message', answered).on('error', failed).on('exit', ended);
    thread.ref();
    thread.postMessage(source);
  });
}

function bundleOf(verdict: CandidateVerdict): Bundle {
  if ('bundle' in verdict) return verdict.bundle;
  if ('findings' in verdict) throw new ConfigurationError(verdict.findings);
  throw new Error(`the policies could not be judged (${verdict.fault})`);
}
