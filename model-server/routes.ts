// Which path does what, and what every request goes through first: a fresh assertion of the gateway, else 401.
import { createHash } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import {
  assertionHeader,
  gatewaySubject,
  type AssertedPrincipal,
  type VerifyAssertion,
} from '../core/assertion.ts';
import { GatewayError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import type { ModelServerConfig } from './config.ts';
import type { Engine } from './engine/engine.ts';
import { refusalOf, refuse } from './error-response.ts';
import type { Metrics } from './metrics.ts';
import { answerChatCompletions } from './openai-wire/chat-completions.ts';
import { answerCompletions } from './openai-wire/completions.ts';
import { answerEmbeddings } from './openai-wire/embeddings.ts';
import { sendJson, type EndpointCall } from './openai-wire/endpoint-call.ts';
import { answerTokenize } from './openai-wire/tokenize.ts';
import { bodyInvalid, readJsonBody } from './request-body.ts';

/** A model that is served. */
export interface ServedModel {
  readonly id: string;
  readonly engine: Engine;
  /** Unix seconds of the file's last change. */
  readonly created: number;
  /** Changes with the file: same seed, same fingerprint, same text. */
  readonly fingerprint: string;
  readonly defaultTopK: number;
}

/** What the routes need. */
export interface RouteServices {
  readonly config: Pick<ModelServerConfig, 'max_body_bytes' | 'max_choices' | 'max_inputs' | 'heartbeat_ms'>;
  readonly models: ReadonlyMap<string, ServedModel>;
  readonly verifyAssertion: VerifyAssertion;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly isStopping: () => boolean;
}

const modelEndpoints: ReadonlyMap<string, (call: EndpointCall) => Promise<void>> = new Map([
  ['/v1/completions', answerCompletions],
  ['/v1/chat/completions', answerChatCompletions],
  ['/v1/embeddings', answerEmbeddings],
  ['/v1/tokenize', answerTokenize],
]);

/** Creates the request listener. */
export function createRoutes(services: RouteServices): RequestListener {
  return (request, response) => {
    const startedAtMs = performance.now();
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    const route = routeOf(path);
    const finish = (): void =>
      services.metrics.countRequest(route, response.statusCode, (performance.now() - startedAtMs) / 1000);
    response.once('close', finish);
    // The echo proves to the gateway that an answer on a kept-alive connection belongs to its request.
    const requestId = request.headers['x-request-id'];
    if (typeof requestId === 'string' && /^[\w-]{1,64}$/.test(requestId))
      response.setHeader('x-request-id', requestId);
    answer(request, response, path, services).catch((error: unknown) => {
      if (response.destroyed) return; // The caller left; a body that broke off is no fault of ours.
      const refusal = refusalOf(error);
      if (refusal.code === 'internal_error')
        services.log.error({ route, problem: String(refusal.cause) }, 'a request failed');
      refuse(response, refusal);
    });
  };
}

/** A closed set, for metrics. */
function routeOf(path: string): string {
  if (path.startsWith('/v1/models')) return '/v1/models';
  return modelEndpoints.has(path) || path === '/healthz' || path === '/metrics' ? path : 'other';
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  services: RouteServices,
): Promise<void> {
  if (path === '/healthz') {
    answerHealth(request, response, services);
    return;
  }
  if (path === '/metrics') return answerMetrics(request, response, services);
  const header = request.headers[assertionHeader];
  const principal = await services.verifyAssertion(typeof header === 'string' ? header : undefined);
  if (principal === null) throw new GatewayError('missing_credentials', { reason: 'assertion' });
  if (services.isStopping()) throw new GatewayError('gateway_stopping', { retryAfterSeconds: 1 });
  if (routeOf(path) === '/v1/models') {
    answerModels(request, response, path, services);
    return;
  }
  const endpoint = modelEndpoints.get(path);
  if (endpoint === undefined) throw new GatewayError('endpoint_not_found');
  assertMethod(request, 'POST');

  const leaving = new AbortController();
  response.once('close', () => leaving.abort());
  const body = await readJsonBody(request, services.config.max_body_bytes);
  const model = modelOf(body['model'], services);
  await endpoint({
    request,
    response,
    body,
    engine: model.engine,
    modelId: model.id,
    fingerprint: model.fingerprint,
    defaultTopK: model.defaultTopK,
    principal: principal.subject,
    owner: ownerOf(principal),
    signal: leaving.signal,
    maxChoices: services.config.max_choices,
    maxInputs: services.config.max_inputs,
    heartbeatMs: services.config.heartbeat_ms,
    count: (usage) => services.metrics.countUsage(model.id, usage),
  });
}

/**
 * Who may share computed prompts, as an opaque key: the same principal through the same client. Nobody shares those of
 * the gateway itself, which may speak for many.
 */
function ownerOf({ subject, clientId }: AssertedPrincipal): string | null {
  if (subject === gatewaySubject) return null;
  return createHash('sha256')
    .update(JSON.stringify([subject, clientId]))
    .digest('base64url');
}

function modelOf(id: unknown, services: RouteServices): ServedModel {
  if (typeof id !== 'string' || id === '') throw bodyInvalid('model: expected the id of a model', 'model');
  const model = services.models.get(id);
  if (model === undefined)
    throw new GatewayError('model_not_found', { params: { model: id }, param: 'model' });
  return model;
}

function assertMethod(request: IncomingMessage, ...allowed: readonly string[]): void {
  if (allowed.includes(request.method ?? '')) return;
  // RFC 9110 §15.5.6: a 405 lists the methods in Allow.
  throw new GatewayError('method_not_allowed', {
    params: { allowed: allowed.join(', ') },
    headers: { allow: allowed.join(', ') },
  });
}

function answerModels(
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  services: RouteServices,
): void {
  assertMethod(request, 'GET', 'HEAD');
  const listed = [...services.models.values()].map(({ id, created }) => ({
    id,
    object: 'model',
    created,
    owned_by: 'sallyport',
  }));
  if (path === '/v1/models') {
    // eslint-disable-next-line id-denylist -- a name of the OpenAI wire format.
    sendJson(response, { object: 'list', data: listed });
    return;
  }
  const wanted = path.startsWith('/v1/models/') ? path.slice('/v1/models/'.length) : '';
  const found = listed.find(({ id }) => id === wanted);
  if (found === undefined)
    throw new GatewayError('model_not_found', { params: { model: wanted }, param: 'model' });
  sendJson(response, found);
}

function answerHealth(request: IncomingMessage, response: ServerResponse, services: RouteServices): void {
  assertMethod(request, 'GET', 'HEAD');
  const models = [...services.models.values()].map(({ id, engine }) => [
    id,
    {
      ready: engine.isReady(),
      engines: { ready: engine.pool.ready(), configured: engine.pool.size },
      restarts: engine.pool.restarts(),
      running: engine.room.running(),
      waiting: engine.room.waiting(),
    },
  ]);
  const isReady =
    !services.isStopping() && [...services.models.values()].every(({ engine }) => engine.isReady());
  sendJson(
    response,
    { status: isReady ? 'ready' : 'not ready', models: Object.fromEntries(models) as object },
    isReady ? 200 : 503,
  );
}

async function answerMetrics(
  request: IncomingMessage,
  response: ServerResponse,
  services: RouteServices,
): Promise<void> {
  assertMethod(request, 'GET', 'HEAD');
  const { contentType, text } = await services.metrics.page();
  response.writeHead(200, { 'content-type': contentType }).end(text);
}
