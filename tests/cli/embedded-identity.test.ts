// The command line against the embedded identity server itself: real device pages, real rotation, real reuse detection.
import assert from 'node:assert/strict';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { sessionFile, type Session } from '../../cli/sign-in/session-file.ts';
import { Browser, startTestIdentity, type TestIdentity } from '../identity/support.ts';
import { createHome, finish, type CliHome, type CliResult } from './support/run-cli.ts';
import { startGateway, type ScriptedGateway } from './support/scripted-servers.ts';
import { justExpired } from './support/stored-session.ts';

let identity: TestIdentity;
let gateway: ScriptedGateway;
let home: CliHome;

before(async () => {
  identity = await startTestIdentity();
  gateway = await startGateway(identity.issuer);
});
after(async () => {
  await gateway.close();
  await identity.close();
});
beforeEach(() => {
  home = createHome();
});
afterEach(() => home.remove());

const file = () => sessionFile({ gateway: gateway.url, profile: 'default' }, home.stateFolder);
const stored = () => JSON.parse(readFileSync(file(), 'utf8')) as Session;
const change = (changes: Partial<Session>) =>
  writeFileSync(file(), JSON.stringify({ ...stored(), ...changes }));
const token = () => home.run(['token', '--gateway', gateway.url]);

describe('with the embedded identity server', () => {
  it('login signs in once the person has confirmed the code on the page', async () => {
    const { result, page } = await login('grant');
    assert.equal(result.code, 0);
    assert.match(result.stderr, /^✓ Signed in as admin {5}roles .*LLM\.Admin/m);
    assert.match(result.stderr, /^ {2}renewed by itself until \d+ [A-Z][a-z]+( \d{4})?; stored in /m);
    assert.match(page, /sallyport\/\d+\.\d+\.\d+ \([^)]+\)/);
    assert.equal(stored().issuer, identity.issuer);
    assert.ok(!('namedBy' in stored()), 'how the address was named is not part of the sign-in');
  });

  it('login says that the person refused', async () => {
    const { result } = await login('deny');
    assert.equal(result.code, 4);
    assert.match(result.stderr, /^✗ The sign-in was denied on the page\.$/m);
  });

  it('token renews, and twenty callers at once raise no reuse alarm', async () => {
    await login('grant');
    change({ expires_at: justExpired() });
    const results = await Promise.all(Array.from({ length: 20 }, token));
    assert.deepEqual(new Set(results.map((result) => result.stderr)), new Set(['']));
    assert.deepEqual(
      new Set(results.map((result) => result.stdout)),
      new Set([`${stored().access_token}\n`]),
    );
    change({ expires_at: justExpired() });
    assert.equal((await token()).code, 0);
  });

  it('token with a refresh token that was used before asks to sign in', async () => {
    await login('grant');
    const first = stored().refresh_token;
    change({ expires_at: justExpired() });
    await token();
    assert.notEqual(stored().refresh_token, first);
    change({ expires_at: justExpired(), refresh_token: first });
    const result = await token();
    assert.equal(result.code, 4);
    assert.match(result.stderr, /^✗ Your sign-in has ended at .*Run: {2}sallyport login/);
  });

  it('logout revokes, so that a copy of the file is worth nothing', async () => {
    await login('grant');
    const copy = { ...stored(), expires_at: justExpired() };
    assert.equal((await home.run(['logout', '--gateway', gateway.url])).code, 0);
    writeFileSync(file(), JSON.stringify(copy), { mode: 0o600 });
    assert.equal((await token()).code, 4);
  });

  it('doctor finds issuer, clock and sign-in in order', async () => {
    await login('grant');
    const { stdout, code } = await home.run(['doctor', '--gateway', gateway.url, '--json']);
    const findings: { check: string; status: string }[] = JSON.parse(stdout);
    assert.deepEqual(
      findings.filter((finding) => finding.status === 'problem'),
      [],
    );
    assert.equal(code, 0);
  });
});

/** Signs in as a person would: starts the command, opens the page, types the code, signs in, decides. */
async function login(decision: 'grant' | 'deny'): Promise<{ result: CliResult; page: string }> {
  const child = home.start(['login', '--gateway', gateway.url]);
  child.stdin.end();
  const done = finish(child);
  const { address, code } = await shownCode(child);
  const browser = await new Browser(identity.base).open(address);
  await browser.submit({ user_code: code });
  await browser.submit(identity.administrator);
  const page = browser.html;
  await browser.submit({ decision });
  return { result: await done, page };
}

function shownCode(child: ChildProcessWithoutNullStreams): Promise<{ address: string; code: string }> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stderr.on('data', (chunk: string) => {
      text += chunk;
      const [, address, code] = /Open +(\S+)[^]*Enter +(\S+)\n/.exec(text) ?? [];
      if (address !== undefined && code !== undefined) resolve({ address, code });
    });
    child.on('close', () => reject(new Error(text)));
  });
}
