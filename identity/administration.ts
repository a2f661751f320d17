// What an administrator does to accounts directly on the database, with the server running or not.
import { existsSync } from 'node:fs';
import {
  accountRoles,
  findAccountByUsername,
  insertAccount,
  updateAccount,
  usernameKey,
  usernameProblem,
  type Account,
} from './accounts/accounts.ts';
import { generatePassword } from './accounts/generated-password.ts';
import { hashPassword, passwordProblem } from './accounts/password.ts';
import type { IdentityConfig } from './config.ts';
import { createEventLog } from './revocation/event-log.ts';
import { endAllCredentials, untilAfter } from './revocation/sign-out-everywhere.ts';
import { clearAttempts } from './storage/attempts.ts';
import { openDatabase, sqliteFile, type Database } from './storage/database.ts';

/** A wish that cannot be met, with a sentence for the operator. */
export class AdministrationError extends Error {}

/** Opens the database that the server with this configuration uses. @throws AdministrationError when it has never run */
export async function openForAdministration(
  config: Pick<IdentityConfig, 'data' | 'database_url'>,
): Promise<Database> {
  if (config.database_url === undefined && !existsSync(sqliteFile(config.data))) {
    throw new AdministrationError(
      `there is no identity database in ${config.data} yet; start the server once`,
    );
  }
  return openDatabase(config);
}

/** Creates an account; without a password one is generated and returned. @throws AdministrationError */
export async function createAccount(
  database: Database,
  wanted: {
    username: string;
    password?: string | undefined;
    email?: string | undefined;
    roles?: readonly string[] | undefined;
  },
): Promise<{ account: Account; generatedPassword: string | null }> {
  const password = wanted.password ?? generatePassword();
  const problem = usernameProblem(wanted.username) ?? passwordProblem(password, wanted.username);
  if (problem !== null) throw new AdministrationError(problem);
  const roles = wanted.roles ?? [accountRoles.ordinary];
  const account = await insertAccount(database, {
    username: wanted.username,
    password,
    email: wanted.email,
    roles,
  });
  if (account === null) throw new AdministrationError('Username already registered');
  return { account, generatedPassword: wanted.password === undefined ? password : null };
}

/**
 * Adds a role; the account's next access token carries it. `judge` may refuse the roles that the account would have by
 * throwing. @throws AdministrationError
 */
export async function grantRole(
  database: Database,
  username: string,
  role: string,
  judge: (account: Account) => void | Promise<void> = () => undefined,
): Promise<Account> {
  const account = await existing(database, username);
  if (!/^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/.test(role))
    throw new AdministrationError(`${role} is not a role name`);
  const roles = [...new Set([...account.roles, role])];
  await judge({ ...account, roles });
  await updateAccount(database, account.id, { roles });
  return { ...account, roles };
}

/** Takes a role away. @throws AdministrationError */
export async function revokeRole(database: Database, username: string, role: string): Promise<Account> {
  const account = await existing(database, username);
  const roles = account.roles.filter((held) => held !== role);
  if (roles.length === account.roles.length)
    throw new AdministrationError(`${account.username} does not have the role ${role}`);
  await updateAccount(database, account.id, { roles });
  return { ...account, roles };
}

/**
 * Sets a new password (generated when none is given) and ends everything that showed the account: sessions, refresh
 * tokens, API keys, and access tokens, which gateways refuse within a second. @throws AdministrationError
 */
export async function resetPassword(
  database: Database,
  username: string,
  password?: string,
): Promise<{ generatedPassword: string | null }> {
  const account = await existing(database, username);
  const chosen = password ?? generatePassword();
  const problem = passwordProblem(chosen, account.username);
  if (problem !== null) throw new AdministrationError(problem);
  const passwordHash = await hashPassword(chosen);
  const ended = await createEventLog(database).record(async (transaction, emit) => {
    await updateAccount(transaction, account.id, { passwordHash });
    return endAllCredentials(transaction, emit, account.id);
  });
  // Whoever was kept out by somebody else's guesses comes in again.
  await clearAttempts(database, ['password-account', usernameKey(account.username)]);
  await untilAfter(ended);
  return { generatedPassword: password === undefined ? chosen : null };
}

/** Ends every sign-in, access token and API key of an account; its password stays. @throws AdministrationError */
export async function signOutEverywhere(database: Database, username: string): Promise<Account> {
  const account = await existing(database, username);
  const ended = await createEventLog(database).record((transaction, emit) =>
    endAllCredentials(transaction, emit, account.id),
  );
  await untilAfter(ended);
  return account;
}

/**
 * Disables or enables an account. A disabled one gets no token, whatever was granted before; its access tokens and API
 * keys are refused within a second and stay so when it is enabled again. @throws AdministrationError
 */
export async function disableAccount(
  database: Database,
  username: string,
  disabled = true,
): Promise<Account> {
  const account = await existing(database, username);
  await createEventLog(database).record(async (transaction, emit) => {
    await updateAccount(transaction, account.id, { disabled });
    if (disabled) await endAllCredentials(transaction, emit, account.id);
  });
  return { ...account, disabled };
}

async function existing(database: Database, username: string): Promise<Account> {
  const account = await findAccountByUsername(database, username);
  if (account === null) throw new AdministrationError(`there is no account ${username}`);
  return account;
}
