// A real HTTP issuer on loopback that can rotate its keys, fail in many ways, and counts what it is asked.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createSigningKey, mintAccessToken, type Claims, type SigningKey } from './mint-access-token.ts';

export type FailureMode =
  | '500'
  | 'html'
  | 'truncated'
  | 'empty'
  | 'no-keys'
  | 'huge'
  | 'redirect'
  | 'reset'
  | 'hang'
  | 'hang-in-body'
  | 'array'
  | 'not-utf8';

export const failureModes: readonly FailureMode[] = [
  '500',
  'html',
  'truncated',
  'empty',
  'no-keys',
  'huge',
  'redirect',
  'reset',
  'hang',
  'hang-in-body',
  'array',
  'not-utf8',
];

export interface FakeIssuerOptions {
  /** Path of the issuer below the server's origin. */
  readonly path?: string;
  /** `iss` and the metadata's `issuer`, where they differ from the address. */
  readonly issuer?: string;
  readonly alg?: string;
  /** A fixed port, to come back at the same address. */
  readonly port?: number;
  readonly keys?: readonly SigningKey[];
}

export interface FakeIssuer {
  readonly origin: string;
  readonly issuer: string;
  readonly port: number;
  /** How often each document was asked for; `other` must stay 0. */
  readonly requests: { metadata: number; jwks: number; other: number };
  /** The key that `mint` signs with. */
  readonly key: () => SigningKey;
  /** A valid token but for the given claims and header members (undefined leaves one out). */
  readonly mint: (claims?: Claims, header?: Claims) => string;
  /** Publishes a new key and signs with it; the old ones stay published unless `keepOld` is false. */
  readonly rotate: (options?: { keepOld?: boolean; kid?: string }) => SigningKey;
  readonly withdraw: (kid: string) => void;
  /** Replaces the published entries, good or bad. */
  readonly publish: (entries: readonly unknown[]) => void;
  /** Members that replace those of the metadata document. */
  readonly setMetadata: (members: Claims) => void;
  /** Fails from now on; null heals. */
  readonly fail: (mode: FailureMode | null, document?: 'jwks' | 'metadata' | 'both') => void;
  /** Holds answers back, with the keys of the moment of asking, until the returned function is called. */
  readonly hold: () => () => void;
  readonly close: () => Promise<void>;
}

/** Starts a fake issuer on a loopback port. */
export async function startFakeIssuer(options: FakeIssuerOptions = {}): Promise<FakeIssuer> {
  const requests = { metadata: 0, jwks: 0, other: 0 };
  let keys: SigningKey[] = [...(options.keys ?? [createSigningKey(options.alg)])];
  let published: readonly unknown[] | null = null;
  let metadata: Claims = {};
  let failure: { mode: FailureMode | null; document: 'jwks' | 'metadata' | 'both' } = {
    mode: null,
    document: 'both',
  };
  let held: Promise<void> | null = null;

  const path = options.path ?? '/5a11b0a7-0000-4000-8000-000000000000/v2.0';
  const server = createServer((request, response) => void answer(request, response));
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const origin = `http://127.0.0.1:${port}`;
  const issuer = options.issuer ?? `${origin}${path}`;
  const jwksPath = `${path}/keys`;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const isMetadata = request.url === `${path.replace(/\/$/, '')}/.well-known/openid-configuration`;
    const isJwks = request.url === jwksPath;
    requests[isMetadata ? 'metadata' : isJwks ? 'jwks' : 'other']++;
    const body = isMetadata
      ? { issuer, jwks_uri: `${origin}${jwksPath}`, ...metadata }
      : { keys: published ?? keys.map((key) => key.jwk) };
    if (held !== null) await held;
    const { mode, document } = failure;
    const fails = mode !== null && (document === 'both' || document === (isMetadata ? 'metadata' : 'jwks'));
    if (fails) misbehave(mode, response, JSON.stringify(body));
    else if (isMetadata || isJwks)
      response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
    else response.writeHead(404).end();
  }

  function misbehave(mode: FailureMode, response: ServerResponse, body: string): void {
    const json = { 'content-type': 'application/json' };
    const actions: Record<FailureMode, () => unknown> = {
      '500': () => response.writeHead(500, json).end(body),
      html: () =>
        response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><h1>Sorry</h1>'),
      truncated: () => response.writeHead(200, json).end(body.slice(0, -10)),
      empty: () => response.writeHead(200, json).end(),
      'no-keys': () => response.writeHead(200, json).end('{"keys":[]}'),
      huge: () =>
        response.writeHead(200, json).end(`{"padding":"${'x'.repeat(20 * 1_048_576)}",${body.slice(1)}`),
      redirect: () => response.writeHead(302, { location: `${origin}/elsewhere` }).end(),
      reset: () => response.socket?.resetAndDestroy(),
      hang: () => undefined,
      'hang-in-body': () => response.writeHead(200, json).write(body.slice(0, 5)),
      array: () => response.writeHead(200, json).end('[]'),
      'not-utf8': () => response.writeHead(200, json).end(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d])),
    };
    actions[mode]();
  }

  const currentKey = (): SigningKey => {
    const key = keys.at(-1);
    if (key === undefined) throw new Error('the fake issuer has no key');
    return key;
  };

  return {
    origin,
    issuer,
    port,
    requests,
    key: currentKey,
    mint: (claims = {}, header = {}) => mintAccessToken({ issuer, key: currentKey(), claims, header }),
    rotate: ({ keepOld = true, kid } = {}) => {
      const key = createSigningKey(options.alg, kid);
      keys = keepOld ? [...keys, key] : [key];
      return key;
    },
    withdraw: (kid) => {
      keys = keys.filter((key) => key.kid !== kid);
    },
    publish: (entries) => {
      published = entries;
    },
    setMetadata: (members) => {
      metadata = members;
    },
    fail: (mode, document = 'both') => {
      failure = { mode, document };
    },
    hold: () => {
      let resolve = (): void => undefined;
      held = new Promise((release) => (resolve = release));
      return () => {
        held = null;
        resolve();
      };
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
