// Registration and sign-in took what only a lenient reader takes: members given twice, UTF-7, a byte order mark, control
// characters; and a NUL in a name made PostgreSQL fail the request. The OpenID endpoints answered 500 to a return address
// without its session, and let pages of any origin read their errors.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { clientId, postForm, startTestIdentity, tenant, type TestIdentity } from '../identity/support.ts';
import { skipWithoutPostgres, startPostgres, type TestPostgres } from '../support/postgres.ts';

const good = { username: 'carol', password: 'correct horse battery' };
const lone = '\\ud800';

/** Bodies of POST /users that must create nothing, with the status they get. */
const registrations: readonly (readonly [
  title: string,
  body: string | Buffer,
  status: number,
  type?: string,
])[] = [
  [
    'a member twice',
    '{"username":"carol","password":"correct horse battery","role":"admin","role":"user"}',
    400,
  ],
  [
    'a member twice, once escaped',
    '{"username":"carol","password":"correct horse battery","role":"admin","r\\u006fle":"user"}',
    400,
  ],
  ['__proto__', '{"username":"carol","password":"correct horse battery","__proto__":{"role":"admin"}}', 400],
  ['__proto__, escaped', '{"username":"carol","password":"correct horse battery","__pr\\u006fto__":{}}', 400],
  [
    'constructor',
    '{"username":"carol","password":"correct horse battery","constructor":{"prototype":{"role":"admin"}}}',
    400,
  ],
  ['a byte order mark', `\ufeff${JSON.stringify(good)}`, 400],
  [
    'bytes that are not UTF-8',
    Buffer.from('{"username":"car\xff\xfeol","password":"correct horse battery"}', 'latin1'),
    400,
  ],
  ['two documents', `${JSON.stringify(good)}${JSON.stringify(good)}`, 400],
  ['deep nesting', `{"username":${'['.repeat(4_000)}${']'.repeat(4_000)}}`, 400],
  ['NaN', '{"username":NaN}', 400],
  ['1e400', '{"username":"carol","password":1e400}', 400],
  ['a list', '[]', 400],
  ['null', 'null', 400],
  ['text', '"carol"', 400],
  ['nothing', '', 400],
  ['UTF-7', JSON.stringify(good), 415, 'application/json; charset=utf-7'],
  ['UTF-16', Buffer.from(JSON.stringify(good), 'utf16le'), 415, 'application/json; charset=utf-16'],
  ['a form', 'username=carol&password=correct+horse+battery', 415, 'application/x-www-form-urlencoded'],
  ['plain text', JSON.stringify(good), 415, 'text/plain'],
  ['a NUL in the full name', JSON.stringify({ ...good, full_name: 'a\0b' }), 400],
  ['an escape sequence in the full name', JSON.stringify({ ...good, full_name: '\u001b[31mred' }), 400],
  ['a line end in the full name', JSON.stringify({ ...good, full_name: 'a\r\nb' }), 400],
  ['a text direction mark in the full name', JSON.stringify({ ...good, full_name: 'a\u202eb' }), 400],
  [
    'half a character in the full name',
    `{"username":"carol","password":"correct horse battery","full_name":"${lone}"}`,
    400,
  ],
  ['half a character in the password', `{"username":"carol","password":"${lone}correct horse"}`, 400],
  ['a NUL in the user name', JSON.stringify({ ...good, username: 'ca\0rol' }), 400],
  [
    'a user name that grows far too long in its stored form',
    JSON.stringify({ ...good, username: 'ﷺ'.repeat(60) }),
    400,
  ],
  ['SQL for a user name', JSON.stringify({ ...good, username: "a' OR '1'='1" }), 400],
  ['an operator for a user name', JSON.stringify({ ...good, username: { $gt: '' } }), 400],
  ['two addresses in one', JSON.stringify({ ...good, email: 'a@evil.example@good.example' }), 400],
  [
    'a header in the address',
    JSON.stringify({ ...good, email: 'a@good.example\r\nBcc: b@good.example' }),
    400,
  ],
  ['an identifier', JSON.stringify({ ...good, id: '1' }), 400],
  ['roles', JSON.stringify({ ...good, roles: ['LLM.Admin'] }), 400],
  ['isAdmin', JSON.stringify({ ...good, isAdmin: true }), 400],
  ['a tenant', JSON.stringify({ ...good, tenant: 'x' }), 400],
  ['groups', JSON.stringify({ ...good, groups: ['x'] }), 400],
  ['emailVerified', JSON.stringify({ ...good, emailVerified: true }), 400],
  ['the role admin', JSON.stringify({ ...good, role: 'admin' }), 403],
  ['the role LLM.Admin', JSON.stringify({ ...good, role: 'LLM.Admin' }), 403],
  ['the role ADMIN', JSON.stringify({ ...good, role: 'ADMIN' }), 403],
  ['a list of roles', JSON.stringify({ ...good, role: ['user', 'admin'] }), 400],
  ['an overlong password', JSON.stringify({ ...good, password: 'abc'.repeat(1_000) }), 400],
  ['a password of 100 kB', JSON.stringify({ ...good, password: 'abc'.repeat(33_000) }), 413],
];

const names = ['ad\0min', '\0', 'admin\u0000', "admin' --", '{"$ne":null}', 'admin\r\n', '\u202enimda', lone];

function attack(start: () => Promise<TestIdentity>): void {
  let identity: TestIdentity;
  before(async () => {
    identity = await start();
  });
  after(() => identity.close());

  it('creates no account out of a bad body', async () => {
    // The limit of registrations is not what is tested here: only a body that can be read counts.
    for (const [index, [title, body, status, type = 'application/json']] of registrations.entries()) {
      if (index % 18 === 17) await identity.restart();
      const response = await fetch(`${identity.base}/users`, {
        method: 'POST',
        body,
        headers: { 'content-type': type },
      });
      const answer = await response.text();
      assert.equal(response.status, status, `${title}: ${answer}`);
      assert.doesNotMatch(answer, /node_modules|Error:|\bat .*\(/, title);
    }
    const signedIn = await postForm(`${identity.base}/token`, good);
    assert.equal(signedIn.status, 401);
  });
  it('answers every name that can be nobody like a wrong password', async () => {
    for (const username of names) {
      const { status, body } = await postForm(`${identity.base}/token`, { username, password: 'wrong\0' });
      assert.equal(status, 401, JSON.stringify({ username, body }));
      assert.equal(body.detail, 'Incorrect username or password');
    }
  });
  it('has failed at none of these, and logged no password', () => {
    assert.deepEqual(
      identity.log.filter((line) => line.includes('"level":50')),
      [],
    );
    assert.ok(!identity.log.some((line) => line.includes('correct horse')));
  });
}

describe('accounts in SQLite', () => attack(() => startTestIdentity()));
describe('accounts in PostgreSQL', { skip: skipWithoutPostgres() }, () => {
  let postgres: TestPostgres;
  attack(async () => {
    postgres = await startPostgres();
    process.env['REGRESSION_DATABASE'] = postgres.url;
    return startTestIdentity({ database_url: 'env:REGRESSION_DATABASE' });
  });
  after(() => postgres.stop());
});

describe('the OpenID endpoints', () => {
  let identity: TestIdentity;
  before(async () => {
    identity = await startTestIdentity();
  });
  after(() => identity.close());

  for (const cookie of [
    '',
    '_session=x; _session.sig=y',
    '_interaction_resume=x',
    '__proto__=1; =; %00=%ff',
  ]) {
    it(`answer a way back without its session with 400, not 500 (cookie: ${cookie === '' ? 'none' : cookie})`, async () => {
      for (const uid of ['x', '__proto__', '%00', '%E0%A4%A', 'a'.repeat(2_000)]) {
        for (const path of ['oauth2/v2.0/deviceauth', 'oauth2/v2.0/authorize']) {
          const response = await fetch(`${identity.base}/${tenant}/${path}/${uid}`, {
            redirect: 'manual',
            headers: { cookie },
          });
          const page = await response.text();
          assert.ok([400, 404].includes(response.status), `${path}/${uid}: ${response.status}`);
          assert.doesNotMatch(page, /node_modules|Error:/);
        }
      }
      assert.ok(!identity.log.some((line) => line.includes('"level":50')));
    });
  }

  const foreign = [
    'https://evil.example',
    'null',
    'http://127.0.0.1:8080.evil.example',
    'http://127.0.0.1',
    'http://u@127.0.0.1:8080',
  ];
  for (const origin of foreign) {
    it(`let no page of ${origin} read an answer that is for somebody`, async () => {
      for (const path of [
        'oauth2/v2.0/token',
        'oauth2/v2.0/devicecode',
        'oauth2/v2.0/revoke',
        'openid/userinfo',
      ]) {
        for (const method of ['POST', 'OPTIONS']) {
          const response = await fetch(`${identity.base}/${tenant}/${path}`, {
            method,
            headers: {
              origin,
              ...(method === 'OPTIONS' ? { 'access-control-request-method': 'POST' } : {}),
            },
            ...(method === 'POST' ? { body: new URLSearchParams({ client_id: clientId(1) }) } : {}),
          });
          await response.arrayBuffer();
          const headers = [...response.headers.keys()].filter((name) => name.startsWith('access-control-'));
          assert.deepEqual(headers, [], `${method} ${path}`);
        }
      }
    });
    it(`give public documents to ${origin} as to everybody`, async () => {
      for (const path of ['v2.0/.well-known/openid-configuration', 'discovery/v2.0/keys']) {
        const response = await fetch(`${identity.base}/${tenant}/${path}`, { headers: { origin } });
        await response.arrayBuffer();
        assert.equal(response.headers.get('access-control-allow-origin'), '*');
        assert.equal(response.headers.get('access-control-allow-credentials'), null);
      }
    });
  }
});
