// A gateway and an OAuth issuer on loopback that answer as a test scripts them. They stand for the other side only:
// the command line under test is the real one, over real HTTP.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type PollAnswer = 'ok' | 'drop' | (string & {});

export interface IssuerScript {
  /** Answers to the device polls in turn; the last one repeats. */
  polls: PollAnswer[];
  interval: number;
  expiresIn: number;
  /** What a refresh answers: new tokens, an OAuth error, or nothing until `releaseRefresh`. */
  refresh: 'ok' | 'hold' | (string & {});
  accessTokenSeconds: number;
  rotateRefreshToken: boolean;
  verificationHost: string | null;
  metadataIssuer: string | null;
  metadata: Record<string, unknown>;
}

export interface RecordedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export interface ScriptedIssuer {
  readonly url: string;
  readonly origin: string;
  readonly script: IssuerScript;
  readonly requests: RecordedRequest[];
  count: (grant: string) => number;
  /** Emits once a refresh request has arrived. */
  refreshArrived: () => Promise<void>;
  releaseRefresh: () => void;
  close: () => Promise<void>;
}

export type GatewayHandler = (request: RecordedRequest, response: ServerResponse) => void;

export interface ScriptedGateway {
  readonly url: string;
  readonly requests: RecordedRequest[];
  resource: Record<string, unknown> | null;
  handlers: Record<string, GatewayHandler>;
  close: () => Promise<void>;
}

/** An access token as the issuer would sign it; nobody here verifies it. */
export function makeAccessToken(claims: Record<string, unknown> = {}): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const payload = {
    sub: 'subject-1',
    preferred_username: 'admin',
    roles: ['LLM.User', 'LLM.Admin'],
    scp: 'LLM.Access',
    jti: crypto.randomUUID(),
    ...claims,
  };
  return `${part({ alg: 'RS256', typ: 'at+jwt' })}.${part(payload)}.c2lnbmF0dXJl`;
}

export async function startIssuer(changes: Partial<IssuerScript> = {}): Promise<ScriptedIssuer> {
  const script: IssuerScript = {
    polls: ['ok'],
    interval: 0.05,
    expiresIn: 600,
    refresh: 'ok',
    accessTokenSeconds: 3600,
    rotateRefreshToken: true,
    verificationHost: null,
    metadataIssuer: null,
    metadata: {},
    ...changes,
  };
  const requests: RecordedRequest[] = [];
  let generation = 0;
  let release: () => void = () => undefined;
  let arrived: () => void = () => undefined;
  let arrival = new Promise<void>((resolve) => (arrived = resolve));
  const issueTokens = (response: ServerResponse): void => {
    generation += 1;
    json(response, 200, {
      access_token: makeAccessToken({ generation }),
      token_type: 'Bearer',
      expires_in: script.accessTokenSeconds,
      scope: 'api://sallyport/LLM.Access offline_access',
      ...(script.rotateRefreshToken || generation === 1 ? { refresh_token: `refresh-${generation}` } : {}),
    });
  };
  const { server, origin } = await listen((request, response) => {
    requests.push(request);
    const form = new URLSearchParams(request.body);
    if (request.path.includes('/.well-known/')) {
      const url = `${origin()}/tenant/v2.0`;
      json(response, 200, {
        issuer: script.metadataIssuer ?? url,
        token_endpoint: `${origin()}/token`,
        device_authorization_endpoint: `${origin()}/devicecode`,
        revocation_endpoint: `${origin()}/revoke`,
        jwks_uri: `${origin()}/keys`,
        ...script.metadata,
      });
    } else if (request.path === '/devicecode') {
      const host = script.verificationHost ?? origin();
      json(response, 200, {
        device_code: 'device-code-1',
        user_code: 'WDJB-MJHT',
        verification_uri: `${host}/device`,
        verification_uri_complete: `${host}/device?user_code=WDJB-MJHT`,
        expires_in: script.expiresIn,
        interval: script.interval,
      });
    } else if (request.path === '/revoke') {
      response.writeHead(200).end();
    } else if (request.path === '/keys') {
      json(response, 200, { keys: [] });
    } else if (form.get('grant_type') === 'refresh_token') {
      arrived();
      if (script.refresh === 'ok') issueTokens(response);
      else if (script.refresh === 'hold') release = () => issueTokens(response);
      else json(response, 400, { error: script.refresh });
    } else {
      const answer = script.polls.length > 1 ? script.polls.shift() : script.polls[0];
      if (answer === 'drop') response.destroy();
      else if (answer === 'ok') issueTokens(response);
      else json(response, 400, { error: answer });
    }
  });
  return {
    url: `${origin()}/tenant/v2.0`,
    origin: origin(),
    script,
    requests,
    count: (grant) =>
      requests.filter((request) => new URLSearchParams(request.body).get('grant_type') === grant).length,
    refreshArrived: async () => {
      await arrival;
      arrival = new Promise<void>((resolve) => (arrived = resolve));
    },
    releaseRefresh: () => release(),
    close: () => close(server),
  };
}

export async function startGateway(issuer: string): Promise<ScriptedGateway> {
  const requests: RecordedRequest[] = [];
  const { server, origin } = await listen((request, response) => {
    requests.push(request);
    response.setHeader('x-request-id', 'req_01JD4Q7M');
    const path = request.path.split('?')[0] ?? '';
    const handler = gateway.handlers[path];
    if (handler !== undefined) handler(request, response);
    else if (path === '/.well-known/oauth-protected-resource' && gateway.resource !== null)
      json(response, 200, gateway.resource);
    else if (path === '/healthz' || path === '/readyz') json(response, 200, { status: 'ok' });
    else if (path === '/v1/models')
      json(response, 200, {
        object: 'list',
        data: [{ id: 'tiny-gpt2', object: 'model', created: 0, owned_by: 'sallyport' }],
      });
    else refuse(response, 404, 'endpoint_not_found', 'There is no such endpoint.');
  });
  const gateway: ScriptedGateway = {
    url: origin(),
    requests,
    resource: {
      resource: origin(),
      authorization_servers: [issuer],
      scopes_supported: ['api://sallyport/LLM.Access'],
      bearer_methods_supported: ['header'],
      sallyport_cli_client_id: '5a11b0a7-0000-4000-8000-000000000001',
    },
    handlers: {},
    close: () => close(server),
  };
  return gateway;
}

export function json(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: Record<string, string> = {},
): void {
  response
    .writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers })
    .end(JSON.stringify(value));
}

/** A refusal in OpenAI shape, as the gateway answers under /v1. */
export function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  json(response, status, {
    error: {
      message,
      type: 'invalid_request_error',
      param: null,
      code,
      doc_url: `http://gateway.test/docs/errors/${code}`,
    },
  });
}

/** A stream of server-sent events. */
export function stream(response: ServerResponse, events: readonly (object | string)[]): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const event of events)
    response.write(`data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`);
  response.end();
}

async function listen(
  handle: (request: RecordedRequest, response: ServerResponse) => void,
): Promise<{ server: Server; origin: () => string }> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8');
      handle(
        { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body },
        response,
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { server, origin: () => `http://127.0.0.1:${port}` };
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
