import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { packageRoot } from '../../core/package.ts';
import {
  claimsOf,
  postForm,
  postJson,
  refresh,
  signInWithDevice,
  startTestIdentity,
  type TestIdentity,
} from './support.ts';

describe('sallyport account, beside a running server', () => {
  let identity: TestIdentity;
  let configFile: string;
  before(async () => {
    identity = await startTestIdentity();
    configFile = join(identity.data, 'sallyport.yaml');
    writeFileSync(configFile, `identity:\n  data: ${identity.data}\n`);
  });
  after(() => identity.close());

  function account(
    words: readonly string[],
    input = '',
  ): Promise<{ code: number | null; out: string; err: string }> {
    const child = spawn(
      process.execPath,
      [join(packageRoot, 'cli/main.ts'), 'account', ...words, '--config', configFile],
      {
        cwd: packageRoot,
        env: { ...process.env, NO_COLOR: '1' },
      },
    );
    let [out, err] = ['', ''];
    child.stdout.on('data', (piece: Buffer) => (out += piece.toString()));
    child.stderr.on('data', (piece: Buffer) => (err += piece.toString()));
    child.stdin.end(input);
    return new Promise((resolve) => child.once('close', (code) => resolve({ code, out, err })));
  }
  const passwordGrant = (username: string, password: string) =>
    postForm(`${identity.base}/token`, { username, password });

  it('adds an account with a generated password that works at once', async () => {
    const { code, out, err } = await account(['add', 'ada']);
    assert.equal(code, 0, err);
    assert.equal(out, '', 'talk goes to stderr');
    const password = /Password {2}(\S+)/.exec(err)?.[1] ?? '';
    assert.deepEqual(claimsOf((await passwordGrant('ada', password)).body.access_token).roles, ['LLM.User']);
  });

  it('grants and revokes a role, seen in the next token', async () => {
    const password = 'a password from standard input';
    assert.equal((await account(['add', 'bob', '--password-stdin'], `${password}\n`)).code, 0);
    assert.equal((await account(['grant', 'bob', 'LLM.Admin'])).code, 0);
    assert.deepEqual(claimsOf((await passwordGrant('bob', password)).body.access_token).roles, [
      'LLM.User',
      'LLM.Admin',
    ]);
    assert.equal((await account(['revoke', 'bob', 'LLM.Admin'])).code, 0);
    assert.deepEqual(claimsOf((await passwordGrant('bob', password)).body.access_token).roles, ['LLM.User']);
  });

  it('disables and enables, and shows it in the list', async () => {
    await postJson(`${identity.base}/users`, { username: 'carol', password: 'correct horse battery staple' });
    assert.equal((await account(['disable', 'carol'])).code, 0);
    assert.equal((await passwordGrant('carol', 'correct horse battery staple')).status, 401);
    const listed = JSON.parse((await account(['list', '--json'])).out) as {
      username: string;
      disabled: boolean;
    }[];
    assert.equal(listed.find(({ username }) => username === 'carol')?.disabled, true);
    assert.doesNotMatch(JSON.stringify(listed), /argon2/);
    assert.equal((await account(['enable', 'carol'])).code, 0);
    assert.equal((await passwordGrant('carol', 'correct horse battery staple')).status, 200);
  });

  it('signs an account out everywhere and leaves its password', async () => {
    await postJson(`${identity.base}/users`, { username: 'dora', password: 'correct horse battery staple' });
    const signedIn = await signInWithDevice(identity, {
      username: 'dora',
      password: 'correct horse battery staple',
    });
    const { code, err } = await account(['sign-out', 'dora']);
    assert.equal(code, 0, err);
    assert.match(err, /Every sign-in, access token and API key of dora has ended\./);
    assert.equal((await refresh(identity, signedIn.refresh_token)).status, 400);
    assert.equal((await passwordGrant('dora', 'correct horse battery staple')).status, 200);
    assert.equal((await account(['sign-out', 'nobody'])).code, 1);
  });

  it('says in one sentence what cannot be done', async () => {
    for (const [words, sentence] of [
      [['grant', 'nobody', 'LLM.Admin'], /There is no account nobody\./],
      [['add', 'admin'], /Username already registered\./],
      [['add', 'x'], /username must have/],
      [['revoke', 'admin', 'LLM.Nothing'], /does not have the role/],
    ] as const) {
      const { code, err } = await account(words);
      assert.equal(code, 1);
      assert.match(err, sentence);
      assert.doesNotMatch(err, /at .*\.ts:/);
    }
    const { code, err } = await account(['add', 'weak', '--password-stdin'], 'short');
    assert.equal(code, 1);
    assert.match(err, /at least 8/);
  });
});
