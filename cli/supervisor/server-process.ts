// The process that the supervisor forks for one server; the same code as `sallyport serve`, without the command tree.
import { Command } from 'commander';
import { configureServe } from '../commands/serve.ts';

await configureServe(new Command('serve')).parseAsync(process.argv.slice(2), { from: 'user' });
