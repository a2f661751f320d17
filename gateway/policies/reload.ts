// Holds the snapshot in use and swaps it when the policy directory changes. A bundle with a fault is never used: the old
// one goes on, and that is said once in the log, in /readyz and to metrics.
import type { Logger } from '../../core/log.ts';
import { ConfigurationError, formatFinding, type Finding } from '../../core/yaml-file.ts';
import type { AuthenticationDeps } from '../authenticate/index.ts';
import type { RelationEngine } from '../authorize/index.ts';
import type { Snapshot } from '../snapshot.ts';
import { loadBundle, type Bundle } from './bundle.ts';
import type { PolicyContext } from './context.ts';
import { watchDirectory } from './directory-watch.ts';
import { buildSnapshot } from './snapshot.ts';

/** One swap, for the audit log. */
export interface PolicySwap {
  readonly oldDigest: string;
  readonly newDigest: string;
  /** Names of the files whose bytes differ. */
  readonly changedFiles: readonly string[];
  /** Version of the new snapshot. */
  readonly version: number;
}

/** What the policies are compiled with, and who hears of changes. */
export interface PolicyHolderOptions {
  readonly directory: string;
  readonly context: PolicyContext;
  /** What the issuers need; `previous` is filled in here. */
  readonly authentication: Omit<AuthenticationDeps, 'previous'>;
  /** Who holds the relationships; absent: relations.yaml says all there is. */
  readonly relations?: RelationEngine;
  readonly log: Logger;
  /** After each swap. */
  readonly onSwap?: (swap: PolicySwap) => void;
  /** After each bundle that was refused (its findings) and when all is well again (none). */
  readonly onProblem?: (findings: readonly Finding[]) => void;
  readonly pollMs?: number;
  readonly quietMs?: number;
}

/** The policies in use. */
export interface PolicyHolder {
  /** The snapshot in use; a request takes it once. */
  readonly current: () => Snapshot;
  /** The bundle of that snapshot. */
  readonly bundle: () => Bundle;
  /** Why the newest edit is not in use, in words for an operator; null when all is well. */
  readonly problem: () => string | null;
  /** Reads the directory now (SIGHUP); @returns whether what is in use is what the directory says. */
  reload(): boolean;
  /** Resolves when the first round of fetching the issuers' keys is over, well or badly. */
  readonly ready: Promise<void>;
  /** Stops watching and the schedules of the issuers. */
  close(): void;
}

/**
 * Loads the policies, then keeps them current.
 * @throws ConfigurationError when the first bundle has a fault: a gateway does not start without good policies.
 */
export function watchPolicies(options: PolicyHolderOptions): PolicyHolder {
  const { directory, context, log } = options;
  const relations = options.relations === undefined ? {} : { relations: options.relations };
  let bundle = loadBundle(directory, context);
  let snapshot = buildSnapshot(bundle, {
    version: 1,
    context,
    authentication: options.authentication,
    ...relations,
  });
  let refused: string | null = null;
  logWarnings(bundle, log);
  const ready = snapshot.authentication.start();

  const refuse = (error: unknown): void => {
    const findings = findingsOf(error, directory);
    const problem = findings.map(formatFinding).join('\n');
    if (problem === refused) return;
    refused = problem;
    log.error(
      { digest: snapshot.digest, findings },
      `the edited policies are not used; the old ones go on:\n${problem}`,
    );
    options.onProblem?.(findings);
  };

  const recover = (): void => {
    if (refused === null) return;
    refused = null;
    log.info({ digest: snapshot.digest }, 'the policies in use are again what the directory says');
    options.onProblem?.([]);
  };

  const swap = (next: Bundle): void => {
    const previous = snapshot;
    const version = previous.version + 1;
    const authentication = { ...options.authentication, previous: previous.authentication };
    const built = buildSnapshot(next, { version, context, authentication, ...relations });
    // rules.yaml may come and go.
    const names = new Set([...bundle.fileDigests.keys(), ...next.fileDigests.keys()]);
    const changedFiles = [...names].filter(
      (name) => bundle.fileDigests.get(name) !== next.fileDigests.get(name),
    );
    // One assignment: a request sees either the old snapshot or the new one, whole.
    snapshot = built;
    bundle = next;
    void built.authentication.start(); // Never rejects; the new issuers fetch their keys beside running requests.
    previous.authentication.close();
    log.info(
      { digest: built.digest, old_digest: previous.digest, changed_files: changedFiles, version },
      'the policies were swapped',
    );
    logWarnings(next, log);
    try {
      options.onSwap?.({ oldDigest: previous.digest, newDigest: built.digest, changedFiles, version });
    } catch (error) {
      // The swap has happened; a record that cannot be written is the audit log's own problem (/readyz).
      log.error(
        { fault: error instanceof Error ? error.name : 'unknown' },
        'recording the swap of the policies failed',
      );
    }
  };

  const reload = (): boolean => {
    try {
      const next = loadBundle(directory, context);
      if (next.digest !== snapshot.digest) swap(next);
      recover();
      return true;
    } catch (error) {
      refuse(error);
      return false;
    }
  };

  const watching = watchDirectory({
    directory,
    onChange: reload,
    pollMs: options.pollMs ?? 1_000,
    quietMs: options.quietMs ?? 100,
  });
  return {
    current: () => snapshot,
    bundle: () => bundle,
    problem: () => refused,
    reload,
    ready,
    close() {
      watching.close();
      snapshot.authentication.close();
    },
  };
}

function findingsOf(error: unknown, directory: string): readonly Finding[] {
  if (error instanceof ConfigurationError) return error.findings;
  // A bug of ours while compiling must not take the running policies down either.
  const message = `the policies could not be compiled (${error instanceof Error ? error.name : 'error'})`;
  return [{ file: directory, line: 1, column: 1, keyPath: '', code: 'not_compiled', message }];
}

function logWarnings(bundle: Bundle, log: Logger): void {
  for (const warning of bundle.warnings) log.warn({ finding: warning }, formatFinding(warning));
}
