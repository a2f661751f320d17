// Where rate-limit counters live: this process, the cluster primary, or Redis.
// A window begins with the first request, and a refused one neither extends nor restarts it; a period is one of the
// calendar, in UTC, and its counters outlive the process.
import cluster from 'node:cluster';
import { join } from 'node:path';
import type { Logger } from '../../core/log.ts';
import { createBudgetStore, withBudgets } from './budget-store.ts';
import type { Period } from './period.ts';
import { createProcessStore } from './process-store.ts';

/** What a counter says. */
export interface LimitState {
  readonly permitted: boolean;
  readonly remaining: number;
  /** Milliseconds until the window resets. */
  readonly resetMs: number;
  /** Epoch ms, by the clock of the store, at which the window ends: which window it is. */
  readonly endMs: number;
}

/** How much in which window or period. */
export interface LimitRule {
  /** Unique within a bundle, e.g. `requests-per-principal`; part of the counter's key. */
  readonly name: string;
  /** Requests or model tokens. */
  readonly quota: number;
  /** Length of the window; of a period the longest that it can be. */
  readonly windowMs: number;
  /** Absent: a window. */
  readonly period?: Period;
}

/** What a request asks of one limit. */
export interface Claim {
  readonly rule: LimitRule;
  readonly key: string;
  readonly units: number;
  /** Given back when a later limit refuses the request or less was used: model tokens. A request stays counted. */
  readonly isHeld: boolean;
}

/** Units that were counted in one window. */
export interface CountedIn {
  readonly rule: LimitRule;
  readonly key: string;
  /** Of the state when they were counted. */
  readonly endMs: number;
}

/** An answer at once where the counter is in this process, so that the hot path waits for nothing; else a promise. */
export type Soon<T> = T | Promise<T>;

/** Counters shared by everything that answers for this gateway. All throw or reject with `limit_store_unavailable`. */
export interface LimitStore {
  readonly kind: 'process' | 'cluster' | 'redis';
  /**
   * Counts a request against all its limits, in their order. The first that has no room refuses it: neither that one nor a
   * later one counts it, and what earlier ones hold is given back.
   * @returns the states in the order of the claims; where one refused, that is the last
   */
  reserve(claims: readonly Claim[]): Soon<readonly LimitState[]>;
  /** Corrects an earlier count: gives back below zero, adds above. Into a window that is over nothing is given back. */
  adjust(counted: CountedIn, units: number): Soon<void>;
  /** Counts one event that is never given back, such as the use of a DPoP proof. */
  consume(rule: LimitRule, key: string): Soon<LimitState>;
  /** Counts a failed authentication, beyond the quota too. */
  countFailure(rule: LimitRule, key: string): Soon<void>;
  /**
   * Looks at what `countFailure` has counted, without counting; `permitted` says whether another attempt is looked at. What
   * other processes count is known at most a second later in `cluster` and `redis`; no request waits for it there, except
   * the first of a rule. `remaining` is told only of a refusal.
   */
  peek(rule: LimitRule, key: string): Soon<LimitState>;
  /** For /readyz: null when well, else words for an operator. */
  problem(): string | null;
  close(): Promise<void>;
}

/**
 * Redis when `redisUrl` is given, the primary's memory in a worker of node:cluster, else this process.
 * A Redis that is down does not stop the start: requests are refused and /readyz says why until it answers.
 */
export async function createLimitStore(options: {
  redisUrl: string | null;
  /** With Redis: how long units that were taken from it in advance are held; default: none are taken. */
  leaseMs?: number | undefined;
  /** Folder for the counters of periods where there is no Redis. */
  folder: string;
  log: Logger;
}): Promise<LimitStore> {
  // Loaded where they are used: the clients of Redis and of the primary take megabytes.
  if (options.redisUrl !== null) {
    const { createRedisStore } = await import('./redis-store.ts');
    return createRedisStore({ url: options.redisUrl, leaseMs: options.leaseMs ?? null, log: options.log });
  }
  const windows = cluster.isWorker
    ? (await import('./cluster-store.ts')).createClusterStore()
    : createProcessStore();
  return withBudgets(windows, createBudgetStore(join(options.folder, 'budgets.sqlite')));
}
