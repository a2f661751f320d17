// Follows a policy directory: after each change the bundle is read and tested in another thread, and handed over when it is
// good. A bundle with a fault is told once. Knows nothing of snapshots: the live policies and the shadow are both followed.
import type { Logger } from '../../core/log.ts';
import { join } from 'node:path';
import { ConfigurationError, formatFinding, type Finding } from '../../core/yaml-file.ts';
import type { Bundle } from './bundle.ts';
import type { CandidateSource } from './candidate.ts';
import { createCandidateLoader, type CandidateLoader } from './candidate-loader.ts';
import { watchDirectory } from './directory-watch.ts';

/** What is followed, and who hears of it. */
export interface BundleFollowerOptions {
  readonly source: CandidateSource;
  readonly log: Logger;
  /** Digest of the bundle in use; empty when there is none. */
  readonly digest: () => string;
  /** A good bundle that differs from the one in use; what it throws makes the bundle a refused one. */
  readonly onBundle: (bundle: Bundle) => void;
  /** After each bundle that was refused (its findings) and when all is well again (none). */
  readonly onProblem?: ((findings: readonly Finding[]) => void) | undefined;
  /** In the log: whose bundle was refused and what goes on instead. */
  readonly refusedWords: string;
  readonly pollMs?: number | undefined;
  readonly quietMs?: number | undefined;
  /** For tests. */
  readonly loader?: CandidateLoader | undefined;
}

/** A directory that is followed. */
export interface BundleFollower {
  /** Why the newest edit is not in use, in words for an operator; null when all is well. */
  readonly problem: () => string | null;
  /** Reads the directory now; resolves to whether what is in use is what the directory says. Never rejects. */
  reload(): Promise<boolean>;
  close(): void;
}

/** Follows a directory from now on; reads nothing until something changes or `reload` is called. */
export function followBundle(options: BundleFollowerOptions): BundleFollower {
  const { source, log } = options;
  const loader = options.loader ?? createCandidateLoader();
  let refused: string | null = null;
  let closed = false;
  let waiting: Promise<boolean> | null = null;
  let last: Promise<unknown> = Promise.resolve();

  const refuse = (error: unknown): void => {
    const findings = findingsOf(error, source.directory);
    const problem = findings.map(formatFinding).join('\n');
    if (problem === refused) return;
    refused = problem;
    log.error({ digest: options.digest(), findings }, `${options.refusedWords}:\n${problem}`);
    options.onProblem?.(findings);
  };

  const recover = (): void => {
    if (refused === null) return;
    refused = null;
    log.info({ digest: options.digest() }, 'the policies in use are again what the directory says');
    options.onProblem?.([]);
  };

  const readNow = async (): Promise<boolean> => {
    waiting = null; // Whoever asks from now on may know of a later change.
    try {
      const bundle = await loader.load(source);
      if (closed) return false;
      if (bundle.digest !== options.digest()) options.onBundle(bundle);
      recover();
      return true;
    } catch (error) {
      if (!closed) refuse(error);
      return false;
    }
  };

  const reload = (): Promise<boolean> => {
    if (closed) return Promise.resolve(false);
    // One reading under way and one waiting behind it see every change.
    waiting ??= last.then(readNow);
    last = waiting;
    return waiting;
  };

  const { directory, requireTests } = source;
  const folders = requireTests === false ? [directory] : [directory, join(directory, 'tests')];
  const watches = folders.map((folder) =>
    watchDirectory({
      directory: folder,
      onChange: () => void reload(),
      pollMs: options.pollMs ?? 1_000,
      quietMs: options.quietMs ?? 100,
    }),
  );
  return {
    problem: () => refused,
    reload,
    close() {
      closed = true;
      for (const watch of watches) watch.close();
      loader.close();
    },
  };
}

function findingsOf(error: unknown, directory: string): readonly Finding[] {
  if (error instanceof ConfigurationError) return error.findings;
  // A bug of ours while compiling must not take the running policies down either.
  const message = `the policies could not be compiled (${error instanceof Error ? error.message : 'error'})`;
  return [{ file: directory, line: 1, column: 1, keyPath: '', code: 'not_compiled', message }];
}
