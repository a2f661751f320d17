// The first account: an administrator with a generated password that is shown once.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Database } from '../storage/database.ts';
import { accountRoles, hasAccounts, insertAccount } from './accounts.ts';
import { generatePassword } from './generated-password.ts';

/** Name of the first account. */
export const firstAdministratorName = 'admin';

/** Creates the administrator when there is no account at all. */
export async function createFirstAdministrator(
  database: Database,
): Promise<{ username: string; password: string } | null> {
  if (await hasAccounts(database)) return null;
  const password = generatePassword();
  const account = await insertAccount(database, {
    username: firstAdministratorName,
    password,
    roles: [accountRoles.administrator],
  });
  return account === null ? null : { username: firstAdministratorName, password };
}

/** Where the password lies when nobody was there to read it. */
export function firstAdministratorFile(folder: string): string {
  return join(folder, 'first-admin');
}

/** Writes name and password for the owner of the folder alone. */
export function writeFirstAdministratorFile(
  folder: string,
  administrator: { username: string; password: string },
): string {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = firstAdministratorFile(folder);
  writeFileSync(file, `${administrator.username}\n${administrator.password}\n`, { mode: 0o600 });
  return file;
}

/** Removes the file once the administrator has signed in; a file that is not there is fine. */
export function removeFirstAdministratorFile(folder: string): void {
  rmSync(firstAdministratorFile(folder), { force: true });
}
