// The head of an answer to the caller, from a fixed list; of the upstream's own headers only its processing time.
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { Guarded } from '../exchange.ts';

/** Headers of a JSON answer of known length. */
export function jsonHead(
  guarded: Guarded,
  upstream: IncomingHttpHeaders,
  length: number,
): OutgoingHttpHeaders {
  const head = commonHead(guarded, upstream);
  head['content-type'] = 'application/json';
  head['content-length'] = length;
  return head;
}

/** Headers of an event stream. */
export function streamHead(guarded: Guarded, upstream: IncomingHttpHeaders): OutgoingHttpHeaders {
  const head = commonHead(guarded, upstream);
  head['content-type'] = 'text/event-stream; charset=utf-8';
  head['x-accel-buffering'] = 'no';
  return head;
}

function commonHead(guarded: Guarded, upstream: IncomingHttpHeaders): OutgoingHttpHeaders {
  const processing = upstream['openai-processing-ms'];
  const head: OutgoingHttpHeaders = {
    'cache-control': 'no-store',
    'x-request-id': guarded.id,
    ...guarded.reservation.headers,
  };
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
