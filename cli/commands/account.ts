// `sallyport account …`: accounts of the embedded identity server, directly on its database, with the server running
// or not. Whoever may write that database is an administrator; no password or token is asked for.
import type { Command } from 'commander';
import {
  createAccount,
  disableAccount,
  grantRole,
  resetPassword,
  revokeRole,
  signOutEverywhere,
} from '../../identity/administration.ts';
import { listAccounts, type Account } from '../../identity/accounts/accounts.ts';
import { defaultConfigFile } from '../compose.ts';
import { exitCodes } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import { withIdentityDatabase, type IdentityDatabase } from '../identity-database.ts';
import { processTerminal, type Terminal } from '../terminal.ts';
import { printable } from '../wording.ts';

interface CommonOptions {
  readonly config: string;
  readonly json?: boolean;
}

/** Adds `account` and its commands to the tree. */
export function registerAccountCommands(program: Command): void {
  const account = program
    .command('account')
    .description('Administer the accounts of the embedded identity server.')
    .helpCommand(false)
    .addHelpText('before', 'Example:\n  sallyport account list\n  sallyport account grant ada LLM.Admin\n');
  const command = (name: string, description: string, example: string): Command =>
    account
      .command(name)
      .description(description)
      .addHelpText('before', `Example:\n  sallyport account ${example}\n`)
      .option('--config <file>', 'configuration file', defaultConfigFile)
      .option('--json', 'print JSON');

  command('list', 'List the accounts.', 'list --json').action((options: CommonOptions) =>
    withDatabase(options, list(options)),
  );
  command('add <username>', 'Create an account.', 'add ada')
    .option('--role <role>', 'role of the account', 'LLM.User')
    .option('--email <address>', 'e-mail address')
    .option('--password-stdin', 'read the password from standard input')
    .action((username: string, options: AddOptions) => withDatabase(options, add(username, options)));
  command(
    'grant <username> <role>',
    'Give a role; the next access token carries it.',
    'grant ada LLM.Admin',
  ).action((username: string, role: string, options: CommonOptions) =>
    withDatabase(
      options,
      change(options, (database) =>
        grantRole(database, username, role, (account) => refuseConflict(account.username, account, options)),
      ),
    ),
  );
  command(
    'revoke <username> <role>',
    'Take a role away; access tokens keep it until they expire.',
    'revoke ada LLM.Admin',
  ).action((username: string, role: string, options: CommonOptions) =>
    withDatabase(
      options,
      change(options, (database) => revokeRole(database, username, role)),
    ),
  );
  command('reset-password <username>', 'Set a new password; sign-ins and API keys end.', 'reset-password ada')
    .option('--password-stdin', 'read the password from standard input')
    .action((username: string, options: PasswordOptions) => withDatabase(options, reset(username, options)));
  command('sign-out <username>', 'End every sign-in and API key; the password stays.', 'sign-out ada').action(
    (username: string, options: CommonOptions) => withDatabase(options, signOut(username, options)),
  );
  command('disable <username>', 'Refuse the account from now on.', 'disable ada').action(
    (username: string, options: CommonOptions) =>
      withDatabase(
        options,
        change(options, (database) => disableAccount(database, username)),
      ),
  );
  command('enable <username>', 'Undo disable; what has ended stays so.', 'enable ada').action(
    (username: string, options: CommonOptions) =>
      withDatabase(
        options,
        change(options, (database) => disableAccount(database, username, false)),
      ),
  );
}

interface PasswordOptions extends CommonOptions {
  readonly passwordStdin?: boolean;
}
interface AddOptions extends PasswordOptions {
  readonly role: string;
  readonly email?: string;
}

type Action = (database: IdentityDatabase, terminal: Terminal) => Promise<void>;

function withDatabase(options: CommonOptions, act: Action): Promise<void> {
  return withIdentityDatabase(options.config, (database) => act(database, processTerminal()));
}

function list(options: CommonOptions): Action {
  return async (database, terminal) => {
    const accounts = await listAccounts(database);
    if (options.json === true) {
      terminal.json(accounts.map(jsonView));
      return;
    }
    const width = Math.max(8, ...accounts.map((account) => account.username.length));
    for (const account of accounts) {
      const state = account.disabled ? '  disabled' : '';
      terminal.write(`${printable(account.username).padEnd(width)}  ${account.roles.join(', ')}${state}\n`);
    }
  };
}

function add(username: string, options: AddOptions): Action {
  return async (database, terminal) => {
    await refuseConflict(username, { id: '', roles: [options.role] }, options);
    const password = await passwordFrom(options);
    const { account, generatedPassword } = await createAccount(database, {
      username,
      password,
      email: options.email,
      roles: [options.role],
    });
    report(terminal, options, { ...jsonView(account), ...passwordMember(generatedPassword) }, [
      `${terminal.green('✓')} Created ${account.username} with ${account.roles.join(', ')}.`,
      ...passwordLine(generatedPassword),
    ]);
  };
}

function reset(username: string, options: PasswordOptions): Action {
  return async (database, terminal) => {
    const { generatedPassword } = await resetPassword(database, username, await passwordFrom(options));
    report(terminal, options, { username, ...passwordMember(generatedPassword) }, [
      `${terminal.green('✓')} The password of ${printable(username)} is changed; every sign-in and API key of the account has ended.`,
      ...passwordLine(generatedPassword),
    ]);
  };
}

function signOut(username: string, options: CommonOptions): Action {
  return async (database, terminal) => {
    const account = await signOutEverywhere(database, username);
    report(terminal, options, jsonView(account), [
      `${terminal.green('✓')} Every sign-in, access token and API key of ${printable(account.username)} has ended.`,
    ]);
  };
}

/** A role that its holder may not combine with another one is not given in the first place. */
async function refuseConflict(
  username: string,
  holder: Pick<Account, 'id' | 'roles'>,
  options: CommonOptions,
): Promise<void> {
  const { conflictingDuties } = await import('../policy/conflicting-duties.ts');
  const pair = conflictingDuties({ subject: holder.id, roles: holder.roles }, options);
  if (pair === null) return;
  throw new CommandFailure(
    exitCodes.refused,
    `${printable(username)} may not hold ${pair.join(' and ')} together: separation_of_duties in roles.yaml.`,
    { code: 'separation_of_duties' },
  );
}

function change(options: CommonOptions, act: (database: IdentityDatabase) => Promise<Account>): Action {
  return async (database, terminal) => {
    const account = await act(database);
    const state = account.disabled ? 'disabled' : account.roles.join(', ') || 'no roles';
    report(terminal, options, jsonView(account), [`${terminal.green('✓')} ${account.username}: ${state}`]);
  };
}

function report(terminal: Terminal, options: CommonOptions, json: unknown, lines: readonly string[]): void {
  if (options.json === true) terminal.json(json);
  else for (const line of lines) terminal.say(line);
}

function passwordMember(password: string | null): { password?: string } {
  return password === null ? {} : { password };
}

function passwordLine(password: string | null): string[] {
  return password === null ? [] : [`  Password  ${password}    shown only now`];
}

async function passwordFrom(options: PasswordOptions): Promise<string | undefined> {
  if (options.passwordStdin !== true) return undefined;
  const pieces: Buffer[] = [];
  for await (const piece of process.stdin) pieces.push(piece as Buffer); // No encoding is set, so they are buffers.
  return Buffer.concat(pieces)
    .toString('utf8')
    .replace(/\r?\n$/, '');
}

function jsonView(account: Account): Record<string, unknown> {
  const { id, username, email, roles, disabled } = account;
  return {
    id,
    username,
    email,
    roles,
    disabled,
    created_at: new Date(account.createdAt * 1000).toISOString(),
  };
}
