// One request over a connection of its own, for what is asked now and then: keys, metadata, groups, the feed of events. With
// node:http, which is there anyway; undici, some 10 MiB, is loaded by those alone that keep connections
// (kept-connections.ts).
import type { ClientRequest, IncomingMessage } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { request as plainRequest } from '../core/node-http.ts';

/** What is sent, and how patiently. */
export interface SingleRequest {
  readonly method?: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Ends the request and the reading of its answer. */
  readonly signal: AbortSignal;
  /** Whom to trust; default: whom Node trusts. */
  readonly trust?: SecureContext | undefined;
  /** Unix socket instead of the address. */
  readonly socketPath?: string | null;
  /** For the connection, TLS included. */
  readonly connectMs: number;
  /** For the head of the answer; default: as long as `signal` lets it. */
  readonly answerMs?: number;
  /** Between two parts of the body; default: as long as `signal` lets it. */
  readonly silenceMs?: number;
}

/** Sends one request. Redirects are not followed; the body is read, or destroyed, by the caller. @throws Error with a code */
export type RequestOnce = (url: string, request: SingleRequest) => Promise<IncomingMessage>;

/** Code of the error when there is no connection in time. */
export const connectTimeout = 'CONNECT_TIMEOUT';

const maxHeaderSize = 16_384;

/** The usual certificate authorities and one more; made with the first use, since all of them are read. */
export function trusting(ca: string | undefined): () => SecureContext | undefined {
  let trust: SecureContext | undefined;
  return () => {
    if (ca !== undefined) trust ??= createSecureContext({ ca: [...getCACertificates('default'), ca] });
    return trust;
  };
}

/** Sends one request over a connection that nobody else uses, before or after. */
export const requestOnce: RequestOnce = (url, request) =>
  new Promise((resolve, reject) => {
    const { socketPath, trust, answerMs, silenceMs, body } = request;
    const target = new URL(url);
    const outgoing = (target.protocol === 'https:' ? tlsRequest : plainRequest)(target, {
      agent: false, // Its connection is closed after the answer: what else comes on it reaches nobody.
      method: request.method ?? 'GET',
      headers: request.headers,
      signal: request.signal,
      maxHeaderSize,
      ...(socketPath === undefined || socketPath === null ? {} : { socketPath }),
      ...(trust === undefined ? {} : { secureContext: trust }),
    });
    const answering =
      answerMs === undefined
        ? undefined
        : setTimeout(() => outgoing.destroy(failure('ANSWER_TIMEOUT')), answerMs);
    limitConnecting(outgoing, request.connectMs);
    outgoing.once('error', reject);
    // What ends without an answer and without an error, such as a switch of protocols that nobody asked for.
    outgoing.once('close', () => {
      clearTimeout(answering);
      reject(failure('ECONNRESET'));
    });
    outgoing.once('response', (answer) => {
      clearTimeout(answering);
      // Destroying an unread body emits an error; without a listener that would end the process.
      answer.on('error', () => undefined);
      if (silenceMs !== undefined)
        answer.socket.setTimeout(silenceMs, () => answer.destroy(failure('SILENCE_TIMEOUT')));
      resolve(answer);
    });
    outgoing.end(body);
  });

function limitConnecting(outgoing: ClientRequest, connectMs: number): void {
  const limit = setTimeout(() => outgoing.destroy(failure(connectTimeout)), connectMs);
  const connected = (): void => clearTimeout(limit);
  outgoing.once('socket', (socket) => {
    socket.once('encrypted' in socket ? 'secureConnect' : 'connect', connected);
  });
  outgoing.once('close', connected);
}

function failure(code: string): Error {
  return Object.assign(new Error('the request failed'), { code });
}
