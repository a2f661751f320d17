// The one renderer of refusals: OpenAI shape or RFC 9457 problem+json, challenge, Retry-After, request id. Bodies are
// built nowhere else.
import type { GatewayError } from '../core/errors.ts';
import type { CallerRequest, CallerResponse } from './caller.ts';
import { challengeFor } from './challenge.ts';
import type { Limited, Received } from './exchange.ts';
import { echoOf } from './request-id.ts';

/** Body shape of refusals: OpenAI's, or RFC 9457 problem+json. */
export type Surface = 'openai' | 'problem';

/** What the renderer needs to know of the request and of the gateway. */
export interface RefusalContext {
  readonly id: string;
  readonly surface: Surface;
  /** Base of the links to error pages and metadata, without a trailing slash. */
  readonly publicUrl: string;
  readonly scopes: readonly string[];
  /** Scheme of the credential that was refused; default: Bearer. */
  readonly presentedScheme?: 'Bearer' | 'DPoP';
  /** A password of a local account is accepted too, over this connection. */
  readonly offersBasic?: boolean;
  /** The caller's own request id, where it is sent back instead of ours. */
  readonly echo?: Readonly<Record<string, string>>;
  /** What the limits say, once the request has been counted. */
  readonly limitHeaders?: Readonly<Record<string, string>>;
}

/** A whole answer. */
export interface RenderedRefusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

// A wait beyond this makes SDKs sleep un-abortably or hammer; they obey x-should-retry (reference: openai-node 6, 7).
const longestRetrySeconds = 20;
const defaultRetrySeconds = 5;

// The second half: where an SDK asks whose base URL lacks `/v1`; it shows a text in no other shape.
const openAiPath =
  /^\/((v1|openai)(\/|\?|$)|(chat\/completions|completions|embeddings|models|responses)(\/|\?|$))/;

/** The surface of a path: OpenAI's under `/v1` and `/openai` and where SDKs ask without either, problem+json elsewhere. */
export function surfaceOf(path: string): Surface {
  return openAiPath.test(path) ? 'openai' : 'problem';
}

/** Status, headers and body of a refusal; pure, so that every exit of the gateway can use it. */
export function renderRefusal(refusal: GatewayError, context: RefusalContext): RenderedRefusal {
  const { definition } = refusal;
  const headers: Record<string, string> = {
    'content-type': context.surface === 'openai' ? 'application/json' : 'application/problem+json',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'x-request-id': context.id,
    ...context.echo,
    ...context.limitHeaders,
    ...refusal.headers,
  };
  // RFC 9110 §15.5.2: a 401 carries at least one challenge.
  const challenge = challengeFor(refusal, {
    resourceMetadataUrl: `${context.publicUrl}/.well-known/oauth-protected-resource`,
    scopes: context.scopes,
    ...(context.presentedScheme === undefined ? {} : { presentedScheme: context.presentedScheme }),
    ...(context.offersBasic === undefined ? {} : { offersBasic: context.offersBasic }),
  });
  if (challenge !== null) headers['www-authenticate'] = challenge;
  if (definition.status === 429 || definition.status === 503) {
    const seconds = refusal.retryAfterSeconds ?? defaultRetrySeconds;
    headers['retry-after'] = String(Math.max(1, Math.ceil(seconds)));
    if (seconds > longestRetrySeconds) headers['x-should-retry'] = 'false';
  }
  if (!definition.retryable) headers['x-should-retry'] = 'false';
  const body = JSON.stringify(
    context.surface === 'openai' ? openAiBody(refusal, context) : problemBody(refusal, context),
  );
  headers['content-length'] = String(Buffer.byteLength(body));
  return { status: definition.status, headers, body };
}

function documentation(refusal: GatewayError, context: RefusalContext): string {
  return `${context.publicUrl}/docs/errors/${refusal.code}`;
}

/** The OpenAI shape: all four members, always, and where to read on. */
function openAiBody(refusal: GatewayError, context: RefusalContext): object {
  return {
    error: {
      message: refusal.publicMessage,
      type: refusal.definition.openAiType,
      param: refusal.param ?? null,
      code: refusal.code,
      doc_url: documentation(refusal, context),
    },
  };
}

function problemBody(refusal: GatewayError, context: RefusalContext): object {
  return {
    type: documentation(refusal, context),
    title: refusal.code.replaceAll('_', ' '),
    status: refusal.definition.status,
    detail: refusal.publicDetail,
    code: refusal.code,
    instance: context.id,
  };
}

/** Writes a refusal as the whole answer. A body that has not been read ends the connection: it must never become a request. */
export function sendRefusal(
  request: CallerRequest,
  response: CallerResponse,
  refusal: GatewayError,
  context: RefusalContext,
): void {
  const rendered = renderRefusal(refusal, context);
  if (!request.complete && announcesBody(request)) response.shouldKeepAlive = false;
  response.writeHead(rendered.status, rendered.headers);
  response.end(request.method === 'HEAD' ? undefined : rendered.body);
}

function announcesBody({ headers }: CallerRequest): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

/** Answers a refusal; after streaming has begun, sends one `data: {"error":…}` event and ends without `[DONE]`. */
export function refuse(
  received: Received & Partial<Pick<Limited, 'reservation'>>,
  refusal: GatewayError,
): void {
  const { response, request, outcome, reservation } = received;
  outcome.refusal ??= refusal;
  if (refusal.code === 'internal_error') {
    received.services.log.error(
      { request_id: received.id, err: refusal.cause },
      'a bug of ours refused a request',
    );
  }
  if (response.destroyed || response.writableEnded) return;
  const context: RefusalContext = {
    id: received.id,
    surface: received.route.surface,
    publicUrl: received.services.publicUrl,
    scopes: received.snapshot.authentication.scopesSupported,
    offersBasic: received.snapshot.basic?.isSafeFor(received) === true,
    presentedScheme: /^dpop /i.test(request.headers.authorization ?? '') ? 'DPoP' : 'Bearer',
    ...(received.route.kind === 'decision' ? { echo: echoOf(request) } : {}),
    ...(reservation === undefined ? {} : { limitHeaders: reservation.headers }),
  };
  if (!response.headersSent) {
    sendRefusal(request, response, refusal, context);
    return;
  }
  if (outcome.streamed) {
    // All SDKs take a bare close for a complete answer; an error event makes them throw.
    response.end(`data: ${JSON.stringify(openAiBody(refusal, context))}\n\n`);
  } else {
    response.destroy();
  }
}
