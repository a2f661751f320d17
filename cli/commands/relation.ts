// `sallyport relation …`: relations that rules ask with related(), directly on the database of the embedded identity
// server, with the server running or not. Gateways that use them are told at once.
import type { Command } from 'commander';
import { changeRelations, listRelations } from '../../identity/relations/relations.ts';
import { formatTuple, parseTuple, RelationTupleError } from '../../identity/relations/tuple.ts';
import { createEventLog } from '../../identity/revocation/event-log.ts';
import { defaultConfigFile } from '../compose.ts';
import { exitCodes } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import { withIdentityDatabase } from '../identity-database.ts';
import { processTerminal } from '../terminal.ts';

interface RelationOptions {
  readonly config: string;
  readonly json?: boolean;
}

/** Adds `relation` and its commands to the tree. */
export function registerRelationCommands(program: Command): void {
  const relation = program
    .command('relation')
    .description('Relations of people, teams and models, which rules ask with related().')
    .helpCommand(false)
    .addHelpText(
      'before',
      "Example:\n  sallyport relation add 'team:x#member@user:alice'\n  sallyport relation list\n",
    );
  const command = (name: string, description: string, example: string): Command =>
    relation
      .command(name)
      .description(description)
      .addHelpText('before', `Example:\n  sallyport relation ${example}\n`)
      .option('--config <file>', 'configuration file', defaultConfigFile)
      .option('--json', 'print JSON');

  command('list', 'List the relations.', 'list').action(list);
  command('add <tuple...>', 'Add relations, all or none.', "add 'team:x#member@user:alice'").action(
    (texts: readonly string[], options: RelationOptions) => change({ add: texts, remove: [] }, options),
  );
  command('remove <tuple...>', 'Remove relations, all or none.', "remove 'team:x#member@user:alice'").action(
    (texts: readonly string[], options: RelationOptions) => change({ add: [], remove: texts }, options),
  );
}

async function list(options: RelationOptions): Promise<void> {
  const terminal = processTerminal();
  await withIdentityDatabase(options.config, async (database) => {
    const tuples = await listRelations(database);
    if (options.json === true) terminal.json(tuples);
    else for (const tuple of tuples) terminal.write(`${tuple}\n`);
  });
}

async function change(
  wanted: { readonly add: readonly string[]; readonly remove: readonly string[] },
  options: RelationOptions,
): Promise<void> {
  const terminal = processTerminal();
  const [add, remove] = [wanted.add.map(parsed), wanted.remove.map(parsed)];
  await withIdentityDatabase(options.config, async (database) => {
    const done = await changeRelations(createEventLog(database), { add, remove });
    if (options.json === true) {
      terminal.json(done);
      return;
    }
    for (const tuple of [...add, ...remove]) terminal.say(`  ${formatTuple(tuple)}`);
    const [count, word] = add.length > 0 ? [done.added, 'added'] : [done.removed, 'removed'];
    const same = add.length + remove.length - count;
    const rest = same === 0 ? '' : `; ${same} ${add.length > 0 ? 'were there already' : 'were not there'}`;
    terminal.say(`${terminal.green('✓')} ${count} ${word}${rest}.`);
  });
}

function parsed(text: string): ReturnType<typeof parseTuple> {
  try {
    return parseTuple(text);
  } catch (error) {
    if (error instanceof RelationTupleError)
      throw new CommandFailure(exitCodes.usage, `${error.message}.`, { code: 'usage', cause: error });
    throw error;
  }
}
