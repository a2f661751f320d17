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
const { configureStart } = await import('../dist/cli/commands/start.js');
try {
  const command = configureStart(new Command('npm start --').exitOverride());
  await command.parseAsync(process.argv.slice(2), { from: 'user' });
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
