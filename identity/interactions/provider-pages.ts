// The pages that oidc-provider asks for while it handles a request itself.
import type { IncomingMessage } from 'node:http';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { findAccountById } from '../accounts/accounts.ts';
import type { ProviderPages } from '../openid/provider.ts';
import type { Database } from '../storage/database.ts';
import { pagePolicy, renderPage, type Page } from './layout.ts';
import {
  confirmSignOutPage,
  deviceDeniedPage,
  deviceDonePage,
  enterCodePage,
  problemPage,
  signedOutPage,
} from './pages.ts';

const typedCodes = new WeakMap<IncomingMessage, string>();

/** Remembers a code from the address bar, to fill the field with. */
export function rememberTypedCode(request: IncomingMessage, code: string): void {
  typedCodes.set(request, code);
}

/** Creates the pages. */
export function createProviderPages(database: Database): ProviderPages {
  return {
    enterCode: (ctx, problem) => answer(ctx, codePage(ctx, problem)),
    deviceDone: (ctx) => answer(ctx, deviceDonePage(clientNameOf(ctx))),
    error: (ctx, out) => answer(ctx, problemPage('This sign-in cannot go on', sentenceFor(out.error))),
    confirmSignOut: async (ctx) => {
      const account = await findAccountById(database, ctx.oidc.session?.accountId ?? '');
      const form = { action: ctx.oidc.urlFor('end_session_confirm'), fields: { xsrf: formSecret(ctx) } };
      answer(ctx, confirmSignOutPage(form, account?.username ?? ''));
    },
    signedOut: (ctx) => answer(ctx, signedOutPage()),
  };
}

const codeProblems: Readonly<Record<string, string>> = {
  NoCodeError: 'Type the code that your program shows.',
  NotFoundError:
    'No program is waiting with this code. Compare it letter by letter, or start the sign-in again.',
  ExpiredError: 'This code has expired. Start the sign-in again in your program and type the new code.',
  AlreadyUsedError: 'This code has been used. Start the sign-in again in your program and type the new code.',
};

function codePage(ctx: KoaContextWithOIDC, problem: (Error & { userCode?: string }) | undefined): Page {
  if (problem?.name === 'AbortedError') return deviceDeniedPage();
  if (problem !== undefined && codeProblems[problem.name] === undefined) {
    return problemPage('This page is no longer valid', 'Nothing was signed in. Type the code again.', {
      href: '/device',
      text: 'Enter a code',
    });
  }
  const form = { action: '/device', fields: { xsrf: formSecret(ctx) } };
  const sentence = problem === undefined ? null : (codeProblems[problem.name] ?? null);
  if (problem !== undefined) ctx.status = 400;
  return enterCodePage(form, { code: problem?.userCode ?? typedCodes.get(ctx.req), problem: sentence });
}

function sentenceFor(error: string): string {
  const sentences: Readonly<Record<string, string>> = {
    invalid_client: 'The program is not known here. Ask whoever gave it to you for its settings.',
    invalid_redirect_uri: 'The program wants to return to an address that is not registered for it.',
    invalid_scope: 'The program asks for a right that does not exist here.',
    temporarily_unavailable: 'The server cannot look anything up at the moment. Try again in a minute.',
    server_error: 'Something went wrong here. Try again in a moment.',
  };
  return (
    sentences[error] ?? 'The request is not valid or has expired. Start again in the program you came from.'
  );
}

function clientNameOf(ctx: KoaContextWithOIDC): string {
  return ctx.oidc.client?.clientName ?? 'The program';
}

function formSecret(ctx: KoaContextWithOIDC): string {
  const secret = (ctx.oidc.session?.state as { secret?: unknown } | undefined)?.secret; // Set by oidc-provider's own xsrf step.
  return typeof secret === 'string' ? secret : '';
}

function answer(ctx: KoaContextWithOIDC, page: Page): void {
  ctx.type = 'html';
  ctx.set('content-security-policy', pagePolicy());
  ctx.body = renderPage(page);
}
