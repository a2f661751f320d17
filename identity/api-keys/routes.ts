// API keys over HTTP, as the gateway forwards them: people make, list and revoke their own, administrators list and
// revoke all. The text of a key is in one answer only, that of the request which made it.
import express, { type Request, type Response, type Router } from 'express';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { z } from 'zod';
import type { Logger } from '../../core/log.ts';
import { sendProblem } from '../account-problem.ts';
import { accountRoles, listAccounts, type Account } from '../accounts/accounts.ts';
import { administratorProblem, assertedAccount } from '../asserted-account.ts';
import { callerOf } from '../caller.ts';
import type { IdentityConfig } from '../config.ts';
import { jsonBytes, jsonObject } from '../json-body.ts';
import type { EventLog } from '../revocation/event-log.ts';
import { nowInSeconds, type Database } from '../storage/database.ts';
import { insertApiKey, listApiKeys, revokeApiKey, type ApiKey } from './api-keys.ts';

export interface ApiKeyRoutesDeps {
  readonly config: IdentityConfig;
  readonly database: Database;
  readonly events: EventLog;
  /** Our own issuer: whose principals have accounts here. */
  readonly issuer: string;
  readonly log: Logger;
}

const day = 86_400;

const wantedKey = z.strictObject({
  // No control, format or half characters: terminals obey them, and PostgreSQL stores no NUL.
  name: z
    .string()
    .trim()
    .min(1)
    .max(64)
    .regex(/^[^\p{C}]+$/u)
    .default('unnamed'),
  expires_in: z.int().min(60).optional(),
  roles: z.array(z.string().min(1).max(128)).min(1).max(64).optional(),
});

/** Routes `/api-keys`, `/api-keys/{id}`, `/admin/api-keys`, `/admin/api-keys/{id}`. */
export function apiKeyRoutes(deps: ApiKeyRoutesDeps): Router {
  const router = express.Router();
  // Each leaves a row for a month, also when it is revoked at once.
  const creations = new RateLimiterMemory({ points: 60, duration: 3600 });
  router.get('/api-keys', async (request, response) => {
    const account = await ownerOf(deps, request, response);
    if (account !== null) response.json((await listApiKeys(deps.database, account.id)).map(keyBody));
  });
  router.post('/api-keys', jsonBytes('16kb'), async (request, response) => {
    const account = await ownerOf(deps, request, response);
    if (account !== null) await create(deps, { account, creations }, request, response);
  });
  router.delete('/api-keys/:id', async (request, response) => {
    const account = await ownerOf(deps, request, response);
    if (account !== null) await revoke(deps, request.params.id, account.id, { request, response });
  });
  router.get('/admin/api-keys', async (request, response) => {
    if (refusesNonAdministrator(request, response)) return;
    const names = new Map((await listAccounts(deps.database)).map(({ id, username }) => [id, username]));
    const keys = await listApiKeys(deps.database, null);
    response.json(keys.map((key) => ({ ...keyBody(key), username: names.get(key.owner) ?? null })));
  });
  router.delete('/admin/api-keys/:id', async (request, response) => {
    if (!refusesNonAdministrator(request, response))
      await revoke(deps, request.params.id, null, { request, response });
  });
  return router;
}

async function ownerOf(
  deps: ApiKeyRoutesDeps,
  request: Request,
  response: Response,
): Promise<Account | null> {
  const outcome = await assertedAccount(request, deps);
  if ('account' in outcome) return outcome.account;
  sendProblem(response, outcome.problem);
  return null;
}

function refusesNonAdministrator(request: Request, response: Response): boolean {
  const problem = administratorProblem(request);
  if (problem !== null) sendProblem(response, problem);
  return problem !== null;
}

interface Creation {
  readonly account: Account;
  readonly creations: RateLimiterMemory;
}

async function create(
  deps: ApiKeyRoutesDeps,
  { account, creations }: Creation,
  request: Request,
  response: Response,
): Promise<void> {
  const {
    default_lifetime_days: usual,
    max_lifetime_days: longest,
    max_per_account: atMost,
  } = deps.config.api_keys;
  const body = jsonObject(request, 'what the key shall be (name, expires_in, roles, all optional)');
  if ('problem' in body) {
    sendProblem(response, body.problem);
    return;
  }
  const parsed = wantedKey.safeParse(body.json);
  if (!parsed.success) {
    invalid(response, describeIssue(parsed.error));
    return;
  }
  const { name, expires_in: lifetimeSeconds = usual * day, roles: asked } = parsed.data;
  if (lifetimeSeconds > longest * day) {
    invalid(response, `A key lives for at most ${longest} days`);
    return;
  }
  const roles = rolesFor(asked, account);
  if (typeof roles === 'string') {
    const code = asked === undefined ? 'body_invalid' : 'role_not_permitted';
    sendProblem(response, { status: asked === undefined ? 400 : 403, code, detail: roles });
    return;
  }
  const wait = await waitFor(creations, account.id);
  if (wait > 0) {
    const detail = 'Too many API keys were made';
    sendProblem(response, { status: 429, code: 'rate_limit_exceeded', detail, retryAfterSeconds: wait });
    return;
  }
  const made = await insertApiKey(deps.database, {
    owner: account.id,
    name,
    roles,
    lifetimeSeconds,
    atMost,
  });
  if (made === 'no-owner') {
    sendProblem(response, { status: 403, code: 'account_required', detail: 'The account may not sign in' });
  } else if (made === 'too-many') {
    const detail = `You have ${atMost} API keys, which is the most; revoke one first`;
    sendProblem(response, { status: 409, code: 'too_many_api_keys', detail });
  } else {
    const { address } = callerOf(request);
    deps.log.info({ event: 'api_key_created', account: account.id, key: made.key.id, address, roles });
    response.status(201).json({ ...keyBody(made.key), key: made.text });
  }
}

/** The roles of a new key, or why it cannot have them. */
function rolesFor(asked: readonly string[] | undefined, account: Account): readonly string[] | string {
  if (asked !== undefined) {
    const lacking = asked.find((role) => !account.roles.includes(role));
    return lacking === undefined
      ? [...new Set(asked)]
      : `You do not have the role ${lacking.replaceAll(/[^\w.:-]/g, '?')}, so no key of yours can`;
  }
  // What an administrator may do is in a key only when it is asked for.
  const ordinary = account.roles.filter((role) => role !== accountRoles.administrator);
  return ordinary.length === 0
    ? `Name the roles: you have ${account.roles.join(', ') || 'none'}, and a key carries ${accountRoles.administrator} only when you ask for it`
    : ordinary;
}

async function revoke(
  deps: ApiKeyRoutesDeps,
  id: string,
  owner: string | null,
  { request, response }: { readonly request: Request; readonly response: Response },
): Promise<void> {
  const revoked = await revokeApiKey(deps.events, id, owner);
  if (revoked === null) {
    // Another owner's key, a revoked one and none at all look alike.
    const detail = 'There is no API key with this id that could be revoked';
    sendProblem(response, { status: 404, code: 'api_key_not_found', detail });
    return;
  }
  const { address } = callerOf(request);
  deps.log.info({ event: 'api_key_revoked', account: revoked.owner, key: id, address, by: owner ?? 'admin' });
  response.json(keyBody(revoked));
}

function keyBody(key: ApiKey): Record<string, unknown> {
  const over = key.revokedAt !== null ? 'revoked' : key.expiresAt <= nowInSeconds() ? 'expired' : 'active';
  return {
    id: key.id,
    name: key.name,
    roles: key.roles,
    status: over,
    created_at: isoTime(key.createdAt),
    expires_at: isoTime(key.expiresAt),
    last_used_at: isoTime(key.lastUsedAt),
    revoked_at: isoTime(key.revokedAt),
  };
}

function isoTime(seconds: number | null): string | null {
  return seconds === null ? null : new Date(seconds * 1000).toISOString();
}

function invalid(response: Response, detail: string): void {
  sendProblem(response, { status: 400, code: 'body_invalid', detail });
}

function describeIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue?.code === 'unrecognized_keys')
    return `Unknown member ${issue.keys[0]?.replaceAll(/[^\w-]/g, '?') ?? ''}; known are name, expires_in, roles`;
  return `The member ${String(issue?.path[0] ?? '')} is not acceptable`;
}

async function waitFor(limiter: RateLimiterMemory, key: string): Promise<number> {
  try {
    await limiter.consume(key);
    return 0;
  } catch (refusal) {
    if (refusal instanceof RateLimiterRes) return Math.max(1, Math.ceil(refusal.msBeforeNext / 1000));
    throw refusal;
  }
}
