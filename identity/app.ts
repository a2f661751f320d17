// The Express application: order of middleware, response headers, health, and the last resort for errors.
import { randomUUID } from 'node:crypto';
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import { pinoHttp } from 'pino-http';
import type { VerifyAssertion } from '../core/assertion.ts';
import type { Logger } from '../core/log.ts';
import { sendProblem } from './account-problem.ts';
import { accountRoutes, type AccountRoutesDeps } from './account-routes.ts';
import { apiKeyRoutes, type ApiKeyRoutesDeps } from './api-keys/routes.ts';
import { identifyCaller } from './caller.ts';
import { send } from './interactions/answer.ts';
import { problemPage, startPage } from './interactions/pages.ts';
import { interactionRoutes, type InteractionDeps } from './interactions/routes.ts';
import { stylesheet } from './interactions/stylesheet.ts';
import { internalRoutes, type InternalDeps } from './internal/routes.ts';
import { openIdRoutes, type MountDeps } from './openid/mount.ts';
import { relationRoutes } from './relations/routes.ts';
import { isDatabaseOutage, outageRetrySeconds } from './storage/outage.ts';

export interface AppDeps
  extends AccountRoutesDeps, ApiKeyRoutesDeps, InternalDeps, MountDeps, Omit<InteractionDeps, 'tenantId'> {
  readonly verifyAssertion: VerifyAssertion;
  readonly log: Logger;
}

/** Builds the application. */
export function createApp(deps: AppDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('etag', false);
  app.set('query parser', 'simple');
  app.use(requestLog(deps.log));
  app.use(securityHeaders(deps.base.startsWith('https:')));

  app.get('/healthz', (_request, response) => {
    response.json({ status: 'ok' });
  });
  app.get('/readyz', async (_request, response) => {
    const problem = await databaseProblem(deps);
    response
      .status(problem === null ? 200 : 503)
      .json({ status: problem === null ? 'ok' : 'not ready', database: problem ?? 'ok' });
  });
  app.get(stylesheet.path, (_request, response) => {
    response.set('cache-control', 'public, max-age=31536000, immutable').type('css').send(stylesheet.text);
  });

  app.use(async (request, _response, next) => {
    await identifyCaller(request, deps.verifyAssertion);
    next();
  });
  app.use('/internal', internalRoutes(deps));
  app.use(accountRoutes(deps));
  app.use(apiKeyRoutes(deps));
  app.use(relationRoutes(deps));
  app.get('/', (_request, response) => send(response, startPage()));
  app.use(
    `/${deps.config.tenant_id}/interaction`,
    interactionRoutes({ ...deps, tenantId: deps.config.tenant_id }),
  );
  app.use(openIdRoutes(deps));
  app.use((request, response) => {
    // A person who mistyped an address gets a page; programs, and whoever takes anything, the problem.
    if (request.method === 'GET' && request.accepts(['json', 'html']) === 'html') {
      const next = { href: '/device', text: 'Enter a code' };
      send(
        response,
        problemPage('There is nothing here', 'The address is mistyped, or no longer valid.', next),
        {
          status: 404,
        },
      );
      return;
    }
    sendProblem(response, {
      status: 404,
      code: 'endpoint_not_found',
      detail: 'There is nothing at this address',
    });
  });
  app.use(lastResort(deps.log));
  return app;
}

function requestLog(log: Logger): RequestHandler {
  return pinoHttp({
    logger: log,
    genReqId: () => randomUUID(),
    autoLogging: { ignore: (request) => request.url === '/healthz' || request.url === '/readyz' },
    // Codes and handles travel in queries and interaction paths: neither is written down.
    serializers: {
      req: (request: { id: unknown; method: string; url: string }) => ({
        id: request.id,
        method: request.method,
        path: loggedPath(request.url),
      }),
      res: (response: { statusCode: number }) => ({ status: response.statusCode }),
    },
    customAttributeKeys: { responseTime: 'ms' },
  });
}

function loggedPath(url: string): string {
  const path = url.split('?')[0] ?? '';
  return path
    .replace(/\/(interaction|authorize|deviceauth)\/[^/]+/, '/$1/:uid')
    .replace(/\/api-keys\/.+/, '/api-keys/:id') // Some paste the whole key.
    .slice(0, 200);
}

function securityHeaders(secure: boolean): RequestHandler {
  return (request, response, next) => {
    response.set({
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'cross-origin-opener-policy': 'same-origin',
      'referrer-policy': 'same-origin',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'x-request-id': typeof request.id === 'string' ? request.id : '',
    });
    if (secure) response.set('strict-transport-security', 'max-age=31536000');
    next();
  };
}

async function databaseProblem(deps: AppDeps): Promise<string | null> {
  try {
    await deps.database.selectFrom('signing_keys').select('kid').limit(1).execute();
    return null;
  } catch {
    return 'does not answer';
  }
}

// Bad input that a parser refused becomes its 4xx; anything else is ours and says nothing.
function lastResort(log: Logger): ErrorRequestHandler {
  return (error: unknown, request, response, next) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    const status = (error as { status?: unknown }).status;
    if (typeof status === 'number' && status >= 400 && status < 500) {
      sendProblem(response, {
        status,
        code: status === 413 ? 'body_too_large' : 'malformed_request',
        detail: 'The request cannot be read',
      });
      return;
    }
    log.error({
      event: 'request_failed',
      id: request.id,
      name: error instanceof Error ? error.name : 'unknown',
      reason: error instanceof Error ? error.message : undefined,
    });
    if (isDatabaseOutage(error)) {
      sendProblem(response, {
        status: 503,
        code: 'database_unavailable',
        detail: 'The database does not answer. Try again in a moment',
        retryAfterSeconds: outageRetrySeconds,
      });
      return;
    }
    sendProblem(response, { status: 500, code: 'internal_error', detail: 'Something went wrong here' });
  };
}
