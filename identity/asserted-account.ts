// Whose account a forwarded request is about. The gateway vouches for a principal as issuer and subject in one string;
// only those of our own issuer have an account here.
import type { Request } from 'express';
import type { AccountProblem } from './account-problem.ts';
import { accountRoles, findAccountById, type Account } from './accounts/accounts.ts';
import { callerOf } from './caller.ts';
import type { Database } from './storage/database.ts';

/**
 * The account of the principal whom the gateway vouches for.
 * Checks: a valid assertion, our own issuer, that the principal was shown by an access token, the account exists and is
 * not disabled.
 * Does not check: whether the action is permitted (the gateway decided that).
 */
export async function assertedAccount(
  request: Request,
  deps: { readonly database: Database; readonly issuer: string },
): Promise<{ readonly account: Account } | { readonly problem: AccountProblem }> {
  const { principal } = callerOf(request);
  if (principal === null) return { problem: notAuthenticated };
  const prefix = `${deps.issuer} `;
  if (!principal.subject.startsWith(prefix)) return { problem: foreign };
  // A key that leaked must not be good for another key, nor a password that a program was given.
  if (principal.credential !== 'access_token') return { problem: otherCredential };
  const account = await findAccountById(deps.database, principal.subject.slice(prefix.length));
  if (account === null || account.disabled) return { problem: foreign };
  return { account };
}

/** Why the caller may not do what administrators do, or null. */
export function administratorProblem(request: Request): AccountProblem | null {
  const { principal } = callerOf(request);
  if (principal === null) return notAuthenticated;
  return principal.roles.includes(accountRoles.administrator) ? null : notAdministrator;
}

const notAuthenticated: AccountProblem = {
  status: 401,
  code: 'missing_credentials',
  detail: 'Not authenticated',
};
const notAdministrator: AccountProblem = {
  status: 403,
  code: 'access_denied',
  detail: 'Admin access required',
};
const foreign: AccountProblem = {
  status: 403,
  code: 'account_required',
  detail: 'API keys belong to accounts of this identity server; you are signed in as somebody without one',
};
const otherCredential: AccountProblem = {
  status: 403,
  code: 'access_token_required',
  detail: 'API keys are made and managed with an access token of a sign-in, not with a key or a password',
};
