// The command tree: help, typos, exit codes, versions, colour, and what is loaded.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { exitCodeMeanings, exitCodes } from '../../cli/exit-codes.ts';
import { createHome, type CliHome } from './support/run-cli.ts';

let home: CliHome;
before(() => {
  home = createHome();
});
after(() => home.remove());

const commands = [
  'start',
  'serve',
  'login',
  'logout',
  'token',
  'whoami',
  'chat',
  'connect',
  'env',
  'doctor',
  'profile',
  'profile list',
  'profile use',
  'model',
  'model pull',
  'model list',
  'model verify',
  'account',
  'account add',
  'account grant',
  'account reset-password',
  'audit verify',
  'policy',
  'policy check',
  'policy test',
  'policy explain',
  'policy access',
  'policy replay',
  'policy repl',
  'policy init',
  'policy fmt',
  'key',
  'key create',
  'key list',
  'key revoke',
  'relation',
  'relation list',
  'relation add',
  'relation remove',
  'account sign-out',
  'policy import',
  'policy import apim',
  'completion',
];

describe('help', () => {
  for (const words of [[], ...commands.map((command) => command.split(' '))]) {
    it(`of "${['sallyport', ...words].join(' ')}" starts with an example and fits on a screen`, async () => {
      const result = await home.run([...words, '-h']);
      assert.equal(result.code, 0);
      assert.equal(result.stderr, '');
      assert.match(result.stdout, /^Example:/);
      const lines = result.stdout.trimEnd().split('\n');
      assert.ok(lines.length <= 24, `${lines.length} lines`);
      assert.deepEqual(
        lines.filter((line) => line.length > 80),
        [],
      );
    });
  }

  it('is the same by help COMMAND, by -h and without any word', async () => {
    assert.equal((await home.run(['help', 'token'])).stdout, (await home.run(['token', '-h'])).stdout);
    assert.equal((await home.run([])).stdout, (await home.run(['-h'])).stdout);
  });

  it('lists every exit code', async () => {
    const { stdout, code } = await home.run(['help', 'exit-codes']);
    assert.equal(code, 0);
    for (const [value, meaning] of exitCodeMeanings) assert.ok(stdout.includes(`${value}  ${meaning}`));
    assert.deepEqual(
      exitCodeMeanings.map(([value]) => value),
      Object.values(exitCodes),
    );
  });
});

describe('a typo', () => {
  it('in a command gets the nearest one and exit code 2', async () => {
    assert.deepEqual(await home.run(['lgin']), {
      code: 2,
      stdout: '',
      stderr: "✗ Unknown command 'lgin'. Did you mean login?\n  sallyport -h  shows what there is.\n",
    });
  });
  it('in a flag gets the nearest one and exit code 2', async () => {
    const result = await home.run(['token', '--jsn']);
    assert.equal(result.code, 2);
    assert.match(result.stderr, /^✗ Unknown option '--jsn'\. Did you mean --json\?$/m);
  });
  it('in the name of a client lists the clients', async () => {
    assert.deepEqual(await home.run(['connect', 'opnai']), {
      code: 2,
      stdout: '',
      stderr: "✗ There is no client 'opnai'.\n  There are: openai-js, openai-python, azure-js, curl, env.\n",
    });
  });
  it('in the topic of help exits with 2', async () => {
    assert.equal((await home.run(['help', 'nonsense'])).code, 2);
  });
  it('is never run as the guess', async () => {
    assert.equal((await home.run(['logut'])).stdout, '');
  });
  it('of a surplus word exits with 2', async () => {
    assert.equal((await home.run(['token', 'surplus'])).code, 2);
  });
});

describe('--version', () => {
  it('prints the version and loads nothing but the package file', async () => {
    const log = join(home.folder, 'imports');
    const result = await home.run(['--version'], {
      nodeFlags: ['--import', join(import.meta.dirname, 'support/log-imports.mjs')],
      env: { IMPORT_LOG: log },
    });
    const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8'));
    assert.equal(result.stdout, `${version}\n`);
    assert.doesNotMatch(readFileSync(log, 'utf8'), /node_modules/);
  });
});

describe('the way out', () => {
  it('of a command that needs the configuration, in another folder, names --config', async () => {
    const result = await home.run(['account', 'list']);
    assert.equal(result.code, 3);
    assert.match(result.stderr, /does not exist\n {2}Paths start at .* --config FILE$/m);
  });
  it('is the command as this person types it, also through npx', async () => {
    const directly = await home.run(['token']);
    assert.match(directly.stderr, /Run: {2}sallyport login$/m);
    const throughNpx = await home.run(['token'], { env: { npm_command: 'exec' } });
    assert.match(throughNpx.stderr, /Run: {2}npx sallyport login$/m);
    assert.equal(throughNpx.code, 4);
  });
});

describe('an old Node', () => {
  for (const [version, isRefused] of [
    ['20.19.0', true],
    ['24.16.9', true],
    ['24.17.0', false],
    ['25.0.0', false],
  ] as const) {
    it(`${version} is ${isRefused ? 'refused with the way out' : 'accepted'}`, async () => {
      const result = await home.run(['--version'], {
        nodeFlags: ['--import', join(import.meta.dirname, 'support/old-node.mjs')],
        env: { PRETEND_NODE: version },
      });
      assert.equal(result.code, isRefused ? 1 : 0);
      if (isRefused)
        assert.match(
          result.stderr,
          new RegExp(`^✗ Sallyport needs Node 24\\.17 or newer; this is Node ${version}\\.\\n.*npm ci`),
        );
    });
  }
});

describe('piped output', () => {
  it('has no escape byte, not even when colour is forced', async () => {
    for (const words of [['-h'], ['token'], ['lgin'], ['doctor']]) {
      const result = await home.run(words, {
        env: { FORCE_COLOR: '3', SALLYPORT_URL: 'http://127.0.0.1:9' },
      });
      assert.ok(!(result.stdout + result.stderr).includes('\u001b'), words.join(' '));
    }
  });
});
