// `npm start`: builds what must be built, then runs the supervisor in this very process.
import { requireSupportedNode } from './node-version.mjs';

requireSupportedNode();

const { BuildError, buildIfStale } = await import('./build.mjs');
try {
  await buildIfStale();
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  process.stderr.write(`✗ ${error.message}\n`);
  process.exit(1);
}
const { Command, CommanderError } = await import('commander');
const { configureStart, swallowedByNpm } = await import('../dist/cli/commands/start.js');
const { processTerminal } = await import('../dist/cli/terminal.js');
const { usageFailure } = await import('../dist/cli/usage-failure.js');

const words = process.argv.slice(2);
const terminal = { ...processTerminal(), command: 'npm start --' };
const swallowed = swallowedByNpm(process.env, words);
if (swallowed !== undefined) {
  process.stderr.write(`${swallowed.join('\n')}\n`);
  process.exit(1);
}
try {
  const command = configureStart(
    new Command('npm start --')
      .exitOverride()
      .configureOutput({ outputError: (text) => terminal.say(usageFailure(text, terminal)) }),
  );
  await command.parseAsync(words, { from: 'user' });
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
