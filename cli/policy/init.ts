// `sallyport policy init DIR`: a commented bundle with its tests, made from the one that ships. Asks nothing, and writes
// nothing over what is there.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { packageRoot } from '../../core/package.ts';
import { exitCodes } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import type { Terminal } from '../terminal.ts';

/** Writes the files; they pass `policy check` and `policy test` under the shipped configuration. */
export function initCommand(
  directory: string,
  options: { readonly json?: boolean },
  terminal: Terminal,
): void {
  const source = join(packageRoot, 'policies');
  const names = readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.yaml'))
    .toSorted();
  if (!isEmpty(directory))
    throw new CommandFailure(exitCodes.usage, `${directory} is not empty.`, {
      hints: ['Name a folder that does not exist yet, so that nothing is overwritten.'],
      code: 'not_empty',
    });
  const files = names.map((name) => {
    const target = join(directory, name);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, withSchema(readFileSync(join(source, name), 'utf8'), target), { flag: 'wx' });
    return target;
  });
  if (options.json === true) {
    terminal.json({ directory, files });
    return;
  }
  for (const file of files) terminal.write(`${file}\n`);
  terminal.say(`\nNext:  ${terminal.command} policy check ${directory}`);
  terminal.say(`       ${terminal.command} policy test ${directory}`);
  terminal.say('Use it: set gateway.policies in config/sallyport.yaml to this folder.');
}

function isEmpty(directory: string): boolean {
  try {
    return readdirSync(directory).length === 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true; // Only the file system throws here.
    throw new CommandFailure(exitCodes.usage, `${directory} is not a folder that can be read.`);
  }
}

/** The modeline of editors names the schema relative to the file. */
function withSchema(text: string, target: string): string {
  return text.replace(
    /^(# yaml-language-server: \$schema=)\S*\/(\w[\w-]*\.json)$/m,
    (_, start: string, name: string) =>
      `${start}${relative(dirname(resolve(target)), join(packageRoot, 'schemas', name))}`,
  );
}
