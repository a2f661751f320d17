// Step-up from end to end: a rule asks for a recent sign-in, the command line obeys it, the embedded identity asks the person
// again, and the new access token satisfies the rule while the old one still does not (RFC 9470; R4 and R5 of the security
// reference).
import assert from 'node:assert/strict';
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { packageRoot } from '../../core/package.ts';
import { createHome, finish, type CliHome } from '../cli/support/run-cli.ts';
import { Browser, startTestIdentity, type TestIdentity } from '../identity/support.ts';
import { startTestGateway, type TestGateway } from '../support/start-gateway.ts';

const maxAgeSeconds = 20;

let identity: TestIdentity;
let gateway: TestGateway;
let home: CliHome;
let browser: Browser;
before(async () => {
  identity = await startTestIdentity();
  gateway = await startTestGateway({
    config: { embedded_issuer: identity.issuer },
    edit: {
      'rules.yaml': [
        [
          'rules: []',
          `rules:\n  - { name: recent-sign-in, actions: [models.list], require: { max_age: ${maxAgeSeconds}s } }`,
        ],
      ],
    },
  });
  home = createHome();
  browser = new Browser(identity.base);
});
after(async () => {
  home.remove();
  await Promise.all([gateway.close(), identity.close()]);
});

const main = join(packageRoot, 'cli/main.ts');

/** Runs a command under a pseudo-terminal. */
function onTerminal(...words: string[]): ChildProcessWithoutNullStreams {
  const quoted = [process.execPath, main, ...words].map((word) => `'${word}'`).join(' ');
  return spawn('/usr/bin/script', ['-qefc', quoted, '/dev/null'], {
    env: { ...home.env, TERM: 'xterm', SHELL: '/bin/sh' },
    cwd: home.folder,
  });
}

/** The code that a command shows, once it does. */
function shownCode(child: ChildProcessWithoutNullStreams): Promise<string> {
  return new Promise((resolve, reject) => {
    let seen = '';
    const read = (chunk: Buffer): void => {
      seen += chunk.toString();
      const code = /(?<![A-Z])[B-Z]{4}-[B-Z]{4}(?![A-Z])/.exec(seen)?.[0];
      if (code !== undefined) resolve(code);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.on('close', () => reject(new Error(`no code was shown: ${seen}`)));
  });
}

/** What the person does in the one browser: types the code, signs in if asked to, presses the button. */
async function approve(code: string): Promise<boolean> {
  await browser.open('/device');
  await browser.submit({ user_code: code });
  const hadToSignIn = browser.heading() === 'Sign in';
  if (hadToSignIn) await browser.submit(identity.administrator);
  await browser.submit({ decision: 'grant' });
  assert.equal(browser.heading(), 'You are signed in', browser.html);
  return hadToSignIn;
}

function storedAccessToken(): string {
  const name = readdirSync(home.stateFolder).find((each) => each.startsWith('default@')) ?? '';
  return JSON.parse(readFileSync(join(home.stateFolder, name), 'utf8')).access_token;
}

describe('a rule that asks for a recent sign-in', () => {
  let old = '';

  it('is satisfied by a sign-in a moment ago', async () => {
    const child = home.start(['login', '--gateway', gateway.url]);
    const done = finish(child);
    assert.equal(await approve(await shownCode(child)), true);
    assert.equal((await done).code, 0);
    const { code, stderr } = await home.run(['whoami']);
    assert.equal(code, 0, stderr);
    old = storedAccessToken();
  });

  it('later ends a command off a terminal with 4 and the command to run', async () => {
    await sleep(maxAgeSeconds * 1_000 + 1_000);
    const { code, stderr } = await home.run(['whoami']);
    assert.equal(code, 4);
    assert.match(stderr, new RegExp(`Sign in again: {2}sallyport login --max-age ${maxAgeSeconds}$`, 'm'));
  });

  it(
    'on a terminal makes the person type the password again, and then the command goes on',
    { skip: existsSync('/usr/bin/script') ? false : 'script(1) is not installed' },
    async () => {
      const child = onTerminal('whoami');
      const done = finish(child);
      // The browser is still signed in: without max_age it would not be asked.
      assert.equal(await approve(await shownCode(child)), true);
      const { code, stdout } = await done;
      assert.equal(code, 0, stdout);
      assert.match(stdout, /Signed in as admin/);
      assert.match(stdout, /tiny-gpt2/);
      assert.notEqual(storedAccessToken(), old);
      const headers = { authorization: `Bearer ${old}` };
      const answer = await fetch(`${gateway.url}/v1/models`, { headers });
      assert.equal(answer.status, 401);
      assert.match(answer.headers.get('www-authenticate') ?? '', /insufficient_user_authentication/);
    },
  );
});
