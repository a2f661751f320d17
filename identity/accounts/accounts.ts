// Accounts: what the rest of identity knows about a person, and the only statements that touch their table.
import { randomUUID } from 'node:crypto';
import { nowInSeconds, type Database } from '../storage/database.ts';
import type { AccountsTable } from '../storage/schema.ts';
import { hashPassword } from './password.ts';

/** Roles that identity itself knows; policies at the gateway decide what they permit. */
export const accountRoles = { ordinary: 'LLM.User', administrator: 'LLM.Admin' } as const;

export interface Account {
  readonly id: string;
  readonly username: string;
  readonly email: string | null;
  readonly fullName: string | null;
  readonly passwordHash: string;
  readonly roles: readonly string[];
  readonly groups: readonly string[];
  readonly disabled: boolean;
  readonly createdAt: number;
  readonly lastSignInAt: number | null;
}

export interface NewAccount {
  readonly username: string;
  readonly password: string;
  readonly email?: string | undefined;
  readonly fullName?: string | undefined;
  readonly roles: readonly string[];
}

/** What is wrong with a user name, or null. */
export function usernameProblem(username: string): string | null {
  // Judged in the form in which it is stored, which can be far longer.
  const acceptable = /^[\p{L}\p{N}][\p{L}\p{N}._@+-]{1,62}[\p{L}\p{N}]$/u.test(username.normalize('NFKC'));
  return acceptable
    ? null
    : 'The username must have 3 to 64 letters, digits or . _ @ + - and begin and end with a letter or digit';
}

/** The form in which user names are compared: `Ａlice`, `alice` and `ALICE` are one. */
export function usernameKey(username: string): string {
  return username.normalize('NFKC').toLowerCase();
}

/** Creates an account; null when the user name is taken. The password must have been judged before. */
export async function insertAccount(database: Database, wanted: NewAccount): Promise<Account | null> {
  const row: AccountsTable = {
    id: randomUUID(),
    username: wanted.username.normalize('NFKC'),
    username_key: usernameKey(wanted.username),
    email: wanted.email ?? null,
    full_name: wanted.fullName ?? null,
    password_hash: await hashPassword(wanted.password),
    roles: JSON.stringify(wanted.roles),
    groups: '[]',
    disabled: 0,
    created_at: nowInSeconds(),
    last_sign_in_at: null,
  };
  const inserted = await database
    .insertInto('accounts')
    .values(row)
    .onConflict((conflict) => conflict.column('username_key').doNothing())
    .returning('id')
    .execute();
  return inserted.length === 1 ? toAccount(row) : null;
}

/** Finds by user name in any spelling. */
export async function findAccountByUsername(database: Database, username: string): Promise<Account | null> {
  if (username.includes('\0')) return null; // PostgreSQL refuses such a text instead of finding nothing.
  const row = await database
    .selectFrom('accounts')
    .selectAll()
    .where('username_key', '=', usernameKey(username))
    .executeTakeFirst();
  return row === undefined ? null : toAccount(row);
}

/** Finds by id; a disabled account is found too, so that the caller says why it refuses. */
export async function findAccountById(database: Database, id: string): Promise<Account | null> {
  const row = await database.selectFrom('accounts').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? null : toAccount(row);
}

/** All accounts, oldest first. */
export async function listAccounts(database: Database): Promise<readonly Account[]> {
  const rows = await database
    .selectFrom('accounts')
    .selectAll()
    .orderBy('created_at')
    .orderBy('username_key')
    .execute();
  return rows.map(toAccount);
}

/** Whether there is any account. */
export async function hasAccounts(database: Database): Promise<boolean> {
  return (await database.selectFrom('accounts').select('id').limit(1).executeTakeFirst()) !== undefined;
}

/** Changes what an administrator may change. */
export async function updateAccount(
  database: Database,
  id: string,
  change: { readonly roles?: readonly string[]; readonly disabled?: boolean; readonly passwordHash?: string },
): Promise<void> {
  const columns = {
    ...(change.roles === undefined ? {} : { roles: JSON.stringify(change.roles) }),
    ...(change.disabled === undefined ? {} : { disabled: change.disabled ? 1 : 0 }),
    ...(change.passwordHash === undefined ? {} : { password_hash: change.passwordHash }),
  };
  await database.updateTable('accounts').set(columns).where('id', '=', id).execute();
}

/** Notes a successful sign-in; true when it was the account's first. */
export async function recordSignIn(database: Database, account: Account): Promise<boolean> {
  await database
    .updateTable('accounts')
    .set({ last_sign_in_at: nowInSeconds() })
    .where('id', '=', account.id)
    .execute();
  return account.lastSignInAt === null;
}

function toAccount(row: AccountsTable): Account {
  return {
    id: row.id,
    username: row.username,
    email: row.email,
    fullName: row.full_name,
    passwordHash: row.password_hash,
    roles: JSON.parse(row.roles) as string[], // Written above, by nobody else.
    groups: JSON.parse(row.groups) as string[],
    disabled: row.disabled !== 0,
    createdAt: row.created_at,
    lastSignInAt: row.last_sign_in_at,
  };
}
