// Stands between HTTP and oidc-provider: puts Entra's and RFC 8414's paths where clients look, pins host and scheme,
// rewrites what Microsoft's clients send differently, and throttles what oidc-provider does not.
import type { IncomingMessage, ServerResponse } from 'node:http';
import express, { type Request, type Response, type Router } from 'express';
import type { Provider } from 'oidc-provider';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { callerOf } from '../caller.ts';
import type { IdentityConfig } from '../config.ts';
import { providerPolicy } from '../interactions/layout.ts';
import { problemPage } from '../interactions/pages.ts';
import { rememberTypedCode } from '../interactions/provider-pages.ts';
import { expiredPage, refuseOtherSites, send } from '../interactions/answer.ts';
import { beginAttempt, forgiveAttempt, userCodeRule, type AttemptSubject } from '../storage/attempts.ts';
import type { Database } from '../storage/database.ts';
import { isInternalHandle } from './adapter.ts';
import { deviceCodeGrant } from './clients.ts';
import { createPollJudge, type JudgePoll } from './polling.ts';
import { routes } from './provider.ts';
import { parseScopes } from './scopes.ts';

export interface MountDeps {
  readonly base: string;
  readonly config: IdentityConfig;
  readonly currentProvider: () => Provider;
  readonly database: Database;
}

/** All paths of the OpenID provider. */
export function openIdRoutes(deps: MountDeps): Router {
  const router = express.Router();
  const tenant = `/${deps.config.tenant_id}`;
  const form = express.urlencoded({ extended: false, limit: '32kb', parameterLimit: 64 });
  const judgePoll = createPollJudge({
    intervalSeconds: deps.config.device_code.interval_s,
    lifetimeSeconds: deps.config.device_code.lifetime_s,
  });
  const deviceStarts = new RateLimiterMemory({ points: 60, duration: 60 });
  // Each of these leaves a session in the database for a while, signed in or not.
  const pageLoads = new RateLimiterMemory({ points: 240, duration: 60 });

  router.get('/device', async (request, response) => {
    if (await mayStart(pageLoads, request, response)) await showCodeForm(deps, request, response);
  });
  router.post('/device', refuseOtherSites, form, (request, response) => submitCode(deps, request, response));

  // RFC 8414 §3.1: the well-known part stands before the path of the issuer.
  router.get(`/.well-known/oauth-authorization-server${tenant}/v2.0`, (request, response) =>
    hand(deps, request, response, '/.well-known/oauth-authorization-server'),
  );
  router.use(tenant, async (request, response, next) => {
    const path = request.path.toLowerCase().replace(/\/$/, '');
    // The way back from a sign-in page: without the session of that browser oidc-provider 9.13 would answer 500.
    if (path.startsWith(`${routes.code_verification}/`) && !(await hasSession(deps, request, response))) {
      send(response, expiredPage(), { status: 400 });
      return;
    }
    switch (`${request.method === 'HEAD' ? 'GET' : request.method} ${path}`) {
      case 'GET /v2.0/.well-known/openid-configuration':
        return hand(deps, request, response, '/.well-known/openid-configuration');
      case 'GET /v2.0/.well-known/oauth-authorization-server':
        return hand(deps, request, response, '/.well-known/oauth-authorization-server');
      case `GET ${routes.code_verification}`:
      case `POST ${routes.code_verification}`:
        // The throttled way in is /device.
        response.redirect(303, '/device');
        return;
      case `GET ${routes.authorization}`:
        if (await mayStart(pageLoads, request, response)) next();
        return;
      case `POST ${routes.device_authorization}`:
        if (await mayStart(deviceStarts, request, response)) next();
        return;
      default:
        next();
    }
  });
  router.post(`${tenant}${routes.token}`, form, (request, response, next) => {
    if (!acceptTokenRequest(request, response, judgePoll)) return;
    replayBody(request);
    next();
  });
  router.post(`${tenant}${routes.device_authorization}`, form, (request, _response, next) => {
    const body = (request.body ?? {}) as Record<string, unknown>; // What urlencoded() made.
    // oidc-provider 9.13 makes `prompt` of it, which the device flow forgets: nobody would be asked again.
    if (typeof body['max_age'] === 'string' && Number(body['max_age']) === 0 && body['max_age'] !== '')
      body['max_age'] = '1';
    replayBody(request);
    next();
  });
  router.use(tenant, (request, response) => hand(deps, request, response));
  return router;
}

/** Whether the request brings the cookie of a session that exists. */
async function hasSession(deps: MountDeps, request: Request, response: Response): Promise<boolean> {
  pinOrigin(request, deps.base);
  const openIdProvider = deps.currentProvider();
  const session = await openIdProvider.Session.get(openIdProvider.createContext(request, response));
  return (session as { new?: boolean }).new !== true; // A member that the published types leave out.
}

/** Hands a request to oidc-provider, optionally as another path below the tenant. */
function hand(deps: MountDeps, request: Request, response: Response, path?: string): Promise<void> {
  if (path !== undefined) {
    // Both, because oidc-provider derives the mount path from the difference of the two.
    request.url = path;
    request.originalUrl = `/${deps.config.tenant_id}${path}`;
  }
  pinOrigin(request, deps.base);
  response.set('content-security-policy', providerPolicy);
  if (request.url.startsWith('/.well-known/') || request.url.startsWith(routes.jwks)) {
    response.set('cache-control', 'public, max-age=300');
  }
  const handle = deps.currentProvider().callback() as (
    request: IncomingMessage,
    response: ServerResponse,
  ) => Promise<void>;
  return handle(request, response);
}

// oidc-provider reads the stream itself and complains about a parsed body; it gets the rewritten form as a stream.
function replayBody(request: Request): void {
  const fields = new URLSearchParams();
  for (const [name, value] of Object.entries((request.body ?? {}) as Record<string, unknown>)) {
    for (const single of [value].flat()) if (typeof single === 'string') fields.append(name, single);
  }
  const bytes = Buffer.from(fields.toString());
  request.headers['content-length'] = String(bytes.length);
  Object.defineProperties(request, { readable: { value: true }, iterator: { value: () => [bytes] } });
}

// URLs in answers must not be chosen by the caller's Host or forwarding headers.
function pinOrigin(request: IncomingMessage, base: string): void {
  const { host, protocol } = new URL(base);
  request.headers.host = host;
  request.headers['x-forwarded-proto'] = protocol.slice(0, -1);
  delete request.headers['x-forwarded-host'];
  delete request.headers['x-forwarded-for'];
}

/** Counts the start of a sign-in; false when it has been answered. */
async function mayStart(limiter: RateLimiterMemory, request: Request, response: Response): Promise<boolean> {
  try {
    await limiter.consume(callerOf(request).address);
    return true;
  } catch (refusal) {
    if (!(refusal instanceof RateLimiterRes)) throw refusal;
    response.set('retry-after', String(Math.ceil(refusal.msBeforeNext / 1000)));
    response.status(429).json({
      error: 'temporarily_unavailable',
      error_description: 'too many sign-ins started from this address',
    });
    return false;
  }
}

/** Rewrites a token request for oidc-provider; false when it has been answered. */
function acceptTokenRequest(request: Request, response: Response, judgePoll: JudgePoll): boolean {
  const body = (request.body ?? {}) as Record<string, unknown>; // What urlencoded() made: strings, or arrays of doubled names.
  const presented = [body['device_code'], body['refresh_token'], body['code']].flat();
  if (presented.some((value) => typeof value === 'string' && isInternalHandle(value))) {
    response.status(400).json({ error: 'invalid_grant', error_description: 'grant request is invalid' });
    return false;
  }
  // MSAL sends the name from before RFC 8628.
  if (body['grant_type'] === 'device_code') body['grant_type'] = deviceCodeGrant;
  if (
    body['grant_type'] === deviceCodeGrant &&
    typeof body['device_code'] === 'string' &&
    judgePoll(`${String(body['client_id'])} ${body['device_code']}`) === 'too-fast'
  ) {
    response.set('cache-control', 'no-store');
    response.status(400).json({ error: 'slow_down', error_description: 'poll less often' });
    return false;
  }
  // MSAL repeats offline_access, which the code flow drops without prompt=consent; the refresh token does not need it.
  if (body['grant_type'] === 'refresh_token' && typeof body['scope'] === 'string') {
    const kept = parseScopes(body['scope']).filter((name) => name !== 'offline_access');
    if (kept.length > 0) body['scope'] = kept.join(' ');
    else delete body['scope'];
  }
  return true;
}

function showCodeForm(deps: MountDeps, request: Request, response: Response): Promise<void> {
  const code = request.query['user_code'];
  // Only fills the field: the person still presses, and oidc-provider's self-submitting page is not used.
  if (typeof code === 'string') rememberTypedCode(request, code.slice(0, 24));
  return hand(deps, request, response, routes.code_verification);
}

async function submitCode(deps: MountDeps, request: Request, response: Response): Promise<void> {
  const openIdProvider = deps.currentProvider();
  pinOrigin(request, deps.base);
  const session = await openIdProvider.Session.get(openIdProvider.createContext(request, response));
  // A form without its session cannot be ours; oidc-provider 9.13 would answer 500.
  if ((session as { new?: boolean }).new === true) {
    response.redirect(303, '/device');
    return;
  }
  const body = (request.body ?? {}) as Record<string, unknown>;
  const typed = typeof body['user_code'] === 'string' ? body['user_code'].slice(0, 64) : '';
  const subjects: AttemptSubject[] = [
    ['user-code', `address ${callerOf(request).address}`],
    ['user-code', `session ${session.uid}`],
  ];
  for (const subject of subjects) {
    const wait = await beginAttempt(deps.database, subject, userCodeRule);
    if (wait === 0) continue;
    response.set('retry-after', String(wait));
    const sentence = `Wait ${wait} seconds, then type the code again. If your program is no longer waiting, start the sign-in again.`;
    send(response, problemPage('Too many wrong codes', sentence, { href: '/device', text: 'Enter a code' }), {
      status: 429,
    });
    return;
  }
  const known = await openIdProvider.DeviceCode.findByUserCode(
    typed.toUpperCase().replaceAll(/[^A-Z]/g, ''),
    {
      ignoreExpiration: true,
    },
  );
  if (known !== undefined) for (const subject of subjects) await forgiveAttempt(deps.database, subject);
  // The press on "It matches" comes after sign-in, on our own page.
  request.body = { xsrf: body['xsrf'], user_code: typed, confirm: 'yes' };
  replayBody(request);
  await hand(deps, request, response, routes.code_verification);
}
