// The one way a password is judged, for the sign-in page and the password grant alike: throttled per account and per
// address, with the same answer and the same work whether the account exists, is disabled or the password is wrong.
import type { Logger } from '../../core/log.ts';
import {
  accountRule,
  addressRule,
  beginAttempt,
  clearAttempts,
  type AttemptSubject,
} from '../storage/attempts.ts';
import type { Database } from '../storage/database.ts';
import { findAccountByUsername, recordSignIn, usernameKey, type Account } from './accounts.ts';
import { verifyAgainstNothing, verifyPassword } from './password.ts';

export type SignInOutcome =
  | { readonly kind: 'signed-in'; readonly account: Account }
  | { readonly kind: 'refused' }
  | { readonly kind: 'throttled'; readonly retryAfterSeconds: number };

export interface SignInAttempt {
  readonly username: string;
  readonly password: string;
  readonly address: string;
  /** A browser with which this account signed in before; its failures are counted apart. */
  readonly knownBrowser?: { readonly accountId: string; readonly id: string } | null;
}

export type SignIn = (attempt: SignInAttempt) => Promise<SignInOutcome>;

/**
 * Creates the judge of user names and passwords.
 * Checks: throttling of address and account, existence, password, disabled.
 * Does not check: whether this way of signing in is permitted at all (the caller does).
 */
export function createSignIn(deps: {
  readonly database: Database;
  readonly log: Logger;
  /** Called after the very first sign-in of an account. */
  readonly onFirstSignIn: (account: Account) => void;
}): SignIn {
  const { database, log } = deps;
  return async (attempt) => {
    const byAddress: AttemptSubject = ['password-address', attempt.address];
    const account = await findAccountByUsername(database, attempt.username);
    const known = attempt.knownBrowser ?? null;
    const byAccount: AttemptSubject =
      known !== null && known.accountId === account?.id
        ? ['password-browser', `${known.accountId} ${known.id}`]
        : ['password-account', usernameKey(attempt.username)];
    const wait =
      (await beginAttempt(database, byAddress, addressRule)) ||
      (await beginAttempt(database, byAccount, accountRule));
    if (wait > 0) {
      log.warn({ event: 'sign_in_throttled', address: attempt.address, retry_after_s: wait });
      return { kind: 'throttled', retryAfterSeconds: wait };
    }
    const matches = await (account === null
      ? verifyAgainstNothing(attempt.password)
      : verifyPassword(account.passwordHash, attempt.password));
    if (account === null || !matches || account.disabled) {
      // The name is not logged when it is nobody's: people type passwords into the wrong field.
      log.warn({
        event: 'sign_in_refused',
        address: attempt.address,
        account: account?.id,
        disabled: account?.disabled,
      });
      return { kind: 'refused' };
    }
    await clearAttempts(database, byAccount);
    await clearAttempts(database, byAddress);
    if (await recordSignIn(database, account)) deps.onFirstSignIn(account);
    log.info({ event: 'signed_in', address: attempt.address, account: account.id });
    return { kind: 'signed-in', account };
  };
}
