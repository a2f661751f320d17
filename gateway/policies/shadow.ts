// A candidate bundle beside the live one: each decision on live traffic is made again under the candidate once the request
// has ended. Differences are counted and listed; nothing is enforced, and no fault of the candidate reaches a request.
import type { IncomingHttpHeaders } from 'node:http';
import type { Logger } from '../../core/log.ts';
import { decisionRecord, type DecisionRecord } from '../accounting/decision-record.ts';
import type { Received } from '../exchange.ts';
import type { Principal } from '../principal.ts';
import { followBundle } from './bundle-follower.ts';
import type { PolicyContext } from './context.ts';
import { createEvaluator, type Evaluator } from './evaluation/evaluate.ts';
import { createRedecider, type Redecision } from './evaluation/redecide.ts';

/** Decisions of one kind that the candidate makes otherwise. */
export interface ShadowDifference {
  readonly principal: string;
  readonly issuer: string;
  readonly action: string;
  readonly model: string | null;
  readonly live: Pick<DecisionRecord, 'decision' | 'code' | 'by'>;
  readonly candidate: Redecision;
  count: number;
  readonly first_at: string;
  last_at: string;
  /** The newest of them. */
  request_id: string;
}

/** What a shadow has found since its bundle was read. */
export interface ShadowReport {
  /** Digest of the candidate; null while it cannot be used. */
  readonly digest: string | null;
  /** Why not, in words for an operator. */
  readonly problem: string | null;
  readonly since: string;
  readonly compared: number;
  readonly different: number;
  /** Decisions that were not compared: too many at once, or the candidate failed on them. */
  readonly dropped: number;
  readonly failed: number;
  /** Newest first. */
  readonly differences: readonly ShadowDifference[];
}

/** A candidate beside the live policies. */
export interface Shadow {
  /** Takes a request that has ended; compares later. Never throws. */
  compare(received: Received): void;
  readonly report: () => ShadowReport;
  /** Reads the candidate now. */
  reload(): Promise<boolean>;
  close(): void;
}

/** What a comparison was; for metrics. */
export type ShadowOutcome = 'permit' | 'deny' | 'error' | 'dropped';

/** Where the candidate is, and who counts. */
export interface ShadowOptions {
  readonly directory: string;
  readonly context: PolicyContext;
  readonly log: Logger;
  /** `rule` is the candidate's decider where the two differ, else empty. */
  readonly onCompared: (live: 'permit' | 'deny', candidate: ShadowOutcome, rule: string) => void;
  readonly pollMs?: number;
  readonly quietMs?: number;
}

/** Different kinds of difference that are listed; the longest unseen gives way. */
const mostDifferences = 200;
/** Decisions that wait; further ones are dropped. */
const mostWaiting = 1_000;
/** Comparing holds the event loop no longer than this, milliseconds. */
const turnMs = 2;

interface Waiting {
  readonly record: DecisionRecord;
  readonly principal: Principal;
  readonly headers: IncomingHttpHeaders;
}

/** Follows the candidate from now on. A candidate that is not there or has a fault compares nothing and says so. */
export function createShadow(options: ShadowOptions): Shadow {
  return new FollowedShadow(options);
}

class FollowedShadow implements Shadow {
  readonly #options: ShadowOptions;
  readonly #follower;
  #evaluator: Evaluator | null = null;
  #redecide: ReturnType<typeof createRedecider> | null = null;
  #waiting: Waiting[] = [];
  #isScheduled = false;
  #found = emptyFindings();

  constructor(options: ShadowOptions) {
    this.#options = options;
    const { directory, context, log } = options;
    this.#follower = followBundle({
      source: { directory, context, requireTests: false },
      log,
      digest: () => this.#evaluator?.snapshot.digest ?? '',
      onBundle: (bundle) => {
        const evaluator = createEvaluator({ bundle, context });
        this.#evaluator?.snapshot.authentication.close();
        this.#evaluator = evaluator;
        this.#redecide = createRedecider(evaluator);
        this.#waiting = [];
        this.#found = emptyFindings();
        log.info({ digest: bundle.digest }, 'the shadow policies are compared with the live ones');
      },
      refusedWords: 'the shadow policies cannot be used; the live ones are not concerned',
      pollMs: options.pollMs,
      quietMs: options.quietMs,
    });
    void this.#follower.reload(); // Never rejects.
  }

  compare(received: Received): void {
    if (this.#redecide === null) return;
    try {
      const record = decisionRecord(received);
      const { principal } = received.outcome;
      if (record === null || principal === null) return;
      if (this.#waiting.length >= mostWaiting) {
        this.#found.dropped++;
        this.#options.onCompared(record.decision, 'dropped', '');
        return;
      }
      this.#waiting.push({ record, principal, headers: received.request.headers });
      this.#schedule();
    } catch (error) {
      this.#tellFailure(error);
    }
  }

  report(): ShadowReport {
    const { since, compared, different, dropped, failed, differences } = this.#found;
    return {
      digest: this.#evaluator?.snapshot.digest ?? null,
      problem: this.#follower.problem() ?? (this.#evaluator === null ? 'the candidate is being read' : null),
      since,
      compared,
      different,
      dropped,
      failed,
      differences: [...differences.values()].toReversed(),
    };
  }

  reload(): Promise<boolean> {
    return this.#follower.reload();
  }

  close(): void {
    this.#follower.close();
    this.#evaluator?.snapshot.authentication.close();
    this.#redecide = null;
    this.#waiting = [];
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#compareSome();
    });
  }

  #compareSome(): void {
    const until = performance.now() + turnMs;
    let done = 0;
    for (; done < this.#waiting.length && performance.now() < until; done++) {
      const waiting = this.#waiting[done];
      if (waiting !== undefined) this.#compareOne(waiting);
    }
    this.#waiting.splice(0, done);
    if (this.#waiting.length > 0) this.#schedule();
  }

  #compareOne({ record, principal, headers }: Waiting): void {
    if (this.#redecide === null) return;
    try {
      const candidate = this.#redecide({ ...record, principal, headers, omitted: [] });
      const isSame = candidate.decision === record.decision && candidate.code === record.code;
      this.#options.onCompared(
        record.decision,
        candidate.decision,
        isSame ? '' : (candidate.by ?? 'default'),
      );
      this.#found.compared++;
      if (!isSame) this.#list(record, candidate, principal);
    } catch (error) {
      this.#options.onCompared(record.decision, 'error', '');
      this.#tellFailure(error);
    }
  }

  #list(record: DecisionRecord, candidate: Redecision, principal: Principal): void {
    const { differences } = this.#found;
    this.#found.different++;
    const { action, model, decision, code, by, at, id } = record;
    const key = JSON.stringify([principal.key, action, model, code, by, candidate.code, candidate.by]);
    const seenAt = new Date(at).toISOString();
    const known = differences.get(key) ?? {
      principal: principal.key,
      issuer: principal.issuerName,
      action,
      model,
      live: { decision, code, by },
      candidate,
      count: 0,
      first_at: seenAt,
      last_at: seenAt,
      request_id: id,
    };
    known.count++;
    known.last_at = seenAt;
    known.request_id = id;
    differences.delete(key); // The newest stands last.
    differences.set(key, known);
    const [oldest] = differences.keys();
    if (differences.size > mostDifferences && oldest !== undefined) differences.delete(oldest);
  }

  #tellFailure(error: unknown): void {
    if (this.#found.failed++ > 0) return;
    const fault = error instanceof Error ? error.name : 'unknown';
    this.#options.log.error({ fault }, 'the shadow policies failed on a decision; told once for each bundle');
  }
}

function emptyFindings(): {
  readonly since: string;
  compared: number;
  different: number;
  dropped: number;
  failed: number;
  readonly differences: Map<string, ShadowDifference>;
} {
  const since = new Date().toISOString();
  return { since, compared: 0, different: 0, dropped: 0, failed: 0, differences: new Map() };
}
