// Holds the snapshot in use and swaps it when the policy directory changes. A bundle with a fault or a failing test is never
// used: the old one goes on, and that is said once in the log, in /readyz and to metrics.
import type { Logger } from '../../core/log.ts';
import { formatFinding, type Finding } from '../../core/yaml-file.ts';
import type { AuthenticationDeps } from '../authenticate/index.ts';
import type { RelationEngine } from '../authorize/index.ts';
import type { Snapshot } from '../snapshot.ts';
import type { Bundle } from './bundle.ts';
import { bundleChanges } from './bundle-changes.ts';
import { followBundle, type BundleFollower } from './bundle-follower.ts';
import { judgeCandidate, type CandidateSource, type RequireTests } from './candidate.ts';
import type { PolicyContext } from './context.ts';
import { buildSnapshot } from './snapshot.ts';

/** One swap, for the audit log. */
export interface PolicySwap {
  readonly oldDigest: string;
  readonly newDigest: string;
  /** Names of the files whose bytes differ. */
  readonly changedFiles: readonly string[];
  /** What changed, in words (bundle-changes.ts). */
  readonly changes: readonly string[];
  /** Version of the new snapshot. */
  readonly version: number;
}

/** What the policies are compiled with, and who hears of changes. */
export interface PolicyHolderOptions {
  readonly directory: string;
  readonly context: PolicyContext;
  /** Whether the bundle's own tests decide about its use. */
  readonly requireTests: RequireTests;
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
  /** Reads the directory now (SIGHUP); resolves to whether what is in use is what the directory says. Never rejects. */
  reload(): Promise<boolean>;
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
  const { directory, context, requireTests, log } = options;
  const relations = options.relations === undefined ? {} : { relations: options.relations };
  const source: CandidateSource = { directory, context, requireTests };
  // Before the first reading: an edit from here on is told, and what was read now is not read again in a thread, which
  // would cost every start some 40 MiB.
  const follower = followBundle({
    source,
    log,
    digest: () => snapshot.digest,
    onBundle: (next) => swap(next),
    onProblem: options.onProblem,
    refusedWords: 'the edited policies are not used; the old ones go on',
    pollMs: options.pollMs,
    quietMs: options.quietMs,
  });
  let bundle = firstBundle(source, follower);
  let snapshot = buildSnapshot(bundle, {
    version: 1,
    context,
    authentication: options.authentication,
    ...relations,
  });
  logWarnings(bundle, log);
  const ready = snapshot.authentication.start();
  followRelations(snapshot, options.relations);

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
    const changes = bundleChanges(bundle, next);
    // One assignment: a request sees either the old snapshot or the new one, whole.
    snapshot = built;
    bundle = next;
    followRelations(built, options.relations);
    void built.authentication.start(); // Never rejects; the new issuers fetch their keys beside running requests.
    previous.authentication.close();
    log.info(
      { digest: built.digest, old_digest: previous.digest, changed_files: changedFiles, changes, version },
      'the policies were swapped',
    );
    logWarnings(next, log);
    try {
      options.onSwap?.({
        oldDigest: previous.digest,
        newDigest: built.digest,
        changedFiles,
        changes,
        version,
      });
    } catch (error) {
      // The swap has happened; a record that cannot be written is the audit log's own problem (/readyz).
      log.error(
        { fault: error instanceof Error ? error.name : 'unknown' },
        'recording the swap of the policies failed',
      );
    }
  };

  return {
    current: () => snapshot,
    bundle: () => bundle,
    problem: follower.problem,
    reload: () => follower.reload(),
    ready,
    close() {
      follower.close();
      snapshot.authentication.close();
    },
  };
}

/** @throws ConfigurationError after which nothing is followed */
function firstBundle(source: CandidateSource, follower: BundleFollower): Bundle {
  try {
    return judgeCandidate(source);
  } catch (error) {
    follower.close();
    throw error;
  }
}

function logWarnings(bundle: Bundle, log: Logger): void {
  for (const warning of bundle.warnings) log.warn({ finding: warning }, formatFinding(warning));
}

/** Relations that come from elsewhere are followed from the first rule that asks for any. */
function followRelations({ rules }: Snapshot, engine: RelationEngine | undefined): void {
  if (rules.asksRelations && engine?.kind === 'embedded') engine.learned?.wanted();
}
