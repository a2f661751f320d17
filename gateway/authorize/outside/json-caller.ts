// Asks another service over HTTP with JSON, within a time and a size; what it answers is parsed strictly, because two
// readings of one answer must not be possible.
import { readFileSync } from 'node:fs';
import type { Dispatcher } from 'undici';
import { readSecret } from '../../../core/secret.ts';
import { parseStrictObject } from '../../../core/strict-json.ts';
import { keptConnections } from '../../kept-connections.ts';
import type { OutsideConfig } from './outside-config.ts';

/** One question. */
export interface JsonQuestion {
  readonly url: string;
  /** Sent by POST; without one the question is a GET. */
  readonly body?: unknown;
  /** Sent as X-Request-ID. */
  readonly requestId?: string;
}

/** One answer. */
export interface JsonAnswer {
  readonly status: number;
  /** X-Request-ID of the answer, or null. */
  readonly requestId: string | null;
  /** Null when the body is not one JSON object without doubles. */
  readonly json: Readonly<Record<string, unknown>> | null;
}

/** Connections to one service. */
export interface JsonCaller {
  /** @throws Error whose message an operator can act on, when there was no whole answer in time */
  ask(question: JsonQuestion): Promise<JsonAnswer>;
  close(): Promise<void>;
}

/** Largest answer that is read, bytes. */
const maxAnswerBytes = 1_048_576;

type CallerConfig = Pick<OutsideConfig, 'api_token' | 'ca' | 'client_cert' | 'client_key' | 'timeout_ms'>;

/** Opens the connections. @throws Error when a secret or a PEM file cannot be read */
export function createJsonCaller(config: CallerConfig): JsonCaller {
  const { ca, client_cert: certificate, client_key: key } = config;
  const secret = config.api_token === undefined ? null : readSecret(config.api_token);
  const textOf = (path: string | undefined): string | undefined =>
    path === undefined ? undefined : readFileSync(path, 'utf8');
  const connections = keptConnections({
    connections: 32,
    connectMs: config.timeout_ms,
    ca: textOf(ca),
    cert: textOf(certificate),
    key: textOf(key),
    loadsNow: true,
  });
  return {
    async ask({ url, body, requestId }) {
      const signal = AbortSignal.timeout(config.timeout_ms);
      try {
        const answer = await connections.request(url, {
          signal,
          method: body === undefined ? 'GET' : 'POST',
          headers: {
            accept: 'application/json',
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
            ...(secret === null ? {} : { authorization: `Bearer ${secret}` }),
            ...(requestId === undefined ? {} : { 'x-request-id': requestId }),
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        return await wholeAnswer(answer);
      } catch (error) {
        throw new Error(problemOf(error, signal), { cause: error });
      }
    },
    close: () => connections.destroy(),
  };
}

async function wholeAnswer(answer: Dispatcher.ResponseData<unknown>): Promise<JsonAnswer> {
  // Destroying an unread body emits an error; without a listener that would end the process.
  answer.body.on('error', () => undefined);
  const chunks: Buffer[] = [];
  let size = 0;
  // undici yields buffers as long as no encoding is set.
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxAnswerBytes) throw new Error('too large');
    chunks.push(chunk);
  }
  const id = answer.headers['x-request-id'];
  return {
    status: answer.statusCode,
    requestId: typeof id === 'string' ? id : null,
    json: objectIn(Buffer.concat(chunks)),
  };
}

function objectIn(bytes: Buffer): Readonly<Record<string, unknown>> | null {
  try {
    return parseStrictObject(bytes);
  } catch {
    return null;
  }
}

const problems: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'the host name is unknown',
  EAI_AGAIN: 'the host name cannot be looked up',
  ECONNRESET: 'the connection was reset',
  UND_ERR_SOCKET: 'the connection broke',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate authority is not known here (ca)',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed (ca)',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate authority is not known here (ca)',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
};

function problemOf(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) return 'no whole answer in time';
  if (error instanceof Error && error.message === 'too large') return 'the answer is too large';
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'error';
  return problems[code] ?? `the request failed (${code})`;
}
