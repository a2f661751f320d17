// `sallyport connect CLIENT`: prints a block that works when pasted, with this gateway's address and this install's paths.
import { Argument, type Command } from 'commander';
import { clientBlock, clientNames, type ClientName } from '../client-blocks.ts';
import { connect, withConnectionOptions, type Connection, type ConnectionOptions } from '../connection.ts';
import { listModels } from '../gateway-call.ts';
import { processTerminal } from '../terminal.ts';

interface ConnectOptions extends ConnectionOptions {
  readonly model?: string;
  readonly json?: boolean;
}

/** Adds `connect` to the tree. */
export function registerConnectCommand(program: Command): void {
  withConnectionOptions(program.command('connect'))
    .description('Print the code that connects a client library to the gateway.')
    .addHelpText(
      'before',
      'Example:\n  sallyport connect openai-js > example.mjs && node example.mjs\n  sallyport connect curl | sh\n',
    )
    .addArgument(new Argument('<client>', 'which client').choices(clientNames))
    .option('-m, --model <name>', 'the model in the block (default: the first you may use)')
    .option('--json', 'one JSON object with client, file and text')
    .action(printBlock);
}

// Commander has checked the name against the choices.
async function printBlock(client: ClientName, options: ConnectOptions): Promise<void> {
  const terminal = processTerminal();
  const connection = await connect(options);
  const { gateway, profile } = connection.address;
  const model = options.model ?? (await anyModel(connection));
  const block = clientBlock(client, {
    gateway,
    profile,
    model,
    certificateAuthority: connection.certificateAuthority,
  });
  if (options.json === true) terminal.json({ client, ...block });
  else terminal.write(block.text);
}

/** A model for the block; the block is printed also when nobody is signed in or nothing answers. */
async function anyModel(connection: Connection): Promise<string> {
  try {
    return (await listModels(connection, { neverAsks: true })).models[0] ?? 'tiny-gpt2';
  } catch {
    return 'tiny-gpt2';
  }
}
