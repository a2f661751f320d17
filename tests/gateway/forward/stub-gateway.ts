// A listener that puts requests straight into the forward stage, as if all earlier stages had passed them, and answers
// refusals with the gateway's own renderer. What is tested, forward/, is real; what lies before it is given.
import { mkdtempSync, rmSync } from 'node:fs';
import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GatewayError } from '../../../core/errors.ts';
import { createLog } from '../../../core/log.ts';
import { gatewayConfigSchema } from '../../../gateway/config.ts';
import { refuse } from '../../../gateway/error-response.ts';
import { newOutcome, type Guarded, type Outcome } from '../../../gateway/exchange.ts';
import { openAssertionSigner } from '../../../gateway/forward/assertion.ts';
import { forward } from '../../../gateway/forward/index.ts';
import { createUpstreams, type Upstreams } from '../../../gateway/forward/upstreams.ts';
import type { Route } from '../../../gateway/policies/routes.ts';
import { anonymousPrincipal } from '../../../gateway/principal.ts';
import { newRequestId } from '../../../gateway/request-id.ts';

export interface StubGateway {
  readonly url: string;
  readonly folder: string;
  readonly upstreams: Upstreams;
  /** Outcomes of finished requests, in order of their end. */
  readonly outcomes: readonly Outcome[];
  /** Settles when so many requests have ended. */
  ended(count: number): Promise<void>;
  /** Answers that are being written, for tests of back-pressure. */
  readonly responses: ReadonlySet<ServerResponse>;
  close(): Promise<void>;
}

export interface StubOptions {
  readonly url: string;
  readonly upstream?: Readonly<Record<string, unknown>>;
  readonly route?: Partial<Route>;
  /** Null: the body's own model is taken. */
  readonly pathModel?: string | null;
  readonly models?: readonly string[];
  readonly permitted?: readonly string[];
}

export async function startStubGateway(options: StubOptions): Promise<StubGateway> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-forward-'));
  const signer = await openAssertionSigner({ folder, jwksFile: join(folder, 'run', 'gateway-jwks.json') });
  const config = gatewayConfigSchema.parse({
    upstreams: {
      fake: {
        kind: options.route?.kind === 'http' ? 'http' : 'openai',
        url: options.url,
        ...options.upstream,
      },
    },
  });
  const upstreams = createUpstreams(config.upstreams, { signer });
  const outcomes: Outcome[] = [];
  const responses = new Set<ServerResponse>();
  const watchers = new Set<() => void>();
  const route: Route = {
    name: 'chat.completions',
    kind: 'openai',
    path: '/v1/chat/completions',
    methods: new Set(['POST']),
    action: 'chat.completions.create',
    surface: 'openai',
    upstreamPath: '/v1/chat/completions',
    upstream: options.route?.kind === 'http' ? 'fake' : null,
    limits: [],
    guards: [],
    anonymous: false,
    requiresBoundToken: false,
    maxBodyBytes: 1_048_576,
    ...options.route,
  };
  const models = options.models ?? ['tiny-gpt2'];
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const id = newRequestId(Date.now());
    const abort = new AbortController();
    responses.add(response);
    response.on('close', () => {
      responses.delete(response);
      abort.abort();
    });
    const principal = { ...anonymousPrincipal('127.0.0.1'), key: 'contoso|alice', clientId: 'client-1' };
    const outcome: Outcome = { ...newOutcome(), principal };
    let body: Guarded['body'] = null;
    if (route.kind === 'openai' || route.kind === 'generate') {
      const pieces: Buffer[] = [];
      for await (const piece of request) pieces.push(piece);
      const bytes = Buffer.concat(pieces);
      body = bytes.length === 0 ? null : { bytes, json: JSON.parse(bytes.toString()) };
    }
    const target = new URL(request.url ?? '/', 'http://localhost');
    const guarded = {
      id,
      request,
      response,
      target: { path: target.pathname, query: target.search.slice(1) },
      route,
      pathModel: options.pathModel ?? null,
      snapshot: {
        models: new Map(models.map((model) => [model, 'fake'])),
        authentication: { scopesSupported: [] },
      },
      services: { upstreams, publicUrl: 'http://gateway.test', log: createLog('gateway', 'silent') },
      callerAddress: '127.0.0.1',
      receivedAt: Date.now(),
      startedAt: performance.now(),
      signal: abort.signal,
      outcome,
      principal,
      body,
      model:
        options.pathModel ??
        (typeof body?.json['model'] === 'string' ? body.json['model'] : (models[0] ?? null)),
      effective: {
        obligations: null,
        upstreamHeaders: [],
        roles: new Set(['LLM.User']),
        decidedBy: 'roles.LLM.User',
        visibleModels: options.permitted ?? models,
      },
      reservation: { headers: { 'x-ratelimit-remaining-requests': '59' } },
      guarded: true,
    } as unknown as Guarded;
    try {
      await forward(guarded);
    } catch (error) {
      refuse(
        guarded,
        error instanceof GatewayError ? error : new GatewayError('internal_error', { cause: error }),
      );
    }
    outcomes.push(outcome);
    watchers.forEach((watcher) => watcher());
  };
  const server = createServer((request, response) => void handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    folder,
    upstreams,
    outcomes,
    responses,
    ended: (count) =>
      new Promise((resolve) => {
        const watcher = (): void => {
          if (outcomes.length < count) return;
          watchers.delete(watcher);
          resolve();
        };
        watchers.add(watcher);
        watcher();
      }),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await upstreams.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Whether the answer came to its end; false for a connection that was cut. */
  readonly isWhole: boolean;
}

export interface CallOptions {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

/** One request on a connection of its own. */
export function call(gateway: StubGateway, options: CallOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const url = new URL(options.path ?? '/v1/chat/completions', gateway.url);
    const outgoing = httpRequest(
      url,
      {
        method: options.method ?? 'POST',
        headers: options.headers ?? { 'content-type': 'application/json' },
        agent: false,
      },
      (answer) => {
        const pieces: Buffer[] = [];
        const finish = (): void =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            text: Buffer.concat(pieces).toString(),
            isWhole: answer.complete,
          });
        answer.on('data', (piece: Buffer) => pieces.push(piece));
        answer.on('end', finish);
        answer.on('error', finish);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(options.body);
  });
}

/** A completion request, streamed or not. */
export function ask(gateway: StubGateway, members: Readonly<Record<string, unknown>> = {}): Promise<Answer> {
  return call(gateway, {
    body: JSON.stringify({ model: 'tiny-gpt2', messages: [{ role: 'user', content: 'hi' }], ...members }),
  });
}

/** The catalogue code of a refusal in OpenAI shape. */
export function codeOf(answer: Answer): string {
  return JSON.parse(answer.text).error.code;
}

/** The `data:` payloads of an event stream. */
export function eventsOf(answer: Answer): string[] {
  return answer.text
    .split('\n\n')
    .filter((event) => event.startsWith('data: '))
    .map((event) => event.slice('data: '.length));
}
