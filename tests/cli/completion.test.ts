// Completion as a shell asks for it: the script is loaded into a real bash, with the real command on the path.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { createHome, type CliHome } from './support/run-cli.ts';
import { json, startGateway, startIssuer } from './support/scripted-servers.ts';
import { storeSession } from './support/stored-session.ts';

const hasBash = spawnSync('bash', ['--version']).error === undefined;
const main = join(import.meta.dirname, '../../cli/main.ts');

describe('completion', { skip: hasBash ? false : 'bash is not installed' }, () => {
  let home: CliHome;
  let script = '';
  before(async () => {
    home = createHome();
    const { code, stdout, stderr } = await home.run(['completion', 'bash']);
    assert.equal(code, 0, stderr);
    script = stdout;
    const bin = join(home.folder, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'sallyport'), `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`);
    chmodSync(join(bin, 'sallyport'), 0o755);
    storeSession(home.stateFolder, { gateway: 'https://llm.example.com', profile: 'work' });
  });
  after(() => home.remove());

  /** What bash offers for the last of the words. */
  async function offered(...words: string[]): Promise<string[]> {
    const list = words.map((word) => `'${word}'`).join(' ');
    const program = `${script}\nCOMP_WORDS=(sallyport ${list}); COMP_CWORD=${words.length}; _sallyport; printf '%s\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = await promisify(execFile)('bash', ['--norc', '-c', program], {
      cwd: home.folder,
      env: { ...home.env, PATH: `${join(home.folder, 'bin')}:${home.env['PATH'] ?? ''}` },
    });
    assert.equal(stderr, '');
    return stdout.split('\n').filter((line) => line !== '');
  }

  it('offers commands, their commands and their choices', async () => {
    assert.deepEqual(await offered('log'), ['login', 'logout']);
    assert.deepEqual(await offered('account', 'rev'), ['revoke']);
    assert.deepEqual(await offered('connect', 'openai-'), ['openai-js', 'openai-python']);
  });

  it('offers the flags of the command at hand and no other', async () => {
    assert.deepEqual(await offered('token', '--m'), ['--min-ttl']);
    assert.deepEqual(await offered('logout', '--m'), []);
    assert.deepEqual(await offered('model', 'pull', '--sh'), ['--sha256']);
  });

  it('offers profiles after --profile and profile use', async () => {
    assert.deepEqual(await offered('chat', '--profile', ''), ['work']);
    assert.deepEqual(await offered('profile', 'use', 'w'), ['work']);
  });

  it('offers the models of the gateway, and runs nothing that it names', async () => {
    const issuer = await startIssuer();
    const gateway = await startGateway(issuer.url);
    try {
      const models = [{ id: 'gpt2' }, { id: '$(touch pwned)' }, { id: '`touch pwned`' }];
      gateway.handlers['/v1/models'] = (_, response) => json(response, 200, { object: 'list', data: models });
      storeSession(home.stateFolder, { gateway: gateway.url, issuer: issuer.url });
      const program = `export SALLYPORT_URL=${gateway.url}\n`;
      script = program + script;
      assert.equal((await offered('chat', '--model', ''))[0], 'gpt2');
      assert.ok(!existsSync(join(home.folder, 'pwned')));
    } finally {
      script = script.replace(/^export .*\n/, '');
      await gateway.close();
      await issuer.close();
    }
  });

  it('offers files, not models, to commands whose --model is a file', async () => {
    assert.deepEqual(await offered('start', '--model', ''), []);
  });

  it('refuses a shell it does not know', async () => {
    assert.equal((await home.run(['completion', 'tcsh'])).code, 2);
  });

  for (const shell of ['zsh', 'fish']) {
    const installed = spawnSync(shell, ['--version']).error === undefined;
    it(
      `makes a script that ${shell} can read`,
      { skip: installed ? false : `${shell} is not installed` },
      async () => {
        const { stdout } = await home.run(['completion', shell]);
        const file = join(home.folder, `completion.${shell}`);
        writeFileSync(file, stdout);
        assert.equal(spawnSync(shell, ['-n', file], { encoding: 'utf8' }).stderr, '');
      },
    );
  }
});
