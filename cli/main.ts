// The entry of the `sallyport` command. Refuses an old Node, answers --version at once, and loads the command tree
// only for the rest: what a command does not need is never imported.
import { oldNodeMessage } from './node-version.ts';

const refusal = oldNodeMessage(process.versions.node);
const words = process.argv.slice(2);
if (refusal !== null) {
  process.stderr.write(refusal);
  process.exitCode = 1;
} else if (words.length === 1 && (words[0] === '--version' || words[0] === '-V')) {
  const { packageVersion } = await import('../core/package.ts');
  process.stdout.write(`${packageVersion}\n`);
} else {
  const { run } = await import('./program.ts');
  await run(words);
}
