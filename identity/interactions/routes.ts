// The pages of an interaction that oidc-provider started: sign in, confirm a device, consent. Each form carries a
// token bound to the interaction, and the interaction itself is bound to the browser by a signed cookie.
import { createHmac, timingSafeEqual } from 'node:crypto';
import express, { type Request, type RequestHandler, type Response, type Router } from 'express';
import { errors, type Provider } from 'oidc-provider';
import type { Logger } from '../../core/log.ts';
import { findAccountById, type Account } from '../accounts/accounts.ts';
import type { SignIn } from '../accounts/sign-in.ts';
import { callerOf } from '../caller.ts';
import { resource } from '../config.ts';
import { devicePrompt } from '../openid/prompts.ts';
import { routes } from '../openid/provider.ts';
import { describeScopes, openIdScopes, parseScopes } from '../openid/scopes.ts';
import type { Database } from '../storage/database.ts';
import { knownBrowser, rememberBrowser } from './known-browser.ts';
import { expiredPage, refuseOtherSites, send } from './answer.ts';
import type { Page } from './layout.ts';
import { confirmDevicePage, consentPage, signInPage, type FormTarget } from './pages.ts';

type Interaction = Awaited<ReturnType<Provider['interactionDetails']>>;

export interface InteractionDeps {
  readonly base: string;
  readonly tenantId: string;
  readonly currentProvider: () => Provider;
  readonly database: Database;
  readonly signIn: SignIn;
  readonly formKey: string;
  readonly log: Logger;
}

/** Routes below `/{tenant}/interaction`. */
export function interactionRoutes(deps: InteractionDeps): Router {
  const router = express.Router();
  const form = express.urlencoded({ extended: false, limit: '8kb', parameterLimit: 20 });
  router.get('/:uid', handled(deps, show));
  router.post('/:uid', refuseOtherSites, form, handled(deps, submit));
  return router;
}

interface Step {
  readonly deps: InteractionDeps;
  readonly request: Request;
  readonly response: Response;
  readonly interaction: Interaction;
  readonly form: FormTarget;
}

function handled(deps: InteractionDeps, act: (step: Step) => Promise<void>): RequestHandler {
  return async (request, response) => {
    let interaction: Interaction;
    try {
      interaction = await deps.currentProvider().interactionDetails(request, response);
      if (interaction.uid !== request.params['uid']) throw new errors.SessionNotFound('another interaction');
    } catch (error) {
      if (!(error instanceof errors.SessionNotFound)) throw error;
      send(response, expiredPage(), { status: 400 });
      return;
    }
    const action = `/${deps.tenantId}/interaction/${interaction.uid}`;
    await act({
      deps,
      request,
      response,
      interaction,
      form: { action, fields: { csrf: formToken(deps, interaction) } },
    });
  };
}

async function show(step: Step): Promise<void> {
  const { interaction, response } = step;
  const page =
    interaction.prompt.name === 'login'
      ? await signInStep(step, { username: loginHint(interaction), problem: null })
      : await decisionStep(step);
  send(response, page ?? expiredPage(), {
    status: page === null ? 400 : 200,
    formOrigins: formOrigins(interaction),
  });
}

async function submit(step: Step): Promise<void> {
  const { deps, request, response, interaction } = step;
  if (!isOurForm(step)) {
    send(response, expiredPage(), { status: 403 });
    return;
  }
  if (interaction.prompt.name === 'login') {
    await submitSignIn(step);
    return;
  }
  const account = await signedInAccount(step);
  if (account === null) {
    send(response, expiredPage(), { status: 400 });
    return;
  }
  const granted = fieldOf(request, 'decision') === 'grant';
  const event = interaction.prompt.name === devicePrompt ? 'device' : 'consent';
  deps.log.info({
    event: `${event}_${granted ? 'granted' : 'refused'}`,
    account: account.id,
    client: clientIdOf(interaction),
    address: callerOf(request).address,
  });
  const result = granted
    ? { [devicePrompt]: { confirmed: true }, consent: { grantId: await saveGrant(step, account) } }
    : { error: 'access_denied', error_description: 'the person refused' };
  await deps
    .currentProvider()
    .interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

async function submitSignIn(step: Step): Promise<void> {
  const { deps, request, response, interaction } = step;
  const username = fieldOf(request, 'username').trim();
  const outcome = await deps.signIn({
    username,
    password: fieldOf(request, 'password'),
    address: callerOf(request).address,
    knownBrowser: knownBrowser(request, deps.formKey),
  });
  if (outcome.kind === 'signed-in') {
    const { id } = outcome.account;
    rememberBrowser(response, id, {
      key: deps.formKey,
      secure: deps.base.startsWith('https:'),
      path: `/${deps.tenantId}/interaction`,
    });
    const login = { accountId: id, amr: ['pwd'], remember: true };
    await deps
      .currentProvider()
      .interactionFinished(request, response, { login }, { mergeWithLastSubmission: false });
    return;
  }
  const problem =
    outcome.kind === 'refused'
      ? 'Incorrect username or password.'
      : `Too many attempts. Try again in ${spokenSeconds(outcome.retryAfterSeconds)}.`;
  if (outcome.kind === 'throttled') response.set('retry-after', String(outcome.retryAfterSeconds));
  const page = await signInStep(step, { username, problem });
  send(response, page, {
    status: outcome.kind === 'throttled' ? 429 : 400,
    formOrigins: formOrigins(interaction),
  });
}

async function signInStep(step: Step, state: { username: string; problem: string | null }): Promise<Page> {
  return signInPage(step.form, { ...state, clientName: await clientName(step) });
}

/** The page of the device or consent prompt; null when what it is about is gone. */
async function decisionStep(step: Step): Promise<Page | null> {
  const { deps, interaction } = step;
  const account = await signedInAccount(step);
  if (account === null) return null;
  const common = {
    clientName: await clientName(step),
    rights: describeScopes(interaction.params['scope']),
    username: account.username,
    signOutUrl: `/${deps.tenantId}${routes.end_session}`,
  };
  if (interaction.prompt.name !== devicePrompt) {
    return consentPage(step.form, {
      ...common,
      destination: new URL(String(interaction.params['redirect_uri'])).host,
    });
  }
  const code = await deps
    .currentProvider()
    .DeviceCode.find(interaction.deviceCode ?? '', { ignoreExpiration: true });
  if (code === undefined) return null;
  const place = code.deviceInfo as { address?: string; agent?: string } | undefined; // Written by deviceInfo in provider.ts.
  return confirmDevicePage(step.form, {
    ...common,
    userCode: `${code.userCode.slice(0, 4)}-${code.userCode.slice(4)}`,
    address: readablePlace(place?.address ?? 'unknown'),
    agent: place?.agent ?? '',
    at: new Date(code.iat * 1000),
  });
}

function readablePlace(address: string): string {
  return address.startsWith('127.') || address === '::1' ? `this computer (${address})` : address;
}

async function signedInAccount({ deps, interaction }: Step): Promise<Account | null> {
  const account = await findAccountById(deps.database, interaction.session?.accountId ?? '');
  return account === null || account.disabled ? null : account;
}

/** Grants exactly what the page listed, as a grant of its own. */
async function saveGrant({ deps, interaction }: Step, account: Account): Promise<string> {
  const grant = new (deps.currentProvider().Grant)({
    accountId: account.id,
    clientId: clientIdOf(interaction),
  });
  const scopes = parseScopes(interaction.params['scope']);
  const ofOpenId = scopes.filter((name) => openIdScopes.some((known) => known === name));
  const ofResource = scopes.filter((name) => name.startsWith(`${resource}/`));
  if (ofOpenId.length > 0) grant.addOIDCScope(ofOpenId.join(' '));
  if (ofResource.length > 0) grant.addResourceScope(resource, ofResource.join(' '));
  return grant.save();
}

function clientIdOf(interaction: Interaction): string {
  return String(interaction.params['client_id']);
}

async function clientName({ deps, interaction }: Step): Promise<string> {
  const client = await deps.currentProvider().Client.find(clientIdOf(interaction));
  return client?.clientName ?? clientIdOf(interaction);
}

function loginHint(interaction: Interaction): string {
  const hint = interaction.params['login_hint'];
  return typeof hint === 'string' ? hint.slice(0, 128) : '';
}

// Browsers apply form-action to every redirect after a form, so the application's origin must be named.
function formOrigins(interaction: Interaction): string[] {
  const uri = interaction.params['redirect_uri'];
  const origin = typeof uri === 'string' ? URL.parse(uri)?.origin : undefined;
  return origin === undefined || origin === 'null' ? [] : [origin];
}

function formToken(deps: InteractionDeps, interaction: Interaction): string {
  return createHmac('sha256', deps.formKey)
    .update(`${interaction.uid} ${interaction.prompt.name}`)
    .digest('base64url');
}

function isOurForm({ deps, request, interaction }: Step): boolean {
  const expected = Buffer.from(formToken(deps, interaction));
  const given = Buffer.from(fieldOf(request, 'csrf'));
  return expected.length === given.length && timingSafeEqual(expected, given);
}

function fieldOf(request: Request, name: string): string {
  const value = (request.body as Record<string, unknown> | undefined)?.[name];
  return typeof value === 'string' ? value : '';
}

function spokenSeconds(seconds: number): string {
  return seconds < 90 ? `${seconds} second${seconds === 1 ? '' : 's'}` : `${Math.ceil(seconds / 60)} minutes`;
}
