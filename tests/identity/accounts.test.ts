import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { generateKeyPair, SignJWT } from 'jose';
import { pino } from 'pino';
import { generatePassword } from '../../identity/accounts/generated-password.ts';
import { hashPassword, passwordProblem, verifyPassword } from '../../identity/accounts/password.ts';
import { words } from '../../identity/accounts/words.ts';
import { grantRole, openForAdministration, resetPassword } from '../../identity/administration.ts';
import { identityConfigSchema } from '../../identity/config.ts';
import { startIdentity } from '../../identity/server.ts';
import { gatewayOf } from './gateway-assertion.ts';
import {
  claimsOf,
  clientId,
  postForm,
  postJson,
  refresh,
  signInWithDevice,
  startTestIdentity,
  tenant,
  type TestIdentity,
} from './support.ts';

const password = 'correct horse battery staple';

/** Publishes a gateway's key and answers a signer of its assertions for somebody with roles. */
async function signerFor(identity: TestIdentity) {
  const gateway = await gatewayOf(identity);
  return (roles: string[], change: { audience?: string; expires?: string } = {}) =>
    gateway.assertion({ subject: 'someone', client: clientId(1), roles, ...change });
}

describe('registering (POST /users)', () => {
  let identity: TestIdentity;
  before(async () => {
    identity = await startTestIdentity();
  });
  after(() => identity.close());
  const register = (body: unknown, headers: Record<string, string> = {}) =>
    postJson(`${identity.base}/users`, body, headers);

  it('creates an account with the role LLM.User and shows no secret', async () => {
    const { status, body } = await register({
      username: 'Ada',
      password,
      email: 'ada@example.org',
      full_name: 'Ada Lovelace',
    });
    assert.equal(status, 201);
    assert.equal(body.username, 'Ada');
    assert.equal(body.role, 'LLM.User');
    assert.equal(body.full_name, 'Ada Lovelace');
    assert.doesNotMatch(JSON.stringify(body), /argon2|hash|horse/);
  });

  it('refuses a user name that is taken, in any spelling', async () => {
    await register({ username: 'grace', password });
    for (const username of ['grace', 'GRACE', 'ｇrace']) {
      const { status, body, headers } = await register({ username, password });
      assert.equal(status, 400);
      assert.equal(body.detail, 'Username already registered');
      assert.match(headers.get('content-type') ?? '', /^application\/problem\+json/);
    }
  });

  it('refuses a privileged role and says how an administrator grants it', async () => {
    for (const role of ['admin', 'LLM.Admin', 'owner']) {
      const { status, body } = await register({ username: `wants-${role.toLowerCase()}`, password, role });
      assert.equal(status, 403);
      assert.match(body.detail, /sallyport account grant wants-/);
    }
    assert.equal(
      (await postForm(`${identity.base}/token`, { username: 'wants-admin', password })).status,
      401,
      'no account came of it',
    );
  });

  it('takes the roles that everybody has by either name', async () => {
    assert.equal((await register({ username: 'plain1', password, role: 'user' })).body.role, 'LLM.User');
    assert.equal((await register({ username: 'plain2', password, role: 'LLM.User' })).body.role, 'LLM.User');
  });

  it('refuses members that nobody offers, bad types and bad values, and creates nothing', async () => {
    const bad = [
      { username: 'mass', password, roles: ['LLM.Admin'] },
      { username: 'mass', password, isAdmin: true },
      { username: 'mass', password, id: '1' },
      { username: 'mass', password, tenant_id: 'x' },
      '{"username":"mass","password":"correct horse battery staple","__proto__":{"role":"admin"}}',
      { username: ['mass'], password },
      { username: 'mass' },
      { password },
      { username: 'mass', password: 12345678 },
      { username: 'mass', password, email: 'not an address' },
      { username: 'mass', password, email: 'a@evil@good.example' },
      { username: 'ma', password },
      { username: 'mass assignment', password },
      { username: '<b>mass', password },
      { username: 'mass\u0000', password },
      [],
      'null',
      '{"username":',
      '"mass"',
    ];
    const base = await startTestIdentity();
    try {
      for (const body of bad) {
        const { status } = await postJson(`${base.base}/users`, body);
        assert.equal(status, 400, JSON.stringify(body));
      }
      assert.equal((await postForm(`${base.base}/token`, { username: 'mass', password })).status, 401);
      assert.equal(({} as Record<string, unknown>)['role'], undefined);
    } finally {
      await base.close();
    }
  });

  it('refuses weak passwords by length and commonness, not by character classes', () => {
    for (const weak of [
      'short',
      'sev3n!!',
      'password',
      'Password1',
      'QWERTY123',
      '12345678',
      'aaaaaaaaaaaa',
      'abababababab',
      'sallyport123',
      'ada12345',
      'x'.repeat(257),
    ]) {
      assert.notEqual(passwordProblem(weak, 'ada'), null, weak.slice(0, 20));
    }
    for (const fine of [
      'correct horse battery staple',
      'nur kleine buchstaben',
      '🦊 und Füchse',
      'x7'.repeat(3) + 'quay',
    ]) {
      assert.equal(passwordProblem(fine, 'ada'), null, fine);
    }
  });

  it('keeps every character of a long password', async () => {
    const long = `${'a long sentence that goes on '.repeat(4)}END`;
    const hash = await hashPassword(long);
    assert.match(hash, /^\$argon2id\$/);
    assert.equal(await verifyPassword(hash, long), true);
    assert.equal(await verifyPassword(hash, long.slice(0, -1)), false);
    assert.equal(await verifyPassword(hash, long.slice(0, 72)), false);
    assert.equal(await verifyPassword(hash, long.toLowerCase()), false);
    assert.equal(await verifyPassword(hash, 'x'.repeat(1_000_000)), false);
  });

  it('refuses another content type, a large body, and other methods', async () => {
    const send = (body: string, type: string) =>
      fetch(`${identity.base}/users`, { method: 'POST', body, headers: { 'content-type': type } });
    assert.equal((await send('username=x&password=y', 'application/x-www-form-urlencoded')).status, 415);
    assert.equal(
      (await send(JSON.stringify({ username: 'x'.repeat(20_000) }), 'application/json')).status,
      413,
    );
    const wrong = await fetch(`${identity.base}/users`);
    assert.equal(wrong.status, 405);
    assert.equal(wrong.headers.get('allow'), 'POST');
  });

  it('slows down registrations from one address', async () => {
    const crowded = await startTestIdentity();
    try {
      const statuses = await Promise.all(
        Array.from({ length: 30 }, (_, n) =>
          postJson(`${crowded.base}/users`, { username: `crowd-${n}`, password: 'short' }),
        ),
      );
      const limited = statuses.filter((answer) => answer.status === 429);
      assert.equal(limited.length, 10);
      assert.ok(Number(limited[0]?.headers.get('retry-after')) > 0);
    } finally {
      await crowded.close();
    }
  });

  it('can be switched off, and role choice can be switched on by a name that says what it is', async () => {
    const closed = await startTestIdentity({ registration: { enabled: false } });
    const open = await startTestIdentity({ registration: { insecure_allow_role_choice: true } });
    try {
      assert.equal((await postJson(`${closed.base}/users`, { username: 'nobody', password })).status, 403);
      const { status, body } = await postJson(`${open.base}/users`, {
        username: 'tutorial',
        password,
        role: 'admin',
      });
      assert.equal(status, 201);
      assert.equal(body.role, 'LLM.Admin');
    } finally {
      await closed.close();
      await open.close();
    }
  });
});

describe('an access token for a password (POST /token)', () => {
  let identity: TestIdentity;
  before(async () => {
    identity = await startTestIdentity();
    await postJson(`${identity.base}/users`, { username: 'ada', password });
  });
  after(() => identity.close());
  const ask = (fields: Record<string, string> | URLSearchParams) =>
    postForm(`${identity.base}/token`, fields);

  it('is given with and without grant_type, for the local test client', async () => {
    for (const extra of [{}, { grant_type: 'password' }]) {
      const { status, body, headers } = await ask({
        username: 'ada',
        password,
        ...(extra as Record<string, string>),
      });
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(body.token_type, 'bearer');
      assert.equal(body.expires_in, 3600);
      assert.equal(headers.get('cache-control'), 'no-store');
      const claims = claimsOf(body.access_token);
      assert.equal(claims.azp, clientId(4));
      assert.equal(claims.aud, 'api://sallyport');
      assert.equal(claims.scp, 'LLM.Access');
      assert.equal(claims.iss, identity.issuer);
      assert.deepEqual(claims.roles, ['LLM.User']);
      assert.equal(body.refresh_token, undefined);
    }
  });

  it('is refused with one answer for a wrong password and an unknown account', async () => {
    const wrong = await ask({ username: 'ada', password: 'not the password' });
    const unknown = await ask({ username: 'nobody-here', password: 'not the password' });
    assert.equal(wrong.status, 401);
    assert.equal(wrong.body.detail, 'Incorrect username or password');
    assert.equal(wrong.body.error, 'invalid_grant');
    assert.match(wrong.headers.get('www-authenticate') ?? '', /^Bearer/);
    assert.deepEqual(unknown.body, wrong.body);
    assert.equal(unknown.status, wrong.status);
  });

  it('is refused for missing, doubled and empty fields, other grants and JSON', async () => {
    assert.equal((await ask({ username: 'ada' })).status, 400);
    assert.equal((await ask({ username: 'ada', password: '' })).status, 400);
    assert.equal(
      (
        await ask(
          new URLSearchParams([
            ['username', 'ada'],
            ['username', 'admin'],
            ['password', password],
          ]),
        )
      ).status,
      400,
    );
    assert.equal(
      (await ask({ username: 'ada', password, grant_type: 'client_credentials' })).body.error,
      'unsupported_grant_type',
    );
    assert.equal((await postJson(`${identity.base}/token`, { username: 'ada', password })).status, 400);
  });

  it('is never given at the OAuth token endpoint', async () => {
    for (const client of [clientId(1), clientId(4)]) {
      const { status, body } = await postForm(`${identity.base}/${tenant}/oauth2/v2.0/token`, {
        grant_type: 'password',
        client_id: client,
        username: 'ada',
        password,
      });
      assert.equal(status, 400);
      assert.equal(body.access_token, undefined);
    }
  });

  it('costs a wait after five wrong passwords, for the right one too, and survives a restart', async () => {
    await postJson(`${identity.base}/users`, { username: 'victim', password });
    const statuses: number[] = [];
    for (let n = 0; n < 8; n++)
      statuses.push((await ask({ username: 'VICTIM', password: `guess ${n}` })).status);
    assert.deepEqual(statuses.slice(0, 5), [401, 401, 401, 401, 401]);
    assert.ok(statuses.slice(5).includes(429));
    const blocked = await ask({ username: 'victim', password });
    assert.equal(blocked.status, 429);
    assert.ok(Number(blocked.headers.get('retry-after')) >= 1);
    await identity.restart();
    assert.equal((await ask({ username: 'victim', password })).status, 429);
    assert.equal((await ask({ username: 'ada', password })).status, 200, 'another account is not held up');
  });

  it('throttles accounts that do not exist in the same way', async () => {
    const statuses: number[] = [];
    for (let n = 0; n < 8; n++)
      statuses.push((await ask({ username: 'ghost', password: `guess ${n}` })).status);
    assert.deepEqual(statuses.slice(0, 5), [401, 401, 401, 401, 401]);
    assert.ok(statuses.slice(5).includes(429));
  });

  it('lets no more than five of 40 simultaneous guesses be judged, and one more for each wait that is over', async () => {
    await postJson(`${identity.base}/users`, { username: 'parallel', password });
    const fresh = await startTestIdentity();
    try {
      await postJson(`${fresh.base}/users`, { username: 'parallel', password });
      const startedAt = Date.now();
      const answers = await Promise.all(
        Array.from({ length: 40 }, (_, n) =>
          postForm(`${fresh.base}/token`, { username: 'parallel', password: `guess ${n}` }),
        ),
      );
      // On a busy machine the last of them come after a first wait of 2 s, then 4 s and so on; the server counts whole seconds.
      const seconds = Math.ceil((Date.now() - startedAt) / 1000) + 1;
      const waitsOver = Math.floor(Math.log2(seconds / 2 + 1));
      const judged = answers.filter((answer) => answer.status === 401).length;
      assert.ok(judged >= 5 && judged <= 5 + waitsOver, `${judged} judged in ${seconds} s`);
    } finally {
      await fresh.close();
    }
  });

  it('is off in the production profile and says what to use instead', async () => {
    const production = await startTestIdentity({ profile: 'production' });
    try {
      const { status, body } = await postForm(`${production.base}/token`, {
        username: 'admin',
        password: production.administrator.password,
      });
      assert.equal(status, 400);
      assert.equal(body.error, 'unsupported_grant_type');
      assert.match(body.detail, /sallyport login/);
    } finally {
      await production.close();
    }
  });
});

describe('the list of accounts (GET /admin/users)', () => {
  let identity: TestIdentity;
  let assertion: Awaited<ReturnType<typeof signerFor>>;
  before(async () => {
    identity = await startTestIdentity();
    assertion = await signerFor(identity);
  });
  after(() => identity.close());
  const list = async (headers: Record<string, string>) => {
    const response = await fetch(`${identity.base}/admin/users`, { headers });
    return { status: response.status, headers: response.headers, body: (await response.json()) as never };
  };

  it('is given to an administrator whom the gateway vouches for', async () => {
    const { status, body } = await list({ 'sallyport-assertion': await assertion(['LLM.Admin']) });
    assert.equal(status, 200);
    assert.equal((body as { username: string }[])[0]?.username, 'admin');
    assert.doesNotMatch(JSON.stringify(body), /argon2/);
  });

  it('is refused without a fresh assertion for this service', async () => {
    const { privateKey } = await generateKeyPair('EdDSA');
    const foreign = await new SignJWT({ roles: ['LLM.Admin'] })
      .setProtectedHeader({ alg: 'EdDSA', typ: 'sallyport-assertion+jwt' })
      .setIssuer('urn:sallyport:gateway')
      .setAudience('urn:sallyport:identity')
      .setSubject('x')
      .setIssuedAt()
      .setExpirationTime('60s')
      .sign(privateKey);
    const { access_token: accessToken } = (
      await postForm(`${identity.base}/token`, { ...identity.administrator })
    ).body as { access_token: string };
    for (const headers of [
      {},
      { 'sallyport-assertion': 'garbage' },
      { 'sallyport-assertion': foreign },
      { 'sallyport-assertion': accessToken },
      { authorization: `Bearer ${accessToken}` },
      { 'sallyport-assertion': await assertion(['LLM.Admin'], { audience: 'urn:sallyport:model-server' }) },
      { 'sallyport-assertion': await assertion(['LLM.Admin'], { expires: '-1m' }) },
    ]) {
      const { status, body, headers: answered } = await list(headers);
      assert.equal(status, 401);
      assert.equal((body as { detail: string }).detail, 'Not authenticated');
      assert.match(answered.get('www-authenticate') ?? '', /^Bearer/);
    }
  });

  it('is refused to anybody who is not an administrator', async () => {
    for (const roles of [[], ['LLM.User'], ['llm.admin'], ['LLM.Admin2']]) {
      const { status, body } = await list({ 'sallyport-assertion': await assertion(roles) });
      assert.equal(status, 403);
      assert.equal((body as { detail: string }).detail, 'Admin access required');
    }
  });

  it('believes a forwarded address beside an assertion only', async () => {
    const wrong = { username: 'admin', password: 'wrong' };
    await postForm(`${identity.base}/token`, wrong, { 'x-forwarded-for': '203.0.113.9' });
    assert.ok(!identity.log.join('').includes('203.0.113.9'));
    await postForm(`${identity.base}/token`, wrong, {
      'x-forwarded-for': '198.51.100.1, 203.0.113.10',
      'sallyport-assertion': await assertion([]),
    });
    assert.match(identity.log.join(''), /"address":"203\.0\.113\.10"/);
  });
});

describe('administration on the database', () => {
  it('grants a role that the next token carries, and a password reset ends sign-ins', async () => {
    const identity = await startTestIdentity();
    const database = await openForAdministration(identity.config);
    try {
      const account = { username: 'ada', password };
      await postJson(`${identity.base}/users`, account);
      const signedIn = await signInWithDevice(identity, account);
      await grantRole(database, 'ADA', 'LLM.Admin');
      const renewed = await refresh(identity, signedIn.refresh_token);
      assert.deepEqual(claimsOf(renewed.body.access_token).roles, ['LLM.User', 'LLM.Admin']);
      const { generatedPassword } = await resetPassword(database, 'ada');
      assert.equal((await refresh(identity, renewed.body.refresh_token)).body.error, 'invalid_grant');
      assert.equal((await postForm(`${identity.base}/token`, account)).status, 401);
      assert.equal(
        (await postForm(`${identity.base}/token`, { username: 'ada', password: generatedPassword ?? '' }))
          .status,
        200,
      );
      await assert.rejects(grantRole(database, 'nobody', 'LLM.Admin'), /no account/);
      await assert.rejects(grantRole(database, 'ada', 'not a role'), /role name/);
      await assert.rejects(resetPassword(database, 'ada', 'short'), /at least 8/);
    } finally {
      await database.destroy();
      await identity.close();
    }
  });
});

describe('the first administrator', () => {
  it('has a password of at least 60 bits that is never the same', () => {
    assert.equal(new Set(words).size, 512);
    assert.ok(words.every((word) => /^[a-z]{3,8}$/.test(word)));
    const made = new Set(Array.from({ length: 200 }, generatePassword));
    assert.equal(made.size, 200);
    for (const one of made) assert.match(one, /^([a-z]{3,8}-){6}\d\d$/);
    assert.ok(6 * Math.log2(512) + Math.log2(100) >= 60);
  });

  it('is told once, or written to a private file that goes at the first sign-in', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-first-'));
    const data = join(folder, 'identity');
    const config = identityConfigSchema.parse({ listen: '127.0.0.1:0', data });
    const log = pino({ level: 'silent' });
    const server = await startIdentity(config, { log });
    try {
      const file = join(data, 'first-admin');
      assert.equal(statSync(file).mode & 0o777, 0o600);
      const [username, generated] = readFileSync(file, 'utf8').trim().split('\n');
      writeFileSync(join(folder, 'first-admin'), 'what a supervisor wrote');
      await postJson(`http://${server.address}/users`, { username: 'somebody', password });
      const other = await postForm(`http://${server.address}/token`, { username: 'somebody', password });
      assert.equal(other.status, 200);
      assert.ok(existsSync(file), 'another account leaves it');
      assert.equal(
        (await postForm(`http://${server.address}/token`, { username: username ?? '', password: 'wrong' }))
          .status,
        401,
      );
      assert.ok(existsSync(file));
      assert.equal(
        (
          await postForm(`http://${server.address}/token`, {
            username: username ?? '',
            password: generated ?? '',
          })
        ).status,
        200,
      );
      assert.ok(!existsSync(file));
      assert.ok(!existsSync(join(folder, 'first-admin')));
      await server.close();
      const calls: string[] = [];
      const again = await startIdentity(config, { log, firstAdministrator: (name) => calls.push(name) });
      await again.close();
      assert.deepEqual(calls, []);
    } finally {
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
