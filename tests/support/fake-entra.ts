// A real HTTP service on loopback shaped like Entra (metadata and keys of all tenants, token endpoint) and like Microsoft
// Graph's getMemberObjects: it checks what it is asked with, answers in pages, fails on demand and counts.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What it does instead of answering well. */
export type DirectoryFault =
  | 'token-refused'
  | 'token-odd'
  | 'forbidden'
  | 'error'
  | 'throttled'
  | 'html'
  | 'not-a-list'
  | 'not-texts'
  | 'redirect'
  | 'elsewhere'
  | 'endless'
  | 'huge'
  | 'hang'
  | 'hang-in-body'
  | 'reset';

export interface FakeEntra {
  readonly origin: string;
  readonly requests: { token: number; members: number; pages: number; other: number };
  /** Paths that were asked for, in order. */
  readonly paths: string[];
  /** Object id → its groups; somebody who is not here is 404. */
  readonly groups: Map<string, readonly string[]>;
  readonly fail: (fault: DirectoryFault | null) => void;
  /** Makes every access token given so far worthless. */
  readonly withdrawTokens: () => void;
  readonly close: () => Promise<void>;
}

export const directorySecret = 'fake-directory-secret';
export const directoryClient = 'c0ffee00-0000-4000-8000-000000000001';
const perPage = 3;

/** Starts it on a free port; `jwks` are the entries of the key document. */
export async function startFakeEntra(jwks: readonly unknown[], expiresIn = 3_600): Promise<FakeEntra> {
  const requests = { token: 0, members: 0, pages: 0, other: 0 };
  const paths: string[] = [];
  const groups = new Map<string, readonly string[]>();
  let fault: DirectoryFault | null = null;
  let generation = 0;
  const server = createServer((request, response) => void answer(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', origin);
    paths.push(url.pathname);
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const json = (status: number, value: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    };
    const [, tenant] = /^\/([0-9a-f-]{36})\/oauth2\/v2\.0\/token$/.exec(url.pathname) ?? [];
    if (tenant !== undefined) {
      requests.token++;
      const form = new URLSearchParams(body);
      const isGood =
        form.get('grant_type') === 'client_credentials' &&
        form.get('client_id') === directoryClient &&
        form.get('client_secret') === directorySecret &&
        form.get('scope') === `${origin}/.default`;
      if (!isGood || fault === 'token-refused') json(401, { error: 'invalid_client' });
      else if (fault === 'token-odd') json(200, { token_type: 'Bearer' });
      else json(200, { token_type: 'Bearer', access_token: tokenOf(tenant), expires_in: expiresIn });
      return;
    }
    if (request.method === 'GET' && url.pathname === '/organizations/v2.0/.well-known/openid-configuration') {
      json(200, {
        issuer: `${origin}/{tenantid}/v2.0`,
        jwks_uri: `${origin}/organizations/discovery/v2.0/keys`,
      });
      return;
    }
    if (request.method === 'GET' && url.pathname === '/organizations/discovery/v2.0/keys') {
      json(200, { keys: jwks });
      return;
    }
    const [, , objectId] =
      /^\/v1\.0\/(users|servicePrincipals)\/([0-9a-f-]{36})\/getMemberObjects$/.exec(url.pathname) ?? [];
    if (objectId === undefined) {
      requests.other++;
      json(404, {});
      return;
    }
    const page = Number(url.searchParams.get('$skiptoken') ?? 0);
    requests[page === 0 ? 'members' : 'pages']++;
    if (!/^Bearer token-\d+-[0-9a-f-]{36}$/.test(request.headers.authorization ?? '')) json(401, {});
    else if (request.headers.authorization?.startsWith(`Bearer token-${generation}-`) !== true) json(401, {});
    else if (page === 0 && (request.method !== 'POST' || body !== '{"securityEnabledOnly":false}'))
      json(400, {});
    else if (fault !== null) misbehave(fault, response, json);
    else if (!groups.has(objectId)) json(404, { error: { code: 'Request_ResourceNotFound' } });
    else json(200, pageOf(groups.get(objectId) ?? [], page, url.pathname));
  }

  const tokenOf = (tenant: string): string => `token-${generation}-${tenant}`;

  function pageOf(all: readonly string[], page: number, path: string): Record<string, unknown> {
    const value = all.slice(page * perPage, (page + 1) * perPage);
    const more = all.length > (page + 1) * perPage;
    return { value, ...(more ? { '@odata.nextLink': `${origin}${path}?$skiptoken=${page + 1}` } : {}) };
  }

  function misbehave(
    how: DirectoryFault,
    response: ServerResponse,
    json: (status: number, value: unknown) => void,
  ): void {
    const path = '/v1.0/users/0a0a0a0a-0000-4000-8000-00000000000d/getMemberObjects';
    const actions: Record<DirectoryFault, () => unknown> = {
      'token-refused': () => json(500, {}),
      'token-odd': () => json(500, {}),
      forbidden: () => json(403, { error: { code: 'Authorization_RequestDenied' } }),
      error: () => json(500, { value: ['everybody'] }),
      throttled: () => json(429, {}),
      html: () => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>'),
      'not-a-list': () => json(200, { value: 'everybody' }),
      'not-texts': () => json(200, { value: [{ id: 'g' }] }),
      redirect: () => response.writeHead(307, { location: `${origin}${path}` }).end(),
      elsewhere: () => json(200, { value: ['g'], '@odata.nextLink': 'http://127.0.0.1:9/v1.0/next' }),
      endless: () => json(200, { value: ['g'], '@odata.nextLink': `${origin}${path}?$skiptoken=1` }),
      huge: () => json(200, { value: [], padding: 'x'.repeat(5 * 1_048_576) }),
      hang: () => undefined,
      'hang-in-body': () =>
        response.writeHead(200, { 'content-type': 'application/json' }).write('{"value":['),
      reset: () => response.socket?.resetAndDestroy(),
    };
    actions[how]();
  }

  return {
    origin,
    requests,
    paths,
    groups,
    fail: (next) => {
      fault = next;
    },
    withdrawTokens: () => {
      generation++;
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
