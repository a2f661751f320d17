// docs/reference/cli.md says what the command line does: every command, flag and exit code, and nothing that is gone.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { exitCodeMeanings } from '../../cli/exit-codes.ts';
import { createHome, type CliHome } from './support/run-cli.ts';

const manual = readFileSync(join(import.meta.dirname, '../../docs/reference/cli.md'), 'utf8');
const shared = ['--gateway', '--profile', '--ca', '--help'];
let home: CliHome;
before(() => {
  home = createHome();
});
after(() => home.remove());

describe('docs/reference/cli.md', () => {
  for (const command of [
    'login',
    'logout',
    'whoami',
    'chat',
    'token',
    'env',
    'connect',
    'doctor',
    'completion',
    'audit verify',
  ]) {
    it(`names every flag of ${command} and no other`, async () => {
      const { stdout } = await home.run([...command.split(' '), '-h']);
      const section = manual.split(`### ${command}\n`)[1]?.split(/\n##/)[0] ?? '';
      const flags = (text: string) =>
        new Set([...text.matchAll(/(?<![\w-])--[a-z][a-z-]*/g)].map((match) => match[0]));
      const real = [...flags(stdout.split('Options:')[1] ?? '')].filter((flag) => !shared.includes(flag));
      assert.deepEqual(
        real.filter((flag) => !flags(section).has(flag)),
        [],
      );
      assert.deepEqual(
        [...flags(section)].filter((flag) => !real.includes(flag)),
        [],
      );
    });
  }

  it('lists the exit codes as the program does', () => {
    for (const [code, meaning] of exitCodeMeanings)
      assert.ok(manual.includes(`| ${code} | ${meaning} |`), String(code));
  });

  it('names every command of the program', async () => {
    const { stdout } = await home.run(['-h']);
    const names = [...stdout.matchAll(/^ {2}([a-z]+) /gm)]
      .map((match) => match[1] ?? '')
      .filter((name) => name !== 'help');
    assert.deepEqual(
      names.filter((name) => !manual.includes(`\`${name}\``) && !manual.includes(`sallyport ${name}`)),
      [],
    );
  });
});
