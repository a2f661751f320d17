// `sallyport login` against a scripted issuer: the transcript, the JSON events, and each way to fail.
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { deviceLogin } from '../../cli/sign-in/device-login.ts';
import { createHome, finish, waitFor, type CliHome } from './support/run-cli.ts';
import {
  startGateway,
  startIssuer,
  type ScriptedGateway,
  type ScriptedIssuer,
} from './support/scripted-servers.ts';

let home: CliHome;
let issuer: ScriptedIssuer;
let gateway: ScriptedGateway;

beforeEach(async () => {
  home = createHome();
  issuer = await startIssuer();
  gateway = await startGateway(issuer.url);
});
afterEach(async () => {
  home.remove();
  await issuer.close();
  await gateway.close();
});

const login = (...words: string[]) => home.run(['login', '--gateway', gateway.url, ...words]);
const mask = (text: string) =>
  text
    .replaceAll(gateway.url, '{gateway}')
    .replaceAll(issuer.origin, '{issuer}')
    .replaceAll(home.stateFolder, '{state}')
    .replaceAll('~/state', '{state}');
const sessionPath = () => join(home.stateFolder, `default@${encodeURIComponent(gateway.url)}.json`);

describe('sallyport login', () => {
  it('prints address and code, waits, and says who signed in, all on stderr', async () => {
    issuer.script.polls = ['authorization_pending', 'authorization_pending', 'ok'];
    const result = await login();
    assert.equal(result.stdout, '');
    assert.equal(
      mask(result.stderr),
      [
        'Sign in to {gateway}',
        '',
        '  1. Open     {issuer}/device      in a browser on this machine',
        '  2. Enter    WDJB-MJHT',
        '',
        "Go on only if that page shows the same code and this computer's name.",
        'Waiting for up to 10:00 minutes.',
        '',
        '✓ Signed in as admin     roles LLM.Admin, LLM.User',
        '  renewed by itself; stored in {state}',
        '',
        'Next:  sallyport chat "The future of AI is"',
        '',
      ].join('\n'),
    );
    assert.equal(result.code, 0);
  });

  it('stores the sign-in 0600 in a 0700 folder and leaves no draft', async () => {
    await login();
    assert.equal(statSync(home.stateFolder).mode & 0o777, 0o700);
    assert.equal(statSync(sessionPath()).mode & 0o777, 0o600);
    const session = JSON.parse(readFileSync(sessionPath(), 'utf8'));
    assert.equal(session.gateway, gateway.url);
    assert.equal(session.issuer, issuer.url);
    assert.equal(session.refresh_token, 'refresh-1');
  });

  it('asks for the scopes of the gateway with the client that it names', async () => {
    await login();
    const form = new URLSearchParams(issuer.requests.find((request) => request.path === '/devicecode')?.body);
    assert.equal(form.get('client_id'), '5a11b0a7-0000-4000-8000-000000000001');
    assert.equal(form.get('scope'), 'openid profile offline_access api://sallyport/LLM.Access');
  });

  it('remembers the gateway, so that later commands need no flag', async () => {
    await login();
    const result = await home.run(['token']);
    assert.equal(result.code, 0);
  });

  it('emits two events with --json and says nothing else', async () => {
    const result = await login('--json');
    const events = result.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      events.map((event) => event.event),
      ['device_code', 'signed_in'],
    );
    assert.equal(events[0].user_code, 'WDJB-MJHT');
    assert.equal(events[0].verification_uri, `${issuer.origin}/device`);
    assert.match(events[0].expires_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.deepEqual(events[1].roles, ['LLM.User', 'LLM.Admin']);
    assert.equal(events[1].subject, 'subject-1');
    assert.equal(result.stderr, '');
  });

  it('prints no secret anywhere', async () => {
    const result = await login('--json');
    assert.doesNotMatch(result.stdout + result.stderr, /device-code-1|refresh-1|c2lnbmF0dXJl/);
  });

  it('shows a QR code between address and code when another device can open the address', async () => {
    issuer.script.verificationHost = 'https://login.example.com';
    const result = await login();
    assert.match(result.stderr, /1\. Open {5}https:\/\/login\.example\.com\/device[\s\S]+█[\s\S]+2\. Enter/);
  });

  it('shows no QR code for an address of this machine, unless asked', async () => {
    assert.doesNotMatch((await login()).stderr, /█/);
    assert.match((await login('--qr')).stderr, /█/);
  });

  it('writes no escape byte when piped', async () => {
    const result = await home.run(['login', '--gateway', gateway.url, '--qr'], { env: { FORCE_COLOR: '1' } });
    assert.ok(!(result.stdout + result.stderr).includes('\u001b'));
  });

  it('answers Ctrl-C with 130 and stores nothing', async () => {
    issuer.script.polls = ['authorization_pending'];
    const child = home.start(['login', '--gateway', gateway.url]);
    const done = finish(child);
    await waitFor(child, /Waiting/);
    child.kill('SIGINT');
    assert.equal((await done).code, 130);
    assert.throws(() => statSync(sessionPath()));
  });
});

describe('sallyport login says each failure in its own sentence', () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['expired_token', 'the code expired', /^✗ The code expired before anybody confirmed it\.$/m],
    ['access_denied', 'the person said no', /^✗ The sign-in was denied on the page\.$/m],
    [
      'invalid_grant',
      'the account is locked',
      /^✗ The sign-in was not granted: the account is locked, or the code was already used\.$/m,
    ],
    [
      'invalid_client',
      'the client is unknown',
      /^✗ The sign-in server does not know this program \(client id\)\.$/m,
    ],
    [
      'strange_error',
      'the issuer says something else',
      /^✗ The sign-in server refused the sign-in \(strange_error\)\.$/m,
    ],
  ];
  for (const [error, title, sentence] of cases) {
    it(`when ${title}`, async () => {
      issuer.script.polls = ['authorization_pending', error];
      const result = await login();
      assert.match(result.stderr, sentence);
      assert.equal(result.code, 4);
      assert.throws(() => statSync(sessionPath()));
    });
  }

  it('when the code runs out while polling', async () => {
    issuer.script.expiresIn = 1;
    issuer.script.polls = ['authorization_pending'];
    const result = await login();
    assert.match(result.stderr, /^✗ The code expired before anybody confirmed it\.$/m);
    assert.equal(result.code, 4);
  });

  it('when nothing listens at the address', async () => {
    const url = gateway.url;
    await gateway.close();
    const result = await login();
    assert.equal(
      result.stderr,
      `✗ Nothing answers at ${url}.\n  Is it running?  npm start\n  Another address:  --gateway URL,  or SALLYPORT_URL.  To look closer:  sallyport doctor\n`,
    );
    assert.equal(result.code, 8);
  });

  it('when something else than a gateway answers', async () => {
    gateway.resource = null;
    const result = await login();
    assert.match(
      result.stderr,
      /^✗ Something answers at http:\/\/127\.0\.0\.1:\d+, but it is not a Sallyport gateway\.$/m,
    );
    assert.equal(result.code, 8);
  });

  it('when the issuer is down', async () => {
    await issuer.close();
    const result = await login();
    assert.match(result.stderr, /^✗ The sign-in server does not answer: http:\/\/127\.0\.0\.1:\d+$/m);
    assert.equal(result.code, 8);
  });

  it('when the gateway calls itself something else (RFC 9728 §3.3), naming the right address', async () => {
    gateway.resource = { ...gateway.resource, resource: 'https://llm.example.com' };
    const result = await login();
    assert.match(
      result.stderr,
      /calls itself https:\/\/llm\.example\.com\.\n {2}Use that address: {2}--gateway https:\/\/llm\.example\.com/,
    );
    assert.equal(result.code, 8);
  });

  it('when the metadata names another issuer (RFC 8414 §3.3)', async () => {
    issuer.script.metadataIssuer = 'https://evil.example.com';
    const result = await login();
    assert.match(result.stderr, /does not describe itself as that issuer/);
    assert.equal(issuer.requests.filter((request) => request.method === 'POST').length, 0);
    assert.equal(result.code, 8);
  });

  it('when an endpoint is plain HTTP beyond this machine, and sends nothing there', async () => {
    issuer.script.metadata = { token_endpoint: 'http://192.0.2.1/token' };
    const result = await login();
    assert.match(result.stderr, /token_endpoint that was announced is neither https nor on this machine/);
    assert.equal(result.code, 8);
  });

  it('when the gateway itself is plain HTTP beyond this machine', async () => {
    const result = await home.run(['login', '--gateway', 'http://llm.example.com']);
    assert.match(result.stderr, /^✗ http:\/\/llm\.example\.com is plain HTTP beyond this machine/);
    assert.equal(result.code, 2);
  });

  it('when the address is no URL', async () => {
    const result = await home.run(['login', '--gateway', 'nonsense']);
    assert.match(result.stderr, /^✗ The gateway address from --gateway is no plain http\(s\) URL\.$/m);
    assert.equal(result.code, 2);
  });

  it('when control characters come in an error code, they do not reach the terminal', async () => {
    issuer.script.polls = ['\u001b]0;owned\u0007'];
    const result = await login();
    assert.ok(!result.stderr.includes('\u001b'));
    assert.equal(result.code, 4);
  });
});

describe('device polling', () => {
  const poll = async (polls: string[], interval = 2) => {
    issuer.script.polls = polls;
    issuer.script.interval = interval;
    const waits: number[] = [];
    const network: boolean[] = [];
    const outcome = await deviceLogin({
      key: { gateway: gateway.url, profile: 'default' },
      fetch,
      signal: new AbortController().signal,
      sleep: (ms) => {
        waits.push(ms);
        return Promise.resolve();
      },
      onCode: () => undefined,
      onNetwork: (lost) => network.push(lost),
    }).catch((error: unknown) => error);
    return { waits, network, outcome };
  };

  it('waits for the interval before every poll, the first included', async () => {
    const { waits } = await poll(['authorization_pending', 'authorization_pending', 'ok'], 3);
    assert.deepEqual(waits, [3_000, 3_000, 3_000]);
    assert.equal(issuer.count('urn:ietf:params:oauth:grant-type:device_code'), 3);
  });

  it('adds five seconds for each slow_down, for good (RFC 8628 §3.5)', async () => {
    const { waits } = await poll([
      'authorization_pending',
      'slow_down',
      'authorization_pending',
      'slow_down',
      'ok',
    ]);
    assert.deepEqual(waits, [2_000, 2_000, 7_000, 7_000, 12_000]);
  });

  it('rides out a lost connection with growing waits, and says so', async () => {
    const { waits, network, outcome } = await poll(['drop', 'drop', 'authorization_pending', 'ok']);
    assert.deepEqual(waits, [2_000, 3_000, 5_000, 2_000]);
    assert.deepEqual(network, [true, false]);
    assert.equal((outcome as { username: string }).username, 'admin');
  });
});
