// Where rate-limit counters live: this process, the cluster primary, or Redis. All through rate-limiter-flexible.
// A window begins with the first request, and a refused one neither extends nor restarts it; a period is one of the
// calendar, in UTC, and its counters outlive the process.
import cluster from 'node:cluster';
import { join } from 'node:path';
import type { Logger } from '../../core/log.ts';
import { createBudgetStore, withBudgets } from './budget-store.ts';
import { createClusterStore } from './cluster-store.ts';
import type { Period } from './period.ts';
import { createProcessStore } from './process-store.ts';
import { createRedisStore } from './redis-store.ts';

/** What a counter says. */
export interface LimitState {
  readonly permitted: boolean;
  readonly remaining: number;
  /** Milliseconds until the window resets. */
  readonly resetMs: number;
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

/** Counters shared by everything that answers for this gateway. */
export interface LimitStore {
  readonly kind: 'process' | 'cluster' | 'redis';
  /** Counts `units`, by default one request. @throws GatewayError `limit_store_unavailable` */
  consume(rule: LimitRule, key: string, units?: number): Promise<LimitState>;
  /** Corrects an earlier count: gives back below zero, adds above. @throws GatewayError `limit_store_unavailable` */
  adjust(rule: LimitRule, key: string, units: number): Promise<void>;
  /** Looks without counting; `permitted` says whether one more would be. May be a second old in `cluster` and `redis`. */
  peek(rule: LimitRule, key: string): Promise<LimitState>;
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
  /** Folder for the counters of periods where there is no Redis. */
  folder: string;
  log: Logger;
}): Promise<LimitStore> {
  if (options.redisUrl !== null) return createRedisStore({ url: options.redisUrl, log: options.log });
  const windows = cluster.isWorker ? createClusterStore() : createProcessStore();
  return withBudgets(windows, createBudgetStore(join(options.folder, 'budgets.sqlite')));
}
