// HTTP Basic for local accounts (RFC 7617), with the real identity server behind the gateway: off unless named, never in clear
// text, never past a revocation.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TLSSocket } from 'node:tls';
import { pino } from 'pino';
import { GatewayError } from '../../../core/errors.ts';
import { parseBasic } from '../../../gateway/authenticate/basic/basic-credentials.ts';
import { PasswordVerifier } from '../../../gateway/authenticate/basic/password-verifier.ts';
import { basicSchema } from '../../../gateway/authenticate/basic/basic-policy.ts';
import { compileBasic, issuersSchema } from '../../../gateway/authenticate/index.ts';
import { loadBundle } from '../../../gateway/policies/bundle.ts';
import { createEvaluator } from '../../../gateway/policies/evaluation/evaluate.ts';
import { placedTests, runTests } from '../../../gateway/policies/evaluation/run-tests.ts';
import { readTestFile } from '../../../gateway/policies/evaluation/test-files.ts';
import type { PasswordAnswer } from '../../../gateway/authenticate/identity-api.ts';
import { anonymousPrincipal } from '../../../gateway/principal.ts';
import { startTestIdentity, type TestIdentity } from '../../identity/support.ts';
import { startTestGateway, type TestGateway, type TestGatewayOptions } from '../../support/start-gateway.ts';
import { context, goodFiles, writePolicies } from '../policies/policy-directory.ts';
import { refusalOf } from './authentication-under-test.ts';

const basic = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
const anchor = 'scp: { all: [LLM.Access] }\n';

let identity: TestIdentity;
before(async () => void (identity = await startTestIdentity()));
after(() => identity.close());

function start(section: string, more: Partial<TestGatewayOptions> = {}): Promise<TestGateway> {
  return startTestGateway({
    ...more,
    config: {
      embedded_issuer: identity.issuer,
      embedded_identity: { url: identity.base },
      assertion_jwks: join(identity.data, 'gateway-jwks.json'),
      ...more.config,
    },
    edit: { 'issuers.yaml': [[anchor, `${anchor}${section}`]], ...more.edit },
  });
}

interface Answer {
  readonly status: number;
  readonly code: string | undefined;
  readonly challenge: string;
  readonly headers: Headers;
  readonly record: Record<string, unknown>;
}

async function ask(at: TestGateway, headers: Record<string, string>): Promise<Answer> {
  const response = await fetch(`${at.url}/v1/models`, { headers });
  const body = (await response.json()) as { error?: { code: string } };
  const id = response.headers.get('x-request-id') ?? '';
  return {
    status: response.status,
    code: body.error?.code,
    challenge: response.headers.get('www-authenticate') ?? '',
    headers: response.headers,
    record: await recordOf(at, id),
  };
}

async function recordOf(at: TestGateway, id: string): Promise<Record<string, unknown>> {
  for (;;) {
    const line = readdirSync(at.auditFolder)
      .filter((name) => name.endsWith('.jsonl'))
      .flatMap((name) => readFileSync(join(at.auditFolder, name), 'utf8').split('\n').slice(0, -1))
      .find((each) => each.includes(id));
    if (line !== undefined) return JSON.parse(line) as Record<string, unknown>; // Our own record.
    await sleep(5);
  }
}

const outcome = ({ status, code, record }: Answer): unknown[] => [status, code, record['reason']];

describe('HTTP Basic where the policies name it', () => {
  let gateway: TestGateway;
  before(async () => void (gateway = await start('basic: { accounts: embedded }\n')));
  after(() => gateway.close());

  it('lets the holder of an account in, as the same principal that a token of hers names', async () => {
    const { username, password } = identity.administrator;
    const answer = await ask(gateway, { authorization: basic(username, password) });
    assert.equal(answer.status, 200);
    const issued = await fetch(`${identity.base}/token`, {
      method: 'POST',
      body: new URLSearchParams({ username, password }),
    });
    const { access_token: accessToken } = (await issued.json()) as { access_token: string };
    const byToken = await ask(gateway, { authorization: `Bearer ${accessToken}` });
    assert.equal(byToken.status, 200);
    assert.equal(answer.record['principal'], byToken.record['principal']);
    assert.equal(answer.record['issuer'], 'embedded');
  });

  it('writes no password anywhere', async () => {
    const { username, password } = identity.administrator;
    await ask(gateway, { authorization: basic(username, password) });
    for (const name of readdirSync(gateway.auditFolder))
      assert.ok(!readFileSync(join(gateway.auditFolder, name), 'utf8').includes(password));
    assert.ok(!identity.log.join('').includes(password));
  });

  it('is offered in the challenge, with its encoding', async () => {
    const answer = await ask(gateway, {});
    assert.equal(answer.code, 'missing_credentials');
    assert.match(answer.challenge, /^Bearer .*, Basic realm="sallyport", charset="UTF-8"$/);
  });

  it('refuses a wrong password and an unknown name alike', async () => {
    const wrong = await ask(gateway, { authorization: basic('nobody', 'x') });
    assert.deepEqual(outcome(wrong), [401, 'invalid_credentials', 'password']);
    assert.match(wrong.challenge, /Basic realm="sallyport", charset="UTF-8"$/);
    const account = await ask(gateway, { authorization: basic(identity.administrator.username, 'x') });
    assert.deepEqual(outcome(account), outcome(wrong));
  });

  it('answers 429 with Retry-After while guesses are throttled, also to the right password of that name', async () => {
    let answer = await ask(gateway, { authorization: basic('victim', 'guess') });
    for (let count = 0; count < 20 && answer.status === 401; count++)
      answer = await ask(gateway, { authorization: basic('victim', `guess-${count}`) });
    assert.deepEqual(outcome(answer), [429, 'rate_limit_exceeded', 'password_throttled']);
    assert.ok(Number(answer.headers.get('retry-after')) >= 1);
  });

  const malformed: [title: string, value: string][] = [
    ['no credentials', 'Basic'],
    ['no base64', 'Basic !!!'],
    ['base64 without its padding', `Basic ${Buffer.from('a:bc').toString('base64').replace(/=+$/, '')}`],
    ['base64url', 'Basic YT_-Yg=='],
    ['two words', 'Basic YTpi YTpi'],
    ['no colon', `Basic ${Buffer.from('ab').toString('base64')}`],
    ['no name', basic('', 'x')],
    ['no password', basic('a', '')],
    ['a line break', basic('a\n', 'x')],
    ['a NUL', basic('a', 'x\0')],
    ['Latin-1', `Basic ${Buffer.from('a:\xe9', 'latin1').toString('base64')}`],
    ['a byte order mark and nothing else', `Basic ${Buffer.from('\ufeff').toString('base64')}`],
    ['a name that is too long', basic('a'.repeat(129), 'x')],
    ['a password that is too long', basic('a', 'x'.repeat(1_025))],
  ];
  for (const [title, authorization] of malformed) {
    it(`refuses ${title} as malformed`, async () => {
      const answer = await ask(gateway, { authorization });
      assert.deepEqual(outcome(answer), [400, 'invalid_request', 'malformed_credentials']);
    });
  }

  it('reads names and passwords beyond ASCII, with colons in the password', () => {
    assert.deepEqual(parseBasic(basic('Zoë', 'a:b:ü')), { username: 'Zoë', password: 'a:b:ü' });
    assert.deepEqual(parseBasic(basic('a', 'b').replace('Basic', 'bASIC  ')), {
      username: 'a',
      password: 'b',
    });
  });

  it('refuses two credentials', async () => {
    const authorization = basic('a', 'b');
    assert.deepEqual(outcome(await ask(gateway, { authorization, 'api-key': 'x' })), [
      400,
      'invalid_request',
      'two_credentials',
    ]);
  });

  it('is not accepted from whoever forwards, over loopback too', async () => {
    const { username, password } = identity.administrator;
    for (const name of ['x-forwarded-for', 'forwarded', 'via', 'x-forwarded-proto']) {
      const answer = await ask(gateway, { authorization: basic(username, password), [name]: 'https' });
      assert.deepEqual(outcome(answer), [401, 'missing_credentials', 'basic_in_clear_text'], name);
      assert.doesNotMatch(answer.challenge, /Basic/);
    }
  });
});

describe('HTTP Basic elsewhere', () => {
  it('is no credential unless the policies name it', async (t) => {
    const gateway = await start('');
    t.after(() => gateway.close());
    const { username, password } = identity.administrator;
    const answer = await ask(gateway, { authorization: basic(username, password) });
    assert.deepEqual(outcome(answer), [401, 'missing_credentials', 'no_credentials']);
    assert.doesNotMatch(answer.challenge, /Basic/);
  });

  it('is refused on a route for sender-constrained credentials', async (t) => {
    const routes = [
      '/v1/models, methods: [GET], kind: models',
      '/v1/models, require: sender_constrained, methods: [GET], kind: models',
    ] as const;
    const gateway = await start('basic: { accounts: embedded }\n', {
      edit: {
        'routes.yaml': [routes],
        'issuers.yaml': [[anchor, `${anchor}basic: { accounts: embedded }\n`]],
      },
    });
    t.after(() => gateway.close());
    const { username, password } = identity.administrator;
    assert.deepEqual(outcome(await ask(gateway, { authorization: basic(username, password) })), [
      401,
      'invalid_token',
      'unbound',
    ]);
  });

  it('behind a proxy is accepted only where the policies say so', async (t) => {
    const gateway = await start('basic: { accounts: embedded, accept_behind_proxy: true }\n');
    t.after(() => gateway.close());
    const { username, password } = identity.administrator;
    const headers = { authorization: basic(username, password), 'x-forwarded-for': '198.51.100.1' };
    // Identity looks at most once a second whether a gateway has a new key.
    let answer = await ask(gateway, headers);
    while (answer.status === 503) answer = await sleep(200).then(() => ask(gateway, headers));
    assert.equal(answer.status, 200);
  });

  it('is 503 while identity cannot be asked, and never a yes', async (t) => {
    const gateway = await start('basic: { accounts: embedded }\n', {
      config: { embedded_issuer: identity.issuer, embedded_identity: { url: 'http://127.0.0.1:9' } },
    });
    t.after(() => gateway.close());
    const answer = await ask(gateway, { authorization: basic('admin', 'x') });
    assert.deepEqual(outcome(answer), [503, 'issuer_unavailable', 'password_check']);
  });

  it('has a closed set of settings', () => {
    assert.equal(basicSchema.safeParse({ accounts: 'embedded' }).success, true);
    for (const bad of [
      {},
      { accounts: 'ldap' },
      { accounts: 'embedded', cache: '2m' },
      { accounts: 'embedded', insecure: true },
    ])
      assert.equal(basicSchema.safeParse(bad).success, false, JSON.stringify(bad));
  });
});

describe('what is remembered of a password', () => {
  const credentials = { username: 'ada', password: 'right' };
  const principal = anonymousPrincipal('ada');

  function underTest(answers: (typed: string) => PasswordAnswer) {
    const state = { asked: 0, now: 0, revoked: false, maxAgeMs: 10_000 };
    const verifier = new PasswordVerifier({
      ask: ({ password }) => {
        state.asked++;
        return Promise.resolve(answers(password));
      },
      judge: (claims) => {
        if (claims['active'] !== true) throw new GatewayError('invalid_credentials', { reason: 'password' });
        return principal;
      },
      isRevoked: () => state.revoked,
      maxAgeMs: () => state.maxAgeMs,
      monotonic: () => state.now,
    });
    return { state, verifier };
  }
  const answerTo = (typed: string): PasswordAnswer => ({
    kind: 'claims',
    claims: { active: typed === 'right' },
  });

  it('is a good one, for the time that the policies say', async () => {
    const { state, verifier } = underTest(answerTo);
    for (let count = 0; count < 3; count++) await verifier.principalOf(credentials, '127.0.0.1');
    assert.equal(state.asked, 1);
    state.now = 10_000;
    await verifier.principalOf(credentials, '127.0.0.1');
    assert.equal(state.asked, 2);
  });

  it('is never a wrong one, and another password of the same name is another question', async () => {
    const { state, verifier } = underTest(answerTo);
    await verifier.principalOf(credentials, '127.0.0.1');
    for (let count = 0; count < 2; count++)
      await refusalOf(
        () => verifier.principalOf({ ...credentials, password: 'wrong' }, '127.0.0.1'),
        'invalid_credentials',
      );
    await refusalOf(
      () => verifier.principalOf({ username: 'ada\0right', password: 'x' }, '127.0.0.1'),
      'invalid_credentials',
    );
    assert.equal(state.asked, 4);
  });

  it('dies with a revocation, and is asked about anew', async () => {
    const { state, verifier } = underTest(answerTo);
    await verifier.principalOf(credentials, '127.0.0.1');
    state.revoked = true;
    await refusalOf(() => verifier.principalOf(credentials, '127.0.0.1'), 'credential_revoked');
    state.revoked = false;
    await verifier.principalOf(credentials, '127.0.0.1');
    assert.equal(state.asked, 3);
  });

  it('is asked about by a bounded number at a time', async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const verifier = new PasswordVerifier({
      ask: async () => {
        await held;
        return answerTo('right');
      },
      judge: () => principal,
      isRevoked: () => false,
      maxAgeMs: () => 0,
      monotonic: () => 0,
    });
    const all = Array.from({ length: 40 }, (_, index) =>
      verifier.principalOf({ username: `u${index}`, password: 'right' }, '127.0.0.1').then(
        () => 'in',
        (error: unknown) => (error instanceof GatewayError ? error.code : 'a bug'),
      ),
    );
    release();
    const codes = await Promise.all(all);
    assert.equal(codes.filter((code) => code === 'in').length, 16);
    assert.equal(codes.filter((code) => code === 'issuer_unavailable').length, 24);
  });
});

describe('the connection over which a password comes', () => {
  const policy = (more: Record<string, unknown> = {}) =>
    issuersSchema.parse({
      issuers: {
        embedded: { issuer: 'embedded', audiences: ['api://sallyport'], client_ids: { any: true } },
      },
      basic: { accounts: 'embedded', ...more },
    });
  const deps = { embeddedIssuer: 'http://127.0.0.1:8081/t/v2.0', log: pino({ level: 'silent' }) };
  const isSafe = (
    socket: { remoteAddress?: string | undefined; localAddress?: string | undefined },
    { headers = {}, more = {}, isBehindProxy = false } = {},
  ): boolean => {
    const request = { socket, headers } as unknown as IncomingMessage; // The two members that are looked at.
    return compileBasic(policy(more), deps, isBehindProxy)?.isSafeFor({ request }) === true;
  };
  const tls = Object.create(TLSSocket.prototype) as TLSSocket;
  const local = { remoteAddress: '127.0.0.1', localAddress: '127.0.0.1' };

  it('is TLS to this process, or loopback at both ends', () => {
    assert.equal(isSafe(tls), true);
    assert.equal(isSafe(local), true);
    assert.equal(isSafe({ remoteAddress: '::1', localAddress: '::1' }), true);
    assert.equal(isSafe({ remoteAddress: '::ffff:127.0.0.1', localAddress: '::ffff:127.0.0.1' }), true);
  });

  it('is not plain HTTP beyond loopback, at either end, nor one of an unknown kind', () => {
    for (const socket of [
      { remoteAddress: '192.0.2.1', localAddress: '192.0.2.2' },
      { remoteAddress: '127.0.0.1', localAddress: '192.0.2.2' },
      { remoteAddress: '192.0.2.1', localAddress: '127.0.0.1' },
      { remoteAddress: '::ffff:192.0.2.1', localAddress: '::1' },
      { remoteAddress: '1270.0.0.1', localAddress: '127.0.0.1' },
      {},
    ])
      assert.equal(isSafe(socket), false, JSON.stringify(socket));
  });

  it('is not loopback behind a proxy that the configuration or a header tells of, unless the policies accept that', () => {
    assert.equal(isSafe(local, { isBehindProxy: true }), false);
    assert.equal(isSafe(local, { headers: { 'x-forwarded-for': '192.0.2.1' } }), false);
    assert.equal(isSafe(local, { isBehindProxy: true, more: { accept_behind_proxy: true } }), true);
  });

  it('does not matter without an embedded issuer: nobody is known then', () => {
    assert.equal(compileBasic(policy(), { ...deps, embeddedIssuer: null }, false), null);
  });

  it('at a gateway behind a proxy is refused although it is loopback', async (t) => {
    const gateway = await start('basic: { accounts: embedded }\n', {
      config: { embedded_issuer: identity.issuer, tls_ends_at_proxy: true },
    });
    t.after(() => gateway.close());
    const { username, password } = identity.administrator;
    const answer = await ask(gateway, { authorization: basic(username, password) });
    assert.deepEqual(outcome(answer), [401, 'missing_credentials', 'basic_in_clear_text']);
  });
});

describe('passwords in the policies and their tests', () => {
  function inBundle(files: Readonly<Record<string, string>>, tests: string): string[] {
    const { directory, remove } = writePolicies(files);
    try {
      mkdirSync(join(directory, 'tests'));
      const path = join(directory, 'tests', 'some.yaml');
      writeFileSync(path, tests);
      const bundle = loadBundle(directory, context);
      const evaluator = createEvaluator({ bundle, context });
      const surroundings = { issuers: bundle.issuers, embeddedIssuer: context.embeddedIssuer };
      return runTests(placedTests([readTestFile(path)]), evaluator, surroundings).map(({ test, passed }) =>
        passed ? 'passed' : test.name,
      );
    } catch (error) {
      return [error instanceof Error ? error.message : 'a bug'];
    } finally {
      remove();
    }
  }
  const issuers = goodFiles['issuers.yaml'] ?? '';
  const named = { 'issuers.yaml': `${issuers}basic: { accounts: embedded }\n` };
  const expecting = (outcome: string): string =>
    `- { name: ada, as: { basic: ada, roles: [LLM.User] }, do: chat.completions.create, model: tiny-gpt2, expect: ${outcome} }\n`;

  it('a password is judged where the section is, and is no credential elsewhere', () => {
    assert.deepEqual(inBundle(named, expecting('permit')), ['passed']);
    assert.deepEqual(inBundle({}, expecting('missing_credentials')), ['passed']);
  });

  it('refuses the section without an entry whose accounts it could mean', () => {
    const foreign = issuers.replace('issuer: embedded', 'issuer: https://login.example');
    const [message = ''] = inBundle(
      { 'issuers.yaml': `${foreign}basic: { accounts: embedded }\n` },
      expecting('permit'),
    );
    assert.match(message, /basic\.accounts: the accounts are those of the entry with issuer: embedded/);
  });
});
