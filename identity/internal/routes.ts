// What the gateway itself asks of identity: is this key, token or password good, what was revoked, who is related to
// what. Only an assertion in which a gateway speaks for itself opens these; one for a principal, as forwarded requests
// carry it, does not, whatever routes.yaml says.
import express, { type Request, type RequestHandler, type Response, type Router } from 'express';
import { z } from 'zod';
import { gatewaySubject } from '../../core/assertion.ts';
import { StrictJsonError, parseStrictObject } from '../../core/strict-json.ts';
import { sendProblem } from '../account-problem.ts';
import type { SignIn } from '../accounts/sign-in.ts';
import { judgeApiKey } from '../api-keys/api-keys.ts';
import { callerOf } from '../caller.ts';
import type { IdentityConfig } from '../config.ts';
import { activeAccessToken } from '../openid/introspection.ts';
import { relationsDocument } from '../relations/relations.ts';
import type { Database } from '../storage/database.ts';
import type { SigningKey } from '../storage/signing-keys.ts';
import { apiKeyClaims, passwordClaims, type ClaimIssuer } from './credential-claims.ts';
import type { EventFeed } from './event-feed.ts';

export interface InternalDeps {
  readonly database: Database;
  readonly signIn: SignIn;
  readonly feed: EventFeed;
  readonly currentKeys: () => readonly SigningKey[];
  readonly issuer: string;
  readonly config: IdentityConfig;
}

const passwordQuestion = z.strictObject({ username: z.string().max(128), password: z.string().max(4096) });

/** Routes below `/internal`. */
export function internalRoutes(deps: InternalDeps): Router {
  const router = express.Router();
  const form = express.urlencoded({ extended: false, limit: '32kb', inflate: false, parameterLimit: 4 });
  const json = express.raw({ limit: '16kb', inflate: false, type: 'application/json' });
  router.use(gatewaysOnly);
  router.post('/introspect', form, (request, response) => introspect(deps, request, response));
  router.post('/verify-password', json, (request, response) => verifyPassword(deps, request, response));
  router.get('/events', (request, response) => streamEvents(deps, request, response));
  router.get('/relations', async (request, response) => {
    const { etag, body } = await relationsDocument(deps.database);
    response.set('etag', etag);
    if (request.get('if-none-match') === etag) response.status(304).end();
    else response.type('json').send(body);
  });
  return router;
}

/**
 * Lets gateways pass.
 * Checks: a valid assertion whose subject is the gateway itself, without roles or client.
 * Does not check: which gateway (all whose keys are listed are equal).
 */
const gatewaysOnly: RequestHandler = (request, response, next) => {
  const { principal } = callerOf(request);
  if (principal === null) {
    sendProblem(response, { status: 401, code: 'missing_credentials', detail: 'Not authenticated' });
    return;
  }
  if (principal.subject !== gatewaySubject || principal.roles.length > 0 || principal.clientId !== null) {
    sendProblem(response, { status: 403, code: 'access_denied', detail: 'Only a gateway may ask this' });
    return;
  }
  next();
};

async function introspect(deps: InternalDeps, request: Request, response: Response): Promise<void> {
  const { token: presented } = (request.body ?? {}) as Record<string, unknown>; // What urlencoded() made.
  // RFC 7662 §2.1: the token parameter is required, and stands there once.
  if (typeof presented !== 'string' || presented === '') {
    refuse(response, 'Send token, once, as application/x-www-form-urlencoded');
    return;
  }
  // RFC 7662 §2.2: of what is not good for any reason, nothing is said but that it is not active.
  response.json((await claimsOf(deps, presented)) ?? { active: false });
}

async function claimsOf(deps: InternalDeps, presented: string): Promise<Record<string, unknown> | null> {
  if (presented.startsWith('sp_')) {
    const used = await judgeApiKey(deps.database, presented);
    return used === null ? null : apiKeyClaims(used, claimIssuer(deps));
  }
  return activeAccessToken(presented, {
    database: deps.database,
    keys: deps.currentKeys(),
    issuer: deps.issuer,
  });
}

async function verifyPassword(deps: InternalDeps, request: Request, response: Response): Promise<void> {
  const question = passwordQuestion.safeParse(jsonOf(request.body));
  if (!question.success) {
    refuse(response, 'Send username and password as application/json');
    return;
  }
  // The address that the gateway forwards, so that guesses through it are counted where they come from.
  const outcome = await deps.signIn({ ...question.data, address: callerOf(request).address });
  if (outcome.kind === 'throttled') {
    response.set('retry-after', String(outcome.retryAfterSeconds)).status(429).json({ active: false });
    return;
  }
  response.json(
    outcome.kind === 'signed-in' ? passwordClaims(outcome.account, claimIssuer(deps)) : { active: false },
  );
}

function claimIssuer({ issuer, config }: InternalDeps): ClaimIssuer {
  return { issuer, tenantId: config.tenant_id };
}

function jsonOf(body: unknown): unknown {
  if (!Buffer.isBuffer(body)) return null;
  try {
    return parseStrictObject(body);
  } catch (error) {
    if (error instanceof StrictJsonError) return null;
    throw error;
  }
}

async function streamEvents(deps: InternalDeps, request: Request, response: Response): Promise<void> {
  const after = request.query['after'] ?? '0';
  if (typeof after !== 'string' || !/^\d{1,15}$/.test(after)) {
    refuse(response, 'after is the id of the last event that was seen');
    return;
  }
  await deps.feed.serve(response, Number(after));
}

function refuse(response: Response, detail: string): void {
  sendProblem(response, { status: 400, code: 'invalid_request', detail });
}
