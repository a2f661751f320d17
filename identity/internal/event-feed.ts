// The revocation feed: server-sent events to every gateway that listens. Events of this process go out at once, those
// of other processes on the same database (and of the command line) within a fifth of a second. A feed that cannot
// read the database is cut, so that no gateway takes silence for safety.
import type { Response } from 'express';
import type { Logger } from '../../core/log.ts';
import type { EventLog } from '../revocation/event-log.ts';

/** All feeds of this process. */
export interface EventFeed {
  /** Streams events after an id to one gateway until it leaves. */
  serve(response: Response, after: number): Promise<void>;
  /** Ends every stream. */
  close(): void;
}

export interface EventFeedOptions {
  readonly events: EventLog;
  readonly log: Logger;
  readonly pollMs?: number;
  readonly heartbeatMs?: number;
}

interface Subscriber {
  readonly response: Response;
  cursor: number;
  isPumping: boolean;
}

const batch = 500;
/** A gateway that takes nothing for so long is cut; it comes again and catches up. */
const stallMs = 30_000;

/** Creates the feed; it polls only while somebody listens. */
export function createEventFeed(options: EventFeedOptions): EventFeed {
  const { events, log, pollMs = 200, heartbeatMs = 10_000 } = options;
  const subscribers = new Set<Subscriber>();
  let timer: NodeJS.Timeout | undefined;
  let isPolling = false;
  let isClosed = false;
  let readAt = performance.now();

  const leave = (subscriber: Subscriber): void => {
    subscribers.delete(subscriber);
    if (subscribers.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
  const cutAll = (): void => {
    for (const { response } of subscribers) response.destroy();
  };
  const pump = async (subscriber: Subscriber, latest: number): Promise<void> => {
    if (subscriber.isPumping) return;
    subscriber.isPumping = true;
    try {
      while (subscriber.cursor < latest && !subscriber.response.destroyed) {
        const next = await events.after(subscriber.cursor, batch);
        const last = next.at(-1);
        if (last === undefined) {
          // What lies between was purged: it concerned nothing that is still good.
          subscriber.cursor = latest;
          return;
        }
        subscriber.cursor = last.id;
        await send(
          subscriber.response,
          next.map(({ id, event }) => `id: ${id}\ndata: ${JSON.stringify(event)}\n\n`).join(''),
        );
      }
    } finally {
      subscriber.isPumping = false;
    }
  };
  const poll = async (): Promise<void> => {
    if (isPolling || subscribers.size === 0) return;
    isPolling = true;
    try {
      const latest = await events.latest();
      readAt = performance.now();
      // Not awaited together: one slow gateway holds up nobody else.
      for (const subscriber of subscribers) pump(subscriber, latest).catch(failed);
    } catch (error) {
      failed(error);
    } finally {
      isPolling = false;
    }
  };
  const failed = (error: unknown): void => {
    log.error({ event: 'feed_failed', reason: error instanceof Error ? error.message : 'unknown' });
    cutAll();
  };
  const stopListening = events.onAppend(() => void poll());

  return {
    async serve(response, after) {
      const latest = await events.latest();
      readAt = performance.now();
      if (isClosed) {
        response.destroy();
        return;
      }
      response.setHeader('content-type', 'text/event-stream');
      response.flushHeaders();
      response.write(`data: ${JSON.stringify({ type: 'hello', latest })}\n\n`);
      // A gateway that knows later events than there are has seen another database: it gets what this one has.
      const subscriber = { response, cursor: after > latest ? 0 : after, isPumping: false };
      // A sign of life is given for the database too: one that hangs is as good as one that fails.
      const heartbeat = setInterval(() => {
        if (performance.now() - readAt > heartbeatMs) response.destroy();
        else response.write(': still here\n\n');
      }, heartbeatMs);
      response.on('error', () => undefined);
      response.on('close', () => {
        clearInterval(heartbeat);
        leave(subscriber);
      });
      subscribers.add(subscriber);
      timer ??= setInterval(() => void poll(), pollMs);
      await poll();
    },
    close() {
      isClosed = true;
      stopListening();
      clearInterval(timer);
      for (const { response } of subscribers) response.end();
    },
  };
}

/** Writes and waits until it has been taken, or the gateway is gone. */
async function send(response: Response, text: string): Promise<void> {
  if (response.write(text)) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(stalled);
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    const stalled = setTimeout(() => response.destroy(), stallMs);
    response.on('drain', done);
    response.on('close', done);
  });
}
