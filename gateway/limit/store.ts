// Where rate-limit counters live: this process, the cluster primary, or Redis. All through rate-limiter-flexible.
// Counters start a fixed window with the first request; a refused request neither extends nor restarts it.
import cluster from 'node:cluster';
import type { Logger } from '../../core/log.ts';
import { createClusterStore } from './cluster-store.ts';
import { createProcessStore } from './process-store.ts';
import { createRedisStore } from './redis-store.ts';

/** What a counter says. */
export interface LimitState {
  readonly permitted: boolean;
  readonly remaining: number;
  /** Milliseconds until the window resets. */
  readonly resetMs: number;
}

/** How many requests in which window. */
export interface LimitRule {
  /** Unique within a bundle, e.g. `requests-per-principal`; part of the counter's key. */
  readonly name: string;
  readonly requests: number;
  readonly windowMs: number;
}

/** Counters shared by everything that answers for this gateway. */
export interface LimitStore {
  readonly kind: 'process' | 'cluster' | 'redis';
  /** Counts one request. @throws GatewayError `limit_store_unavailable` */
  consume(rule: LimitRule, key: string): Promise<LimitState>;
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
  log: Logger;
}): Promise<LimitStore> {
  if (options.redisUrl !== null) return createRedisStore({ url: options.redisUrl, log: options.log });
  return cluster.isWorker ? createClusterStore() : createProcessStore();
}
