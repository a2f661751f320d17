// The embedded identity's API for gateways: credentials are looked up there, and revocations come from there. The gateway
// speaks for itself there, with an assertion that it signs; nothing of a caller but the credential in question goes along.
import type { Readable } from 'node:stream';
import { assertionHeader } from '../../core/assertion.ts';
import { parseStrictObject } from '../../core/strict-json.ts';
import { keptConnections } from '../kept-connections.ts';
import { requestOnce, trusting } from '../single-request.ts';
import { askIssuer } from './introspection/ask-issuer.ts';

/** Where it is and how the gateway proves who it is. */
export interface IdentityApiOptions {
  readonly origin: string;
  readonly basePath: string;
  /** Unix socket, or null. */
  readonly socketPath: string | null;
  /** PEM text of a further certificate authority. */
  readonly ca: string | undefined;
  /** An assertion in which the gateway speaks for itself. */
  readonly sign: () => string | Promise<string>;
}

/** What identity says of a name and a password. */
export type PasswordAnswer =
  | { readonly kind: 'claims'; readonly claims: Readonly<Record<string, unknown>> }
  | { readonly kind: 'throttled'; readonly retryAfterSeconds: number };

/** A name and a password, and where they come from: guesses are counted for that address too. */
export interface PasswordQuestion {
  readonly username: string;
  readonly password: string;
  readonly callerAddress: string;
}

/** The API. */
export interface IdentityApi {
  /** RFC 7662. @throws Error in words for an operator */
  introspect(credential: string, signal: AbortSignal): Promise<Readonly<Record<string, unknown>>>;
  /** @throws Error in words for an operator; never with the password */
  verifyPassword(question: PasswordQuestion, signal: AbortSignal): Promise<PasswordAnswer>;
  /** The feed of events after an id. @throws Error in words for an operator */
  events(after: number, signal: AbortSignal): Promise<AsyncIterable<Buffer>>;
  /** The relations with their tag; null when those with the given tag are the newest. @throws Error in words for an operator */
  relations(
    etag: string | null,
    signal: AbortSignal,
  ): Promise<{ readonly etag: string | null; readonly document: Readonly<Record<string, unknown>> } | null>;
  close(): Promise<void>;
}

/** The feed gives a sign of life every 10 s. */
const silenceMs = 15_000;
const connectMs = 2_000;

/** Prepares the connections; opens none. */
export function createIdentityApi(options: IdentityApiOptions): IdentityApi {
  const { origin, basePath, socketPath, ca, sign } = options;
  const questions = keptConnections({ connections: 64, connectMs, socketPath, ca });
  const trust = trusting(ca);
  const closing = new AbortController();
  // The feed and the relations have connections of their own, so that they never wait behind questions.
  const once = { socketPath, connectMs } as const;
  const until = (signal: AbortSignal): AbortSignal => AbortSignal.any([signal, closing.signal]);
  const headers = async (): Promise<Record<string, string>> => ({ [assertionHeader]: await sign() });
  return {
    async introspect(credential, signal) {
      const url = `${origin}${basePath}/internal/introspect`;
      return askIssuer(
        { url, connections: questions, headers: await headers(), form: {} },
        credential,
        signal,
      );
    },
    async verifyPassword({ username, password, callerAddress }, signal) {
      const answer = await questions.request(`${origin}${basePath}/internal/verify-password`, {
        signal,
        method: 'POST',
        headers: {
          ...(await headers()),
          'content-type': 'application/json',
          accept: 'application/json',
          'x-forwarded-for': callerAddress,
        },
        body: JSON.stringify({ username, password }),
      });
      answer.body.on('error', () => undefined); // Destroying an unread body emits one.
      if (answer.statusCode === 429) {
        answer.body.destroy();
        const seconds = Number(answer.headers['retry-after']);
        return {
          kind: 'throttled',
          retryAfterSeconds: Number.isSafeInteger(seconds) ? Math.max(1, seconds) : 30,
        };
      }
      if (answer.statusCode !== 200) {
        answer.body.destroy();
        throw new Error(`the answer is ${answer.statusCode}`);
      }
      return { kind: 'claims', claims: parseStrictObject(await boundedBody(answer.body, maxAnswerBytes)) };
    },
    async events(after, signal) {
      const answer = await requestOnce(`${origin}${basePath}/internal/events?after=${after}`, {
        ...once,
        trust: trust(),
        signal: until(signal),
        answerMs: 5_000,
        silenceMs,
        headers: { ...(await headers()), accept: 'text/event-stream' },
      });
      const isStream = String(answer.headers['content-type']).startsWith('text/event-stream');
      if (answer.statusCode === 200 && isStream) return chunksOf(answer);
      answer.destroy();
      throw new Error(`the answer is ${answer.statusCode}${isStream ? '' : ', no event stream'}`);
    },
    async relations(etag, signal) {
      const answer = await requestOnce(`${origin}${basePath}/internal/relations`, {
        ...once,
        trust: trust(),
        signal: until(signal),
        headers: { ...(await headers()), ...(etag === null ? {} : { 'if-none-match': etag }) },
      });
      if (answer.statusCode === 200) {
        return {
          etag: answer.headers.etag ?? null,
          document: parseStrictObject(await boundedBody(answer, maxRelationsBytes)),
        };
      }
      answer.destroy();
      if (answer.statusCode === 304 && etag !== null) return null;
      throw new Error(`the answer is ${answer.statusCode}`);
    },
    async close() {
      closing.abort();
      await questions.destroy();
    },
  };
}

/** Most bytes of an answer about one password. */
const maxAnswerBytes = 65_536;
/** Most bytes of relations that are read: some hundred thousand of them. */
const maxRelationsBytes = 33_554_432;

async function boundedBody(body: Readable, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunksOf(body)) {
    size += chunk.length;
    if (size > maxBytes) throw new Error(`the answer is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

// Buffers, as long as no encoding is set.
function chunksOf(body: Readable): AsyncIterable<Buffer> {
  return body as AsyncIterable<Buffer>;
}
