// The counters of all workers, in the memory of their primary, and the messages by which workers ask it.
import cluster, { type Worker } from 'node:cluster';
import { RateLimiterClusterMaster } from 'rate-limiter-flexible';
import { z } from 'zod';
import type { Ask, Grant } from './leases.ts';
import { createWindowTables, takeFrom } from './window-tables.ts';

/** Marks our messages among those of the cluster's channel. */
const channel = 'sallyport_limits';

const rule = z.object({ name: z.string(), quota: z.number(), windowMs: z.number() });
const take = z.object({
  id: z.number(),
  asks: z.array(
    z.object({
      claim: z.object({ rule, key: z.string(), units: z.number(), isHeld: z.boolean() }),
      extra: z.number(),
      back: z.object({ units: z.number(), endMs: z.number() }),
    }),
  ),
});
const adjust = z.object({ rule, key: z.string(), endMs: z.number(), units: z.number() });
/** Everything of one turn of the worker's event loop, in its order: a message costs far more than what is in it. */
const requestSchema = z.object({ channel: z.literal(channel), requests: z.array(z.union([take, adjust])) });

/** One thing that a worker says to its primary. */
type ClusterRequest = z.output<typeof requestSchema>['requests'][number];

const grant = z.object({
  permitted: z.boolean(),
  granted: z.number(),
  remaining: z.number(),
  resetMs: z.number(),
  endMs: z.number(),
});
const answerSchema = z.object({
  channel: z.literal(channel),
  answers: z.array(z.object({ id: z.number(), grants: z.array(grant) })),
});

/** Called once in the cluster primary, before it forks: holds the counters of all workers. */
export function hostClusterCounters(): void {
  new RateLimiterClusterMaster();
  const tables = createWindowTables();
  cluster.on('message', (worker: Worker, message: unknown) => {
    if (!isOurs(message)) return;
    const answers: z.output<typeof answerSchema>['answers'] = [];
    for (const request of requestSchema.parse(message).requests) {
      if ('asks' in request) answers.push({ id: request.id, grants: [...takeFrom(tables, request.asks)] });
      else tables.of(request.rule).adjust(request.key, request.units, request.endMs);
    }
    if (answers.length > 0 && worker.isConnected()) worker.send({ channel, answers });
  });
}

const isOurs = (message: unknown): boolean =>
  typeof message === 'object' && message !== null && 'channel' in message && message.channel === channel;

/** A worker's end of the channel. */
export interface ClusterChannel {
  /** @throws Error when the primary does not answer within `timeoutMs` */
  take(asks: readonly Ask[], timeoutMs: number): Promise<readonly Grant[]>;
  /** Says so, without waiting. */
  adjust(change: z.output<typeof adjust>): void;
}

/** Opens the channel of this worker. */
export function openClusterChannel(): ClusterChannel {
  const waiting = new Map<number, (grants: readonly Grant[]) => void>();
  let lastId = 0;
  process.on('message', (message: unknown) => {
    if (!isOurs(message)) return;
    for (const { id, grants } of answerSchema.parse(message).answers) {
      waiting.get(id)?.(grants);
      waiting.delete(id);
    }
  });
  let unsent: ClusterRequest[] = [];
  const send = (): void => {
    if (process.connected) process.send?.({ channel, requests: unsent }); // A worker outlives its primary by moments only.
    unsent = [];
  };
  const say = (request: ClusterRequest): void => {
    if (unsent.push(request) === 1) setImmediate(send);
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
        say({ id, asks: [...asks] });
      }),
    adjust: say,
  };
}
