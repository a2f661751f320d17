// The LLM path: the judged bytes go to an OpenAI-shaped upstream over a kept-alive connection, its answer comes back
// checked. This is the hot path: no Express, no promise but the one that the pipeline awaits.
import { GatewayError } from '../../core/errors.ts';
import type { EndSignal } from '../caller.ts';
import type { Guarded } from '../exchange.ts';
import { jsonHead } from './answer-head.ts';
import type { AnswerSink } from './connections.ts';
import { createJsonAnswer, type JsonAnswer } from './json-answer.ts';
import { createStreamAnswer } from './stream-answer.ts';
import { assertionFor, bodyFor, headFor, pathFor, upstreamOf } from './upstream-request.ts';
import type { Upstream } from './upstreams.ts';
import { noteUsage } from './usage.ts';

const heartbeatMs = 15_000;

/**
 * Forwards one request and settles when its answer has ended, or when the caller has gone.
 * @throws GatewayError, or its promise rejects; after streaming has begun the answer is still open for the renderer's
 * last event.
 */
export function forwardOpenAi(guarded: Guarded): Promise<void> {
  const upstream = upstreamOf(guarded);
  const signed = assertionFor(guarded, upstream);
  // Mostly known: an assertion serves its principal for a while.
  if (signed instanceof Promise) return signed.then((assertion) => send(guarded, upstream, assertion));
  return send(guarded, upstream, signed);
}

function send(guarded: Guarded, upstream: Upstream, assertion: string | null): Promise<void> {
  const isStream = guarded.body?.json['stream'] === true;
  const { bytes, addsUsage } =
    guarded.body === null
      ? { bytes: null, addsUsage: false }
      : bodyFor(guarded.body, guarded.model, upstream.asksForUsage);
  const request = {
    method: bytes === null ? 'GET' : 'POST',
    path: pathFor(guarded, upstream),
    headers: headFor(upstream, assertion, {
      id: guarded.id,
      accept: isStream ? 'text/event-stream' : 'application/json',
      obliged: guarded.effective.upstreamHeaders,
    }),
    body: bytes,
    id: guarded.id,
  } as const;
  return exchange(guarded, upstream, request, (done, failed) => {
    const isOurs = upstream.assertion !== null;
    if (isStream)
      return createStreamAnswer(guarded, {
        isOurs,
        hidesUsage: addsUsage,
        stallMs: upstream.stallMs,
        heartbeatMs,
        done,
        failed,
      });
    const answered = (answer: JsonAnswer): void => {
      answerJson(guarded, answer);
      done();
    };
    return createJsonAnswer({ model: guarded.model, isOurs, done: answered, failed });
  });
}

/** A sink that may hold timers, which end with the exchange. */
type Stoppable = AnswerSink & { stop?(): void };

/**
 * Sends `request` and lets `sinkOf` make the sink; settles when that calls `done` or `failed`, or the signal aborts.
 * A caller that goes away aborts the upstream at once and is no error.
 */
export function exchange(
  guarded: Guarded,
  upstream: Upstream,
  request: Parameters<Upstream['connections']['send']>[0],
  sinkOf: (done: () => void, failed: (refusal: GatewayError) => void) => Stoppable,
): Promise<void> {
  const { signal, outcome, response } = guarded;
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      control?.abort();
      sink.stop?.();
      outcome.aborted = !response.writable || response.destroyed;
      if (outcome.aborted) resolve();
      else reject(refusalOfAbort(signal));
    };
    const done = (): void => {
      signal.removeEventListener('abort', leave);
      resolve();
    };
    const failed = (refusal: GatewayError): void => {
      signal.removeEventListener('abort', leave);
      reject(refusal);
    };
    const sink = sinkOf(done, failed);
    let control: ReturnType<Upstream['connections']['send']> | null = null;
    if (signal.aborted) {
      leave();
      return;
    }
    signal.addEventListener('abort', leave, { once: true });
    control = upstream.connections.send(request, sink);
  });
}

/** Why a request whose caller is still there is ended. */
export function refusalOfAbort({ reason }: EndSignal): GatewayError {
  return reason instanceof GatewayError
    ? reason
    : new GatewayError('gateway_stopping', { retryAfterSeconds: 5 });
}

function answerJson(guarded: Guarded, answer: JsonAnswer): void {
  const { response, outcome } = guarded;
  noteUsage(outcome, answer.json);
  outcome.firstByteAt = performance.now();
  response.writeHead(answer.status, jsonHead(guarded, answer.headers, answer.length));
  response.end(answer.body);
}
