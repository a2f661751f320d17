// `sallyport key …`: API keys of one's own, through the gateway with the stored sign-in. The key itself goes to stdout,
// once, when it is made.
import type { Command } from 'commander';
import { connect, withConnectionOptions, type Connection, type ConnectionOptions } from '../connection.ts';
import { exitCodes } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import { callGateway } from '../gateway-call.ts';
import { processTerminal } from '../terminal.ts';
import { fromNow, parseDuration, printable } from '../wording.ts';

interface KeyOptions extends ConnectionOptions {
  readonly json?: boolean;
}
interface CreateOptions extends KeyOptions {
  readonly name?: string;
  readonly expires?: string;
  readonly role?: readonly string[];
}
interface ListOptions extends KeyOptions {
  readonly all?: boolean;
}

/** A key as the gateway tells of it; texts are safe to show. */
interface ShownKey {
  readonly id: string;
  readonly name: string;
  readonly roles: readonly string[];
  readonly status: string;
  readonly createdAt: string;
  readonly expiresAt: string;
  readonly lastUsedAt: string | null;
}

/** Adds `key` and its commands to the tree. */
export function registerKeyCommands(program: Command): void {
  const key = program
    .command('key')
    .description('API keys of your own, for programs that cannot sign in.')
    .helpCommand(false)
    .addHelpText(
      'before',
      'Example:\n  sallyport key create --name notebook --expires 30d\n  sallyport key list\n',
    );
  const command = (name: string, description: string, example: string): Command =>
    withConnectionOptions(key.command(name))
      .description(description)
      .addHelpText('before', `Example:\n  sallyport key ${example}\n`)
      .option('--json', 'print JSON');

  command('create', 'Make a key and print it, this once.', 'create --name notebook --expires 30d')
    .option('--name <text>', 'what it is for')
    .option('--expires <duration>', 'how long it lives: 12h, 30d (default: 90d)')
    .option('--role <role...>', 'carry these of your roles only; LLM.Admin only when named')
    .action(create);
  command('list', 'List your keys.', 'list')
    .option('--all', 'those that expired or were revoked too')
    .action(list);
  command('revoke <id>', 'End a key; it stops working within a second.', 'revoke 4fJx0aQm2Zt7').action(
    revoke,
  );
}

async function create(options: CreateOptions): Promise<void> {
  const terminal = processTerminal();
  const body = {
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(options.expires === undefined ? {} : { expires_in: lifetimeOf(options.expires) }),
    ...(options.role === undefined ? {} : { roles: options.role }),
  };
  const answer = await ask(await connect(options), '/api-keys', { body });
  const text = Reflect.get(Object(answer), 'key') as unknown;
  const made = parseKey(answer);
  if (typeof text !== 'string' || !/^[\w-]+$/.test(text) || made === null) throw unexpected();
  if (options.json === true) {
    terminal.json(answer);
    return;
  }
  terminal.write(`${text}\n`);
  terminal.say(
    `${terminal.green('✓')} Key ${made.id} (${made.name}) with ${made.roles.join(', ') || 'no roles'}, expires ${expiry(made)}.`,
  );
  terminal.say('  It is shown only now. Revoke it with:');
  terminal.say(`  ${terminal.command} key revoke ${made.id}`);
}

async function list(options: ListOptions): Promise<void> {
  const terminal = processTerminal();
  const answer = await ask(await connect(options), '/api-keys');
  if (!Array.isArray(answer)) throw unexpected();
  const entries = (answer as readonly unknown[]).flatMap((entry) => {
    const key = parseKey(entry);
    return key === null || (options.all !== true && key.status !== 'active') ? [] : [{ entry, key }];
  });
  if (options.json === true) {
    terminal.json(entries.map(({ entry }) => entry));
    return;
  }
  if (entries.length === 0) terminal.say(`No keys. Make one with  ${terminal.command} key create`);
  const width = Math.max(0, ...entries.map(({ key }) => key.name.length));
  for (const { key } of entries) {
    const state = key.status === 'active' ? `expires ${expiry(key)}` : key.status;
    const used = key.lastUsedAt === null ? 'never used' : `used ${fromNow(seconds(key.lastUsedAt))}`;
    terminal.write(`${key.id}  ${key.name.padEnd(width)}  ${key.roles.join(',')}  ${state}  ${used}\n`);
  }
}

async function revoke(id: string, options: KeyOptions): Promise<void> {
  const terminal = processTerminal();
  // What is no id is not sent: in a path it could mean something else. A whole key is a mistake worth a warning.
  if (!/^[0-9A-Za-z]{12}$/.test(id)) {
    const hints = /^sp_[0-9A-Za-z]{12}_/.test(id)
      ? [`The id of this key is the part after sp_:  ${id.slice(3, 15)}`]
      : ['The ids of your keys:  sallyport key list'];
    throw new CommandFailure(exitCodes.usage, 'This is not the id of a key.', { code: 'usage', hints });
  }
  const answer = await ask(await connect(options), `/api-keys/${id}`, { method: 'DELETE' });
  if (options.json === true) terminal.json(answer);
  else terminal.say(`${terminal.green('✓')} Key ${id} is revoked.`);
}

async function ask(
  connection: Connection,
  path: string,
  init: { method?: 'DELETE'; body?: unknown } = {},
): Promise<unknown> {
  const response = await callGateway(connection, path, { ...init, timeoutMs: 30_000 });
  return response.json();
}

function lifetimeOf(text: string): number {
  const lifetime = parseDuration(text);
  if (lifetime !== null) return lifetime;
  throw new CommandFailure(exitCodes.usage, `'${printable(text)}' is no duration; write 12h or 30d.`, {
    code: 'usage',
  });
}

/** Border: what the gateway sent, member by member. */
function parseKey(value: unknown): ShownKey | null {
  if (typeof value !== 'object' || value === null) return null;
  const members = value as Record<string, unknown>;
  const text = (name: string): string =>
    typeof members[name] === 'string' ? printable(members[name]).replaceAll(/\s/g, ' ') : '';
  const roles = members['roles'];
  return {
    id: text('id'),
    name: text('name'),
    roles: Array.isArray(roles) ? roles.map((role) => printable(String(role))) : [],
    status: text('status'),
    createdAt: text('created_at'),
    expiresAt: text('expires_at'),
    lastUsedAt: text('last_used_at') || null,
  };
}

function expiry({ expiresAt }: ShownKey): string {
  return `${expiresAt.slice(0, 10)} (${fromNow(seconds(expiresAt))})`;
}

function seconds(instant: string): number {
  return Date.parse(instant) / 1000;
}

function unexpected(): CommandFailure {
  return new CommandFailure(exitCodes.unexpected, 'The gateway answered in a way that is not understood.');
}
