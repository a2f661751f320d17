// `sallyport token`: stdout byte for byte, renewal once however many ask, and what a crash or wide modes do.
import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { createHome, finish, type CliHome } from './support/run-cli.ts';
import { startIssuer, type ScriptedIssuer } from './support/scripted-servers.ts';
import { justExpired, storeSession } from './support/stored-session.ts';

const gateway = 'http://127.0.0.1:9';
let home: CliHome;
let issuer: ScriptedIssuer;

beforeEach(async () => {
  home = createHome();
  issuer = await startIssuer();
});
afterEach(async () => {
  home.remove();
  await issuer.close();
});

const token = (...words: string[]) => home.run(['token', '--gateway', gateway, ...words]);
const store = (changes: Parameters<typeof storeSession>[1] = { gateway }) =>
  storeSession(home.stateFolder, { issuer: issuer.url, ...changes });
const readStored = (file: string) => JSON.parse(readFileSync(file, 'utf8'));

describe('sallyport token with a valid stored token', () => {
  it('prints the token and a newline, byte for byte, without any request', async () => {
    const { session } = store();
    const result = await token();
    assert.deepEqual(result, { code: 0, stdout: `${session.access_token}\n`, stderr: '' });
    assert.equal(issuer.requests.length, 0);
  });

  it('prints expiry in epoch seconds, issuer, subject and scopes with --json', async () => {
    const { session } = store();
    const result = await token('--json');
    assert.deepEqual(JSON.parse(result.stdout), {
      access_token: session.access_token,
      expires_at: session.expires_at,
      issuer: issuer.url,
      subject: 'subject-1',
      scopes: ['api://sallyport/LLM.Access'],
    });
  });

  it('loads neither an OAuth, JWT, YAML, schema nor log library', async () => {
    store();
    const log = join(home.folder, 'imports');
    const result = await home.run(['token', '--gateway', gateway], {
      nodeFlags: ['--import', join(import.meta.dirname, 'support/log-imports.mjs')],
      env: { IMPORT_LOG: log },
    });
    assert.equal(result.code, 0);
    const packages = [
      ...new Set(
        [...readFileSync(log, 'utf8').matchAll(/node_modules\/((?:@[^/]+\/)?[^/]+)/g)].map(
          (match) => match[1],
        ),
      ),
    ];
    assert.deepEqual(packages, ['commander']);
  });

  it('keeps profiles apart', async () => {
    store();
    const other = store({ gateway, profile: 'work' });
    assert.equal((await token('--profile', 'work')).stdout, `${other.session.access_token}\n`);
    assert.equal(
      (await home.run(['token', '--gateway', gateway], { env: { SALLYPORT_PROFILE: 'none' } })).code,
      4,
    );
  });

  it('does not hand it out for another origin', async () => {
    store();
    const result = await home.run(['token'], { env: { SALLYPORT_URL: 'https://llm.example.com' } });
    assert.deepEqual(result, {
      code: 4,
      stdout: '',
      stderr: '✗ You are not signed in to https://llm.example.com.  Run:  sallyport login\n',
    });
  });

  it('refuses a file that was renamed to serve another gateway', async () => {
    const { file } = store();
    writeFileSync(
      join(home.stateFolder, `default@${encodeURIComponent('https://llm.example.com')}.json`),
      readFileSync(file),
      { mode: 0o600 },
    );
    const result = await home.run(['token', '--gateway', 'https://llm.example.com']);
    assert.equal(result.code, 4);
    assert.equal(result.stdout, '');
    assert.match(result.stderr, /is damaged/);
  });
});

describe('sallyport token without a usable sign-in', () => {
  it('says in one line that nobody is signed in and how to, with exit code 4', async () => {
    const result = await token();
    assert.deepEqual(result, {
      code: 4,
      stdout: '',
      stderr: `✗ You are not signed in to ${gateway}.  Run:  sallyport login --gateway ${gateway}\n`,
    });
  });

  for (const [what, mode] of [
    ['file', 0o640],
    ['file', 0o604],
    ['folder', 0o750],
  ] as const) {
    it(`refuses a ${what} with mode ${mode.toString(8)} and gives the chmod to run`, async () => {
      const { file } = store();
      chmodSync(what === 'file' ? file : home.stateFolder, mode);
      const result = await token();
      assert.equal(result.code, 4);
      assert.equal(result.stdout, '');
      const command = /Close it: {2}(chmod (?:600|700) '[^']+')/.exec(result.stderr)?.[1];
      assert.equal(command, what === 'file' ? `chmod 600 '${file}'` : `chmod 700 '${home.stateFolder}'`);
    });
  }

  for (const [title, content] of [
    ['is empty', ''],
    ['is cut short', '{"version":1,"gateway":"http'],
    ['misses members', `{"version":1,"gateway":"${gateway}"}`],
    ['has another version', `{"version":2,"gateway":"${gateway}"}`],
  ] as const) {
    it(`refuses a file that ${title}`, async () => {
      const { file } = store();
      writeFileSync(file, content);
      const result = await token();
      assert.equal(result.code, 4);
      assert.match(result.stderr, /is damaged\.\n {2}Sign in again/);
    });
  }

  it('refuses a duration that is none', async () => {
    const result = await token('--min-ttl', 'soon');
    assert.equal(result.code, 2);
    assert.match(result.stderr, /Write it as 90s, 30m or 2h/);
  });
});

describe('sallyport token renews', () => {
  it('an expired token, and stores the rotated refresh token', async () => {
    const { file } = store({ gateway, expires_at: justExpired() });
    const result = await token();
    assert.equal(result.code, 0);
    assert.equal(result.stderr, '');
    assert.equal(result.stdout, `${readStored(file).access_token}\n`);
    assert.equal(readStored(file).refresh_token, 'refresh-1');
    assert.equal(issuer.count('refresh_token'), 1);
  });

  it('and keeps the old refresh token when the issuer sends no new one (RFC 6749 §6)', async () => {
    issuer.script.rotateRefreshToken = false;
    const { file } = store({ gateway, expires_at: justExpired() });
    await token();
    storeExpiryNow(file);
    await token();
    assert.equal(readStored(file).refresh_token, 'refresh-1');
  });

  it('early with --min-ttl', async () => {
    store({ gateway, expires_at: Math.floor(Date.now() / 1000) + 1_200 });
    await token();
    assert.equal(issuer.count('refresh_token'), 0);
    await token('--min-ttl', '30m');
    assert.equal(issuer.count('refresh_token'), 1);
  });

  it('once for twenty callers at the same time, who all get the same token', async () => {
    const { file } = store({ gateway, expires_at: justExpired() });
    issuer.script.refresh = 'hold';
    const calls = Promise.all(Array.from({ length: 20 }, () => token()));
    await issuer.refreshArrived();
    issuer.releaseRefresh();
    const results = await calls;
    assert.deepEqual(new Set(results.map((result) => result.code)), new Set([0]));
    assert.deepEqual(
      new Set(results.map((result) => result.stdout)),
      new Set([`${readStored(file).access_token}\n`]),
    );
    assert.equal(issuer.count('refresh_token'), 1);
  });

  it('after a refusal as reused or expired, says in one line to sign in, and asks only once', async () => {
    store({ gateway, expires_at: justExpired() });
    issuer.script.refresh = 'invalid_grant';
    const line = `✗ Your sign-in has ended at ${gateway}.  Run:  sallyport login --gateway ${gateway}\n`;
    assert.deepEqual(await token(), { code: 4, stdout: '', stderr: line });
    assert.deepEqual(await token(), { code: 4, stdout: '', stderr: line });
    assert.equal(issuer.count('refresh_token'), 1);
  });

  it('says which server does not answer, with exit code 8, and keeps the sign-in', async () => {
    const { file, session } = store({ gateway, expires_at: justExpired() });
    await issuer.close();
    const result = await token();
    assert.equal(result.code, 8);
    assert.match(result.stderr, /^✗ The sign-in server does not answer/);
    assert.deepEqual(readStored(file), session);
  });

  it('hands out a token that is valid for a moment more while the issuer is down', async () => {
    const { session } = store({ gateway, expires_at: Math.floor(Date.now() / 1000) + 45 });
    await issuer.close();
    assert.deepEqual(await token(), { code: 0, stdout: `${session.access_token}\n`, stderr: '' });
    assert.equal((await token('--min-ttl', '10m')).code, 8);
  });

  it('sends the refresh token to the endpoint it came from and nowhere else', async () => {
    store({ gateway, expires_at: justExpired() });
    await token();
    assert.deepEqual(
      issuer.requests.map((request) => request.path),
      ['/token'],
    );
  });
});

describe('a kill -9', () => {
  it('while the issuer is asked leaves the old file, and the next call is not blocked', async () => {
    const { file, session } = store({ gateway, expires_at: justExpired() });
    issuer.script.refresh = 'hold';
    const child = home.start(['token', '--gateway', gateway]);
    const done = finish(child);
    await issuer.refreshArrived();
    child.kill('SIGKILL');
    await done;
    assert.deepEqual(readStored(file), session);
    issuer.script.refresh = 'ok';
    assert.equal((await token()).code, 0);
  });

  it('at any moment leaves a whole file, old or new', async () => {
    const { file } = store({ gateway, expires_at: justExpired() });
    for (let attempt = 0; attempt < 8; attempt++) {
      issuer.script.refresh = 'hold';
      storeExpiryNow(file);
      const before = readStored(file).access_token;
      const child = home.start(['token', '--gateway', gateway]);
      const done = finish(child);
      await issuer.refreshArrived();
      issuer.releaseRefresh();
      setTimeout(() => child.kill('SIGKILL'), attempt * 3);
      await done;
      const after = readStored(file);
      assert.ok(after.access_token === before || after.refresh_token.startsWith('refresh-'));
    }
    issuer.script.refresh = 'ok';
    storeExpiryNow(file);
    assert.equal((await token()).code, 0);
    assert.ok(!existsSync(`${file}.new`));
  });
});

function storeExpiryNow(file: string): void {
  writeFileSync(file, JSON.stringify({ ...readStored(file), expires_at: justExpired() }), { mode: 0o600 });
}
