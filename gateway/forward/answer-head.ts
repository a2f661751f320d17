// The head of an answer to the caller, from a fixed list; of the upstream's own headers only its processing time.
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { Guarded } from '../exchange.ts';

/** Headers of a JSON answer of known length. */
export function jsonHead(
  guarded: Guarded,
  upstream: IncomingHttpHeaders,
  length: number,
): OutgoingHttpHeaders {
  return withCommon(guarded, upstream, { 'content-type': 'application/json', 'content-length': length });
}

/** Headers of an event stream. */
export function streamHead(guarded: Guarded, upstream: IncomingHttpHeaders): OutgoingHttpHeaders {
  return withCommon(guarded, upstream, {
    'content-type': 'text/event-stream; charset=utf-8',
    'x-accel-buffering': 'no',
  });
}

/** Completes `head`, which was made for this: spreading one object into another costs twice as much. */
function withCommon(
  { id, reservation }: Guarded,
  upstream: IncomingHttpHeaders,
  head: OutgoingHttpHeaders,
): OutgoingHttpHeaders {
  head['cache-control'] = 'no-store';
  head['x-request-id'] = id;
  Object.assign(head, reservation.headers);
  const processing = upstream['openai-processing-ms'];
  if (typeof processing === 'string' && /^\d{1,9}$/.test(processing))
    head['openai-processing-ms'] = processing;
  return head;
}

/** Whether a content-type header names exactly this media type, whatever its parameters. */
export function isMediaType(headers: IncomingHttpHeaders, mediaType: string): boolean {
  const stated = headers['content-type'];
  if (typeof stated !== 'string') return false;
  const semicolon = stated.indexOf(';');
  return (semicolon === -1 ? stated : stated.slice(0, semicolon)).trim().toLowerCase() === mediaType;
}
