// The counters of all workers, in the memory of their primary, and the messages by which workers ask it.
import cluster, { type Worker } from 'node:cluster';
import { RateLimiterClusterMaster } from 'rate-limiter-flexible';
import { z } from 'zod';
import type { Ask, Grant } from './leases.ts';
import { createWindowTables, takeFrom } from './window-tables.ts';

/** Marks our messages among those of the cluster's channel. */
const channel = 'sallyport_limits';

const rule = z.object({ name: z.string(), quota: z.number(), windowMs: z.number() });
const requestSchema = z.discriminatedUnion('kind', [
  z.object({
    channel: z.literal(channel),
    kind: z.literal('take'),
    id: z.number(),
    asks: z.array(
      z.object({
        claim: z.object({ rule, key: z.string(), units: z.number(), isHeld: z.boolean() }),
        extra: z.number(),
        back: z.object({ units: z.number(), endMs: z.number() }),
      }),
    ),
  }),
  z.object({
    channel: z.literal(channel),
    kind: z.literal('adjust'),
    rule,
    key: z.string(),
    endMs: z.number(),
    units: z.number(),
  }),
]);

/** What a worker says to its primary. */
export type ClusterRequest = z.output<typeof requestSchema>;

const grantsSchema = z.object({
  channel: z.literal(channel),
  id: z.number(),
  grants: z.array(
    z.object({
      permitted: z.boolean(),
      granted: z.number(),
      remaining: z.number(),
      resetMs: z.number(),
      endMs: z.number(),
    }),
  ),
});

/** Called once in the cluster primary, before it forks: holds the counters of all workers. */
export function hostClusterCounters(): void {
  new RateLimiterClusterMaster();
  const tables = createWindowTables();
  cluster.on('message', (worker: Worker, message: unknown) => {
    const { success, data: request } = requestSchema.safeParse(message);
    if (!success) return; // Another part's message.
    if (request.kind === 'take') {
      const grants = takeFrom(tables, request.asks);
      if (worker.isConnected()) worker.send({ channel, id: request.id, grants });
      return;
    }
    tables.of(request.rule).adjust(request.key, request.units, request.endMs);
  });
}

/** A worker's end of the channel. */
export interface ClusterChannel {
  /** @throws Error when the primary does not answer within `timeoutMs` */
  take(asks: readonly Ask[], timeoutMs: number): Promise<readonly Grant[]>;
  /** Says so, without waiting. */
  adjust(counted: Omit<Extract<ClusterRequest, { kind: 'adjust' }>, 'channel' | 'kind'>): void;
}

/** Opens the channel of this worker. */
export function openClusterChannel(): ClusterChannel {
  const waiting = new Map<number, (grants: readonly Grant[]) => void>();
  let lastId = 0;
  process.on('message', (message: unknown) => {
    const { success, data: answer } = grantsSchema.safeParse(message);
    if (!success) return;
    waiting.get(answer.id)?.(answer.grants);
    waiting.delete(answer.id);
  });
  const send = (request: ClusterRequest): void => {
    if (process.connected) process.send?.(request); // A worker outlives its primary by moments only.
  };
  return {
    take: (asks, timeoutMs) =>
      new Promise((resolve, reject) => {
        const id = ++lastId;
        const late = setTimeout(() => {
          waiting.delete(id);
          reject(new Error('the cluster primary does not answer in time'));
        }, timeoutMs);
        waiting.set(id, (grants) => {
          clearTimeout(late);
          resolve(grants);
        });
        send({ channel, kind: 'take', id, asks: [...asks] });
      }),
    adjust: (counted) => send({ channel, kind: 'adjust', ...counted }),
  };
}
