// Accounts over HTTP, as the gateway forwards them: register, get an access token for a password, list as administrator.
import express, { type Request, type Response, type Router } from 'express';
import type { Provider } from 'oidc-provider';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { z } from 'zod';
import type { Logger } from '../core/log.ts';
import { sendProblem } from './account-problem.ts';
import {
  accountRoles,
  insertAccount,
  listAccounts,
  usernameProblem,
  type Account,
} from './accounts/accounts.ts';
import { passwordProblem } from './accounts/password.ts';
import type { SignIn } from './accounts/sign-in.ts';
import { administratorProblem } from './asserted-account.ts';
import { callerOf } from './caller.ts';
import { passwordGrantEnabled, type IdentityConfig } from './config.ts';
import { jsonBytes, jsonObject } from './json-body.ts';
import { issueForPassword } from './openid/password-grant.ts';
import type { Database } from './storage/database.ts';

export interface AccountRoutesDeps {
  readonly config: IdentityConfig;
  readonly database: Database;
  readonly currentProvider: () => Provider;
  readonly signIn: SignIn;
  readonly log: Logger;
}

// Unknown members are refused, so that nobody believes to have set `isAdmin` or `id`.
const registration = z.strictObject({
  username: z.string().max(128),
  password: z.string().max(4096),
  email: z.email().max(254).optional(),
  // No control, format or half characters: terminals obey them, and PostgreSQL stores no NUL.
  full_name: z
    .string()
    .trim()
    .min(1)
    .max(128)
    .regex(/^[^\p{C}]+$/u)
    .optional(),
  role: z.string().max(64).optional(),
});

/** Routes `POST /users`, `POST /token`, `GET /admin/users`. */
export function accountRoutes(deps: AccountRoutesDeps): Router {
  const router = express.Router();
  const registrations = new RateLimiterMemory({ points: 20, duration: 60 });
  const form = express.urlencoded({ extended: false, limit: '16kb', parameterLimit: 16 });
  router.post('/users', jsonBytes('16kb'), (request, response) =>
    register(deps, registrations, request, response),
  );
  router.post('/token', form, (request, response) => accessTokenForPassword(deps, request, response));
  router.get('/admin/users', (request, response) => listForAdministrator(deps, request, response));
  router.all(['/users', '/token', '/admin/users'], (request, response) => {
    response.set('allow', request.path.startsWith('/admin') ? 'GET' : 'POST');
    sendProblem(response, {
      status: 405,
      code: 'method_not_allowed',
      detail: 'This address does not answer that method',
    });
  });
  return router;
}

async function register(
  deps: AccountRoutesDeps,
  limiter: RateLimiterMemory,
  request: Request,
  response: Response,
): Promise<void> {
  const { config, database, log } = deps;
  const { address } = callerOf(request);
  if (!config.registration.enabled) {
    sendProblem(response, {
      status: 403,
      code: 'registration_disabled',
      detail: 'Registration is switched off; ask an administrator for an account',
    });
    return;
  }
  const body = jsonObject(request, 'an account with username and password');
  if ('problem' in body) {
    sendProblem(response, body.problem);
    return;
  }
  const wait = await waitFor(limiter, address);
  if (wait > 0) {
    sendProblem(response, {
      status: 429,
      code: 'rate_limit_exceeded',
      detail: 'Too many registrations from this address',
      retryAfterSeconds: wait,
    });
    return;
  }
  const parsed = registration.safeParse(body.json);
  if (!parsed.success) {
    sendProblem(response, { status: 400, code: 'body_invalid', detail: describeIssue(parsed.error) });
    return;
  }
  const { username, password, email, full_name: fullName, role } = parsed.data;
  const roles = rolesFor(role, config);
  if (roles === null) {
    sendProblem(response, {
      status: 403,
      code: 'role_not_permitted',
      detail: roleRefusal(role ?? '', username),
    });
    return;
  }
  const problem = usernameProblem(username) ?? passwordProblem(password, username);
  if (problem !== null) {
    sendProblem(response, { status: 400, code: 'body_invalid', detail: problem });
    return;
  }
  const account = await insertAccount(database, { username, password, email, fullName, roles });
  if (account === null) {
    sendProblem(response, { status: 400, code: 'username_taken', detail: 'Username already registered' });
    return;
  }
  log.info({ event: 'account_registered', account: account.id, address, roles });
  response.status(201).json(accountBody(account));
}

// `user` and `admin` are what tutorials send.
function rolesFor(role: string | undefined, config: IdentityConfig): readonly string[] | null {
  if (role === undefined || role === 'user' || role === accountRoles.ordinary) return [accountRoles.ordinary];
  if (!config.registration.insecure_allow_role_choice) return null;
  return [role === 'admin' ? accountRoles.administrator : role];
}

function roleRefusal(role: string, username: string): string {
  const wanted = role === 'admin' ? accountRoles.administrator : role.replaceAll(/[^\w.:-]/g, '?');
  const who = usernameProblem(username) === null ? username : 'NAME';
  return `Nobody can give themselves the role ${wanted}. Register without a role; an administrator grants it with: sallyport account grant ${who} ${wanted}`;
}

async function accessTokenForPassword(
  deps: AccountRoutesDeps,
  request: Request,
  response: Response,
): Promise<void> {
  const { config } = deps;
  response.set('cache-control', 'no-store').set('pragma', 'no-cache');
  if (!passwordGrantEnabled(config)) {
    const detail =
      'Signing in with a password here is switched off; use: sallyport login, or the device code or authorization code flow';
    sendProblem(response, oauthProblem(400, 'unsupported_grant_type', detail));
    return;
  }
  const body = (request.body ?? {}) as Record<string, unknown>; // What urlencoded() made: strings, or arrays of doubled names.
  const { grant_type: grantType, username, password } = body;
  if (grantType !== undefined && grantType !== 'password') {
    sendProblem(
      response,
      oauthProblem(
        400,
        'unsupported_grant_type',
        'Only grant_type=password is served here; OAuth clients use the token endpoint of the issuer',
      ),
    );
    return;
  }
  if (typeof username !== 'string' || typeof password !== 'string' || username === '' || password === '') {
    sendProblem(
      response,
      oauthProblem(
        400,
        'invalid_request',
        'Send username and password, once each, as application/x-www-form-urlencoded',
      ),
    );
    return;
  }
  const outcome = await deps.signIn({ username, password, address: callerOf(request).address });
  if (outcome.kind === 'throttled') {
    const { retryAfterSeconds } = outcome;
    sendProblem(response, {
      ...oauthProblem(429, 'temporarily_unavailable', 'Too many attempts; try again later'),
      retryAfterSeconds,
    });
    return;
  }
  if (outcome.kind === 'refused') {
    sendProblem(response, oauthProblem(401, 'invalid_grant', 'Incorrect username or password'));
    return;
  }
  const accessToken = await issueForPassword(
    deps.currentProvider(),
    outcome.account,
    config.access_token_ttl_s,
  );
  response.json({ access_token: accessToken, token_type: 'bearer', expires_in: config.access_token_ttl_s });
}

function oauthProblem(status: number, error: string, detail: string) {
  return { status, code: error, detail, members: { error, error_description: detail } };
}

async function listForAdministrator(
  deps: AccountRoutesDeps,
  request: Request,
  response: Response,
): Promise<void> {
  const problem = administratorProblem(request);
  if (problem !== null) {
    sendProblem(response, problem);
    return;
  }
  response.json((await listAccounts(deps.database)).map(accountBody));
}

function accountBody(account: Account): Record<string, unknown> {
  return {
    id: account.id,
    username: account.username,
    email: account.email,
    full_name: account.fullName,
    role: account.roles.includes(accountRoles.administrator)
      ? accountRoles.administrator
      : (account.roles[0] ?? null),
    roles: account.roles,
    disabled: account.disabled,
    created_at: new Date(account.createdAt * 1000).toISOString(),
    last_sign_in_at:
      account.lastSignInAt === null ? null : new Date(account.lastSignInAt * 1000).toISOString(),
  };
}

function describeIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue?.code === 'unrecognized_keys')
    return `Unknown member ${issue.keys[0]?.replaceAll(/[^\w-]/g, '?') ?? ''}; known are username, password, email, full_name, role`;
  const where = issue?.path.join('.') ?? '';
  return where === ''
    ? 'Send a JSON object with username and password'
    : `The member ${where} is missing or not acceptable`;
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
