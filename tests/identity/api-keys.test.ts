import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createAccount, disableAccount, grantRole } from '../../identity/administration.ts';
import { generateApiKey, parseApiKey, secretMatches, hashSecret } from '../../identity/api-keys/api-key.ts';
import { insertApiKey, listApiKeys, purgeApiKeys } from '../../identity/api-keys/api-keys.ts';
import { openDatabase, type Database } from '../../identity/storage/database.ts';
import { onEachDatabase } from './databases.ts';
import { gatewayOf, type Asserted, type TestGateway } from './gateway-assertion.ts';
import { startTestIdentity, type Json, type TestIdentity } from './support.ts';

const day = 86_400;

describe('the text of an API key', () => {
  it('has a public id and a secret of 190 random bits', () => {
    const made = Array.from({ length: 200 }, generateApiKey);
    for (const { text, id, secret } of made) {
      assert.match(text, /^sp_[0-9A-Za-z]{12}_[0-9A-Za-z]{32}$/);
      assert.deepEqual(parseApiKey(text), { id, secret });
      assert.ok(Math.log2(62) * secret.length >= 190);
    }
    assert.equal(new Set(made.map(({ id }) => id)).size, 200);
    const letters = new Set(made.map(({ secret }) => secret).join(''));
    assert.equal(letters.size, 62, 'every letter occurs');
  });

  it('is compared with its hash alone, whole, and with nothing it is no', () => {
    const { secret } = generateApiKey();
    assert.equal(secretMatches(secret, hashSecret(secret)), true);
    for (const [presented, stored] of [
      [secret, null],
      ['', null],
      [secret, ''],
      ['', ''],
      [secret, secret],
      [hashSecret(secret), hashSecret(secret)],
      [secret.slice(0, -1), hashSecret(secret)],
      [secret, `${hashSecret(secret)}x`],
      [secret, hashSecret(secret).slice(0, -1)],
    ] as const)
      assert.equal(secretMatches(presented, stored), false);
  });
});

onEachDatabase('API keys over HTTP', (fresh) => {
  let identity: TestIdentity;
  let gateway: TestGateway;
  let database: Database;
  let ada: string;
  let bob: string;
  let root: string;
  const account = async (username: string, roles = ['LLM.User']) =>
    (await createAccount(database, { username, password: 'correct horse battery staple', roles })).account.id;
  before(async () => {
    identity = await startTestIdentity({ ...(await fresh()), api_keys: { max_per_account: 4 } });
    gateway = await gatewayOf(identity);
    database = await openDatabase(identity.config);
    ada = await account('ada');
    bob = await account('bob');
    root = await account('root', ['LLM.Admin', 'LLM.User']);
  });
  after(async () => {
    await database.destroy();
    await identity.close();
  });

  async function ask(
    method: string,
    path: string,
    headers: Record<string, string>,
    body?: unknown,
  ): Promise<{ status: number; headers: Headers; body: Json }> {
    const response = await fetch(`${identity.base}${path}`, {
      method,
      headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: text === '' ? null : JSON.parse(text),
    };
  }
  const as = (subject: string, says: Asserted = {}) => gateway.on(subject, says);
  const make = async (subject: string, body: unknown = {}, says: Asserted = {}) =>
    ask('POST', '/api-keys', await as(subject, says), body);
  const forget = () => database.deleteFrom('api_keys').execute();

  it('are made, listed and revoked by their owner; the text is shown once', async () => {
    await forget();
    const made = await make(ada, { name: '  my notebook ', expires_in: 30 * day });
    assert.equal(made.status, 201);
    const { key, ...rest } = made.body;
    assert.match(key, /^sp_/);
    assert.equal(made.headers.get('cache-control'), 'no-store');
    assert.equal(rest.name, 'my notebook');
    assert.deepEqual(rest.roles, ['LLM.User']);
    assert.equal(rest.status, 'active');
    assert.equal(Date.parse(rest.expires_at) - Date.parse(rest.created_at), 30 * day * 1000);
    assert.deepEqual((await ask('GET', '/api-keys', await as(ada))).body, [rest]);
    assert.equal((await gateway.introspect(key)).body.sub, ada);
    const revoked = await ask('DELETE', `/api-keys/${rest.id}`, await as(ada));
    assert.equal(revoked.status, 200);
    assert.equal(revoked.body.status, 'revoked');
    assert.equal((await gateway.introspect(key)).body.active, false);
    assert.equal((await ask('DELETE', `/api-keys/${rest.id}`, await as(ada))).status, 404, 'not twice');
    assert.doesNotMatch(identity.log.join('\n'), new RegExp(key.slice(16)));
  });

  it('live 90 days unless stated, never longer than the configuration permits', async () => {
    await forget();
    const { body } = await make(ada);
    assert.equal(Date.parse(body.expires_at) - Date.parse(body.created_at), 90 * day * 1000);
    assert.equal(body.name, 'unnamed');
    assert.equal((await make(ada, { expires_in: 365 * day })).status, 201);
    const tooLong = await make(ada, { expires_in: 365 * day + 1 });
    assert.equal(tooLong.status, 400);
    assert.match(tooLong.body.detail, /365 days/);
  });

  it('show an expired key as expired', async () => {
    await forget();
    await insertApiKey(database, {
      owner: ada,
      name: 'old',
      roles: ['LLM.User'],
      lifetimeSeconds: -1,
      atMost: 9,
    });
    assert.equal((await ask('GET', '/api-keys', await as(ada))).body[0].status, 'expired');
  });

  it('refuse bodies that are not what they should be', async () => {
    await forget();
    for (const body of [
      '{"name":"x","name":"y"}',
      '{"name":',
      'null',
      [],
      { name: '' },
      { name: ' ' },
      { name: 'x'.repeat(65) },
      { name: 'a\u0000b' },
      { name: 'a\u001b[31m' },
      { name: 'a\u202eb' },
      { name: 7 },
      { expires_in: 0 },
      { expires_in: -5 },
      { expires_in: 59 },
      { expires_in: 90.5 },
      { expires_in: '90' },
      { expires_in: 1e300 },
      { expires_at: 0 },
      { roles: [] },
      { roles: 'LLM.User' },
      { roles: [''] },
      { owner: bob },
      { sub: bob },
      { id: 'x' },
      { key: 'sp_x' },
    ]) {
      const { status, headers } = await make(ada, body);
      assert.equal(status, 400, JSON.stringify(body));
      assert.match(headers.get('content-type') ?? '', /^application\/problem\+json/);
    }
    assert.equal((await make(ada, `{"name":"${'x'.repeat(20_000)}"}`)).status, 413);
    const asForm = await fetch(`${identity.base}/api-keys`, {
      method: 'POST',
      headers: await as(ada),
      body: new URLSearchParams({ name: 'x' }),
    });
    assert.equal(asForm.status, 415);
    assert.deepEqual(await listApiKeys(database, null), []);
  });

  it('never carry a role that the owner lacks, whatever the gateway says of him', async () => {
    await forget();
    for (const roles of [['LLM.Admin'], ['LLM.User', 'LLM.Admin'], ['llm.user'], ['*']]) {
      const { status, body } = await make(ada, { roles }, { roles: ['LLM.User', 'LLM.Admin'] });
      assert.equal(status, 403, roles.join());
      assert.equal(body.code, 'role_not_permitted');
    }
  });

  it("carry an administrator's role only when it is asked for", async () => {
    await forget();
    assert.deepEqual((await make(root)).body.roles, ['LLM.User']);
    assert.deepEqual((await make(root, { roles: ['LLM.Admin', 'LLM.Admin'] })).body.roles, ['LLM.Admin']);
    const only = await account('only-admin', ['LLM.Admin']);
    const unnamed = await make(only);
    assert.equal(unnamed.status, 400);
    assert.match(unnamed.body.detail, /Name the roles/);
    assert.equal((await make(only, { roles: ['LLM.Admin'] })).status, 201);
  });

  it('are for principals of our own issuer with an account, shown by an access token', async () => {
    await forget();
    const gone = await account('gone');
    await disableAccount(database, 'gone');
    for (const [says, code] of [
      [{ subject: ada }, 'account_required'],
      [{ subject: `https://login.example/ ${ada}` }, 'account_required'],
      [{ subject: `${identity.issuer}${ada}` }, 'account_required'],
      [{ subject: `${identity.issuer}/ ${ada}` }, 'account_required'],
      [{ subject: `${identity.issuer}  ${ada}` }, 'account_required'],
      [{ subject: `x ${identity.issuer} ${ada}` }, 'account_required'],
      [{ subject: `${identity.issuer} ` }, 'account_required'],
      [{ subject: `${identity.issuer} ${ada} ` }, 'account_required'],
      [{ subject: `${identity.issuer} ' or 1=1 --` }, 'account_required'],
      [{ subject: `${identity.issuer} ${gone}` }, 'account_required'],
      [{ subject: 'urn:sallyport:gateway', roles: [], client: null }, 'account_required'],
      [{ subject: `entra:5a11b0a7 ${ada}` }, 'account_required'],
      [{ credential: 'api_key' }, 'access_token_required'],
      [{ credential: 'password' }, 'access_token_required'],
      [{ credential: 'client_certificate' }, 'access_token_required'],
      [{ credential: 'none' }, 'access_token_required'],
      [{ credential: undefined }, 'access_token_required'],
    ] as [Asserted, string][]) {
      const headers = await as(ada, says);
      for (const [method, path, body] of [
        ['GET', '/api-keys', undefined],
        ['POST', '/api-keys', {}],
        ['DELETE', '/api-keys/4fJx0aQm2Zt7', undefined],
      ] as const) {
        const answer = await ask(method, path, headers, body);
        assert.equal(answer.status, 403, JSON.stringify(says));
        assert.equal(answer.body.code, code, JSON.stringify(says));
      }
    }
    for (const headers of [{}, { 'sallyport-assertion': 'x' }, { authorization: 'Bearer x' }])
      assert.equal((await ask('POST', '/api-keys', headers, {})).status, 401);
    assert.deepEqual(await listApiKeys(database, null), []);
  });

  it("do not tell another owner's id from none, whatever the id is made of", async () => {
    await forget();
    const { body } = await make(ada);
    const { key, id } = body;
    for (const guess of [
      id,
      'zzzzzzzzzzzz',
      key,
      `${id} `,
      `${id}'--`,
      '%27%20or%201=1--',
      '%25',
      '%00',
      '..%2f..',
      'x'.repeat(5000),
      '🦊',
    ]) {
      const answer = await ask('DELETE', `/api-keys/${encodeURI(guess)}`, await as(bob));
      assert.ok([400, 404].includes(answer.status), `${guess}: ${answer.status}`);
      assert.doesNotMatch(JSON.stringify(answer.body), /sql|syntax|postgres/i);
    }
    const asBob = (await ask('DELETE', `/api-keys/${id}`, await as(bob))).body;
    const nothing = (await ask('DELETE', '/api-keys/zzzzzzzzzzzz', await as(bob))).body;
    assert.deepEqual(asBob, nothing);
    assert.equal((await gateway.introspect(key)).body.active, true);
    assert.deepEqual((await ask('GET', '/api-keys', await as(bob))).body, []);
    assert.doesNotMatch(identity.log.join('\n'), new RegExp(key.slice(16)), 'a pasted key is not logged');
  });

  it('are at most so many at a time, also when they are asked for at once', async () => {
    await forget();
    const answers = await Promise.all(Array.from({ length: 12 }, () => make(bob)));
    assert.equal(answers.filter(({ status }) => status === 201).length, 4);
    const refused = answers.find(({ status }) => status === 409);
    assert.equal(refused?.body.code, 'too_many_api_keys');
    const [first] = (await ask('GET', '/api-keys', await as(bob))).body;
    await ask('DELETE', `/api-keys/${first.id}`, await as(bob));
    assert.equal((await make(bob)).status, 201, 'a revoked one does not count');
  });

  it('are not made faster than a person would', async () => {
    await forget();
    const hasty = await account('hasty');
    let last = 0;
    for (let n = 0; n < 61 && last !== 429; n++) {
      last = (await make(hasty)).status;
      await forget();
    }
    assert.equal(last, 429);
    assert.equal((await make(ada)).status, 201, 'another person is not slowed down');
  });

  it('are listed and revoked by an administrator, with the owner’s name', async () => {
    await forget();
    const made = (await make(ada)).body;
    const admin = await as(root, { roles: ['LLM.Admin', 'LLM.User'] });
    const listed = (await ask('GET', '/admin/api-keys', admin)).body;
    assert.deepEqual(
      listed.map(({ id, username }: Json) => [id, username]),
      [[made.id, 'ada']],
    );
    assert.doesNotMatch(JSON.stringify(listed), /sp_|secret|hash/);
    assert.equal((await ask('DELETE', `/admin/api-keys/${made.id}`, admin)).status, 200);
    assert.equal((await gateway.introspect(made.key)).body.active, false);
    assert.equal((await ask('DELETE', '/admin/api-keys/zzzzzzzzzzzz', admin)).status, 404);
    for (const roles of [[], ['LLM.User'], ['llm.admin'], ['admin']]) {
      const headers = await as(ada, { roles });
      assert.equal((await ask('GET', '/admin/api-keys', headers)).status, 403);
      assert.equal((await ask('DELETE', `/admin/api-keys/${made.id}`, headers)).status, 403);
    }
    assert.equal((await ask('GET', '/admin/api-keys', {})).status, 401);
  });

  it('cannot be made for an account that is being disabled at the same moment', async () => {
    await forget();
    for (let round = 0; round < 5; round++) {
      const name = `racing-${round}`;
      const id = await account(name);
      // On SQLite both go through one connection; on PostgreSQL they race for the row.
      const [made] = await Promise.all([
        insertApiKey(database, {
          owner: id,
          name: 'race',
          roles: ['LLM.User'],
          lifetimeSeconds: day,
          atMost: 9,
        }),
        disableAccount(database, name),
      ]);
      if (typeof made !== 'string')
        assert.equal((await gateway.introspect(made.text)).body.active, false, 'it died with the account');
      await disableAccount(database, name, false);
      if (typeof made !== 'string')
        assert.equal((await gateway.introspect(made.text)).body.active, false, 'and stays dead');
    }
  });

  it('are forgotten a month after they are over', async () => {
    await forget();
    const now = Math.floor(Date.now() / 1000);
    const { id: recent } = (await make(ada)).body;
    const { id: expired } = (await make(ada)).body;
    const { id: revoked } = (await make(ada)).body;
    const set = (id: string, change: object) =>
      database.updateTable('api_keys').set(change).where('id', '=', id).execute();
    await set(expired, { expires_at: now - 31 * day });
    await set(revoked, { revoked_at: now - 31 * day });
    await purgeApiKeys(database);
    assert.deepEqual(
      (await listApiKeys(database, null)).map(({ id }) => id),
      [recent],
    );
  });

  it('may carry a role that was granted later only if it is made later', async () => {
    await forget();
    const carol = await account('carol');
    const before = (await make(carol)).body;
    await grantRole(database, 'carol', 'LLM.Research');
    assert.deepEqual((await gateway.introspect(before.key)).body.roles, ['LLM.User']);
    assert.deepEqual((await make(carol)).body.roles, ['LLM.User', 'LLM.Research']);
  });

  describe('relations', () => {
    const admin = () => as(root, { roles: ['LLM.Admin'] });
    const change = async (body: unknown) => ask('POST', '/admin/relations', await admin(), body);

    it('are changed in one step and listed', async () => {
      const add = ['team:x#member@user:alice', 'model:gpt2#viewer@team:x#member'];
      assert.deepEqual((await change({ add })).body, { added: 2, removed: 0 });
      assert.deepEqual((await change({ add, remove: ['team:x#member@user:nobody'] })).body, {
        added: 0,
        removed: 0,
      });
      assert.deepEqual((await ask('GET', '/admin/relations', await admin())).body, {
        tuples: ['model:gpt2#viewer@team:x#member', 'team:x#member@user:alice'],
      });
      assert.deepEqual((await change({ remove: add })).body, { added: 0, removed: 2 });
    });

    it('are refused whole when one of them is none', async () => {
      for (const body of [
        { add: ['team:x#member@user:alice', 'nonsense'] },
        { add: ['team:x#member@user:alice'], remove: ["x' or 1=1 --"] },
        { add: 'team:x#member@user:alice' },
        { add: [7] },
        { ad: [] },
        { add: Array.from({ length: 1001 }, (_, n) => `team:x#member@user:${n}`) },
        [],
        'null',
      ])
        assert.equal((await change(body)).status, 400, JSON.stringify(body).slice(0, 100));
      assert.equal((await change({ add: ['x'.repeat(600_000)] })).status, 413);
      assert.deepEqual((await ask('GET', '/admin/relations', await admin())).body, { tuples: [] });
    });

    it('are for administrators alone', async () => {
      for (const method of ['GET', 'POST']) {
        const body = method === 'POST' ? { add: ['team:x#member@user:ada'] } : undefined;
        assert.equal((await ask(method, '/admin/relations', await as(ada), body)).status, 403);
        assert.equal((await ask(method, '/admin/relations', {}, body)).status, 401);
      }
    });
  });
});
