// The command line obeys a gateway that asks for a stronger or more recent sign-in (RFC 9470): on a terminal it signs in again
// and repeats the request once; elsewhere it says the exact command and exits with 4.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { isAcrValues, parseMaxAge, stepUpFlags, stepUpOf } from '../../cli/sign-in/step-up.ts';
import { createHome, finish, type CliHome } from './support/run-cli.ts';
import {
  startGateway,
  startIssuer,
  type GatewayHandler,
  type ScriptedGateway,
  type ScriptedIssuer,
} from './support/scripted-servers.ts';
import { storeSession } from './support/stored-session.ts';

let home: CliHome;
let issuer: ScriptedIssuer;
let gateway: ScriptedGateway;

beforeEach(async () => {
  home = createHome();
  issuer = await startIssuer();
  gateway = await startGateway(issuer.url);
  storeSession(home.stateFolder, { gateway: gateway.url, issuer: issuer.url });
});
afterEach(async () => {
  home.remove();
  await issuer.close();
  await gateway.close();
});

const challenge =
  'Bearer realm="sallyport", error="insufficient_user_authentication", error_description="Sign in again.", acr_values="urn:example:gold silver", max_age="60", resource_metadata="http://x/y"';

/** Refuses until the token is another one than at first; or always. */
function refusing(always = false): GatewayHandler {
  let first: string | undefined;
  return ({ headers }, response) => {
    first ??= headers.authorization;
    if (always || headers.authorization === first) {
      const error = {
        message: 'This needs a stronger or more recent sign-in. Sign in again.',
        type: 'x',
        param: null,
      };
      response.writeHead(401, {
        'content-type': 'application/json',
        'www-authenticate': challenge,
        'x-request-id': 'req_1',
      });
      response.end(JSON.stringify({ error: { ...error, code: 'insufficient_user_authentication' } }));
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ object: 'list', data: [{ id: 'tiny-gpt2', object: 'model' }] }));
  };
}

describe('a challenge for another sign-in', () => {
  it('is read whatever stands around it', () => {
    assert.deepEqual(stepUpOf(challenge), { acrValues: 'urn:example:gold silver', maxAge: 60 });
    assert.deepEqual(stepUpOf('DPoP error="insufficient_user_authentication",max_age="0", algs="ES256"'), {
      acrValues: null,
      maxAge: 0,
    });
  });

  it('is none with another error, none at all, or at an absurd length', () => {
    for (const value of [
      null,
      '',
      'Bearer realm="x"',
      'Bearer error="invalid_token", max_age="1"',
      `${challenge}${'x'.repeat(5_000)}`,
    ])
      assert.equal(stepUpOf(value), null);
  });

  it('loses values that no shell and no issuer should see', () => {
    for (const bad of ["a'; rm -rf ~'", 'a\u0007b', 'a\\\\b', 'x'.repeat(513), ' a', 'a  b'])
      assert.equal(isAcrValues(bad), false, bad);
    for (const bad of ['-1', '1.5', '1e3', '', '9999999999']) assert.equal(parseMaxAge(bad), null, bad);
    const hostile = `Bearer error="insufficient_user_authentication", acr_values="$(reboot)' x", max_age="1;ls"`;
    assert.deepEqual(stepUpOf(hostile), { acrValues: null, maxAge: null });
  });

  it('is shown as flags that a shell reads as they are meant', () => {
    assert.equal(
      stepUpFlags({ acrValues: 'urn:example:gold', maxAge: 60 }),
      ' --acr urn:example:gold --max-age 60',
    );
    assert.equal(stepUpFlags({ acrValues: '$(id) `id` !x', maxAge: null }), " --acr '$(id) `id` !x'");
    assert.equal(stepUpFlags({ acrValues: null, maxAge: null }), '');
  });
});

describe('off a terminal', () => {
  it('a request that needs another sign-in ends with 4 and the exact command', async () => {
    gateway.handlers['/v1/models'] = refusing();
    const result = await home.run(['whoami', '--gateway', gateway.url]);
    assert.equal(result.code, 4);
    assert.ok(
      result.stderr.includes(
        `Sign in again:  sallyport login --gateway ${gateway.url} --acr 'urn:example:gold silver' --max-age 60`,
      ),
      result.stderr,
    );
    assert.equal(issuer.requests.filter(({ path }) => path === '/devicecode').length, 0);
  });

  it('that command asks the issuer for exactly this', async () => {
    const result = await home.run([
      ...['login', '--gateway', gateway.url, '--acr', 'urn:example:gold silver', '--max-age', '60'],
    ]);
    assert.equal(result.code, 0, result.stderr);
    const form = new URLSearchParams(issuer.requests.find(({ path }) => path === '/devicecode')?.body);
    assert.deepEqual([form.get('acr_values'), form.get('max_age')], ['urn:example:gold silver', '60']);
  });

  it('a usual sign-in asks for neither', async () => {
    await home.run(['login', '--gateway', gateway.url]);
    const form = new URLSearchParams(issuer.requests.find(({ path }) => path === '/devicecode')?.body);
    assert.deepEqual([form.has('acr_values'), form.has('max_age')], [false, false]);
  });

  for (const flags of [
    ['--acr', "it's"],
    ['--acr', ''],
    ['--max-age', '-1'],
    ['--max-age', '1h'],
  ]) {
    it(`refuses login ${flags.join(' ')}`, async () => {
      assert.equal((await home.run(['login', '--gateway', gateway.url, ...flags])).code, 2);
    });
  }
});

describe(
  'on a terminal',
  { skip: existsSync('/usr/bin/script') ? false : 'script(1) is not installed' },
  () => {
    /** Runs the command line under a pseudo-terminal. */
    async function onTerminal(...words: string[]): Promise<{ code: number | null; stdout: string }> {
      const quoted = [process.execPath, join(import.meta.dirname, '../../cli/main.ts'), ...words].map(
        (word) => `'${word}'`,
      );
      const child = spawn('/usr/bin/script', ['-qefc', quoted.join(' '), '/dev/null'], {
        env: { ...home.env, TERM: 'xterm', SHELL: '/bin/sh' },
        cwd: home.folder,
      });
      return finish(child);
    }

    it('a person signs in again with what was asked, and the request is repeated', async () => {
      gateway.handlers['/v1/models'] = refusing();
      const result = await onTerminal('whoami', '--gateway', gateway.url);
      assert.equal(result.code, 0, result.stdout);
      assert.match(result.stdout, /The gateway asks for a stronger or more recent sign-in\./);
      assert.match(result.stdout, /WDJB-MJHT/);
      assert.match(result.stdout, /Signed in as admin/);
      assert.match(result.stdout, /tiny-gpt2/);
      const form = new URLSearchParams(issuer.requests.find(({ path }) => path === '/devicecode')?.body);
      assert.deepEqual([form.get('acr_values'), form.get('max_age')], ['urn:example:gold silver', '60']);
      const name = `default@${encodeURIComponent(gateway.url)}.json`;
      assert.equal(JSON.parse(readFileSync(join(home.stateFolder, name), 'utf8')).refresh_token, 'refresh-1');
    });

    it('a sign-in that is still not enough is not asked for a second time', async () => {
      gateway.handlers['/v1/models'] = refusing(true);
      const result = await onTerminal('whoami', '--gateway', gateway.url);
      assert.equal(result.code, 4, result.stdout);
      assert.match(result.stdout, /still not what the gateway asks for/);
      assert.equal(issuer.requests.filter(({ path }) => path === '/devicecode').length, 1);
    });

    it('a denied sign-in ends the command', async () => {
      gateway.handlers['/v1/models'] = refusing();
      issuer.script.polls = ['access_denied'];
      const result = await onTerminal('whoami', '--gateway', gateway.url);
      assert.equal(result.code, 4, result.stdout);
      assert.match(result.stdout, /denied on the page/);
    });

    it('doctor asks nobody', async () => {
      gateway.handlers['/v1/models'] = refusing();
      await onTerminal('doctor', '--gateway', gateway.url);
      assert.equal(issuer.requests.filter(({ path }) => path === '/devicecode').length, 0);
    });
  },
);
