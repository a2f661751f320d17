// The embedded identity's API for gateways, as its reference says it is, over real HTTP: what it knows of credentials is
// set by the test, its feed sends what the test emits. It verifies the gateway's assertion for real.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import {
  assertionAudience,
  assertionHeader,
  createAssertionVerifier,
  gatewaySubject,
} from '../../core/assertion.ts';

export type FakeEvent =
  | { readonly type: 'revoked'; readonly credential: string; readonly at: number }
  | { readonly type: 'revoked_before'; readonly subject: string; readonly at: number }
  | { readonly type: 'relations_changed' }
  | { readonly type: string };

/** How it answers a lookup: an object is JSON, a function does what it likes. */
export type FakeAnswer = object | ((response: ServerResponse) => void);

export interface FakeIdentity {
  readonly url: string;
  /** Lookups by credential, in order. */
  readonly lookups: string[];
  /** The forms and headers of the lookups. */
  readonly forms: { readonly form: URLSearchParams; readonly authorization: string | undefined }[];
  /** Requests without a good assertion. */
  readonly strangers: () => number;
  /** `after` of each connection to the feed. */
  readonly feeds: number[];
  readonly feedCount: () => number;
  /** What a credential is; others are inactive. */
  readonly know: (credential: string, answer: FakeAnswer) => void;
  readonly emit: (event: FakeEvent) => void;
  /** Holds lookups back until the returned function is called. */
  readonly hold: () => () => void;
  /** Ends the feeds that are open, and refuses new ones while `isCut`. */
  readonly cutFeed: (isCut: boolean) => void;
  /** Answers every lookup with 500. */
  readonly fail: (fails: boolean) => void;
  /** Writes raw bytes into the open feeds. */
  readonly write: (text: string) => void;
  readonly close: () => Promise<void>;
}

/** Starts it; without `jwksFile` anybody may ask, as at an issuer that is not embedded. */
export async function startFakeIdentity(
  options: { jwksFile?: string; port?: number } = {},
): Promise<FakeIdentity> {
  const verify =
    options.jwksFile === undefined
      ? null
      : createAssertionVerifier({ jwksFile: options.jwksFile, audience: assertionAudience.identity });
  const known = new Map<string, FakeAnswer>();
  const events: { id: number; event: FakeEvent }[] = [];
  const feeds = new Set<ServerResponse>();
  const state = { strangers: 0, held: null as Promise<void> | null, isCut: false, fails: false };
  const lookups: string[] = [];
  const forms: { form: URLSearchParams; authorization: string | undefined }[] = [];
  const after: number[] = [];

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const assertion = request.headers[assertionHeader];
    const vouched =
      verify === null ? null : await verify(typeof assertion === 'string' ? assertion : undefined);
    if (verify !== null && vouched?.subject !== gatewaySubject) {
      state.strangers++;
      response.writeHead(401).end();
      return;
    }
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (url.pathname === '/internal/events') feed(Number(url.searchParams.get('after')), response);
    else await lookup(request, response);
  };
  const lookup = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let body = '';
    for await (const piece of request) body += String(piece);
    const form = new URLSearchParams(body);
    const credential = form.get('token') ?? '';
    lookups.push(credential);
    forms.push({ form, authorization: request.headers.authorization });
    // What is true when the question comes.
    const known_ = known.get(credential) ?? { active: false };
    if (state.held !== null) await state.held;
    if (state.fails) response.writeHead(500).end();
    else if (typeof known_ === 'function') (known_ as (response: ServerResponse) => void)(response);
    else response.setHeader('content-type', 'application/json').end(JSON.stringify(known_));
  };
  const feed = (from: number, response: ServerResponse): void => {
    if (state.isCut) {
      response.writeHead(503).end();
      return;
    }
    after.push(from);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const latest = events.at(-1)?.id ?? 0;
    response.write(`data: ${JSON.stringify({ type: 'hello', latest })}\n\n`);
    for (const { id, event } of events.filter((each) => each.id > from || from > latest))
      response.write(`id: ${id}\ndata: ${JSON.stringify(event)}\n\n`);
    feeds.add(response);
    response.on('close', () => feeds.delete(response));
  };

  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    lookups,
    forms,
    strangers: () => state.strangers,
    feeds: after,
    feedCount: () => feeds.size,
    know: (credential, given) => void known.set(credential, given),
    emit(event) {
      const id = (events.at(-1)?.id ?? 0) + 1;
      events.push({ id, event });
      for (const response of feeds) response.write(`id: ${id}\ndata: ${JSON.stringify(event)}\n\n`);
    },
    hold() {
      let release = (): void => undefined;
      state.held = new Promise((resolve) => (release = resolve));
      return () => {
        state.held = null;
        release();
      };
    },
    cutFeed(isCut) {
      state.isCut = isCut;
      if (isCut) for (const response of feeds) response.destroy();
    },
    fail: (fails) => void (state.fails = fails),
    write: (text) => feeds.forEach((response) => response.write(text)),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
