// API keys and relations through a real gateway to a real identity server, over HTTP and with the command line.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { writeFileSync } from 'node:fs';
import { createAccount, openForAdministration } from '../../identity/administration.ts';
import { createHome, type CliHome } from '../cli/support/run-cli.ts';
import { storeSession } from '../cli/support/stored-session.ts';
import {
  postForm,
  signInWithDevice,
  startTestIdentity,
  type Json,
  type TestIdentity,
} from '../identity/support.ts';
import { eventually } from '../support/serve.ts';
import { startTestGateway, type TestGateway } from '../support/start-gateway.ts';

const password = 'correct horse battery staple';
let identity: TestIdentity;
let gateway: TestGateway;
let home: CliHome;
let configFile: string;
const accessTokens: Record<string, string> = {};

before(async () => {
  identity = await startTestIdentity();
  gateway = await startTestGateway({
    config: {
      embedded_issuer: identity.issuer,
      embedded_identity: { url: identity.base },
      assertion_jwks: join(identity.data, 'gateway-jwks.json'),
      upstreams: {
        embedded: { kind: 'openai', url: 'http://127.0.0.1:9', models: ['tiny-gpt2'] },
        accounts: { kind: 'http', url: identity.base, assertion: 'identity' },
      },
    },
    // What an operator should not do, to see that it opens nothing.
    edit: {
      'routes.yaml': [
        [
          '  admin.users:',
          [
            '  evil.introspect: { path: /evil/introspect, methods: [POST], kind: http, upstream: accounts, upstream_path: /internal/introspect, action: models.list }',
            '  evil.events: { path: /evil/events, methods: [GET], kind: http, upstream: accounts, upstream_path: /internal/events, action: models.list }',
            '  evil.relations: { path: /internal/relations, methods: [GET], kind: http, upstream: accounts, action: models.list }',
            '  evil.open: { path: /evil/open, methods: [POST], kind: http, upstream: accounts, upstream_path: /internal/introspect, action: accounts.token, anonymous: true, limits: [account-requests] }',
            '  admin.users:',
          ].join('\n'),
        ],
      ],
    },
  });
  await gateway.running.settled(30_000);
  const database = await openForAdministration(identity.config);
  for (const [username, roles] of [
    ['ada', ['LLM.User']],
    ['bob', ['LLM.User']],
    ['root', ['LLM.Admin']],
    ['guest', []],
  ] as const) {
    await createAccount(database, { username, password, roles });
    accessTokens[username] = (await signInWithDevice(identity, { username, password })).access_token;
  }
  await database.destroy();
  home = createHome();
  configFile = join(identity.data, 'sallyport.yaml');
  writeFileSync(configFile, `identity:\n  data: ${identity.data}\n`);
});
after(async () => {
  home.remove();
  await gateway.close();
  await identity.close();
});

async function ask(
  who: string | null,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; headers: Headers; body: Json }> {
  const response = await fetch(`${gateway.url}${path}`, {
    method,
    headers: {
      ...(who === null ? {} : { authorization: `Bearer ${accessTokens[who]}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? null : JSON.parse(text) };
}

describe('API keys through the gateway', () => {
  it('are made, listed and revoked by whoever signed in', async () => {
    const made = await ask('ada', 'POST', '/api-keys', { name: 'notebook' });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    assert.match(made.body.key, /^sp_/);
    const { body } = await ask('ada', 'GET', '/api-keys');
    assert.deepEqual(
      body.map(({ id }: Json) => id),
      [made.body.id],
    );
    assert.equal((await ask('bob', 'DELETE', `/api-keys/${made.body.id}`)).status, 404);
    assert.equal((await ask('ada', 'DELETE', `/api-keys/${made.body.id}`)).status, 200);
    assert.equal((await ask('ada', 'DELETE', `/api-keys/${made.body.id}`)).status, 404);
  });

  it('are refused to whoever has no credential, no role, or no right of administrators', async () => {
    for (const [who, method, path, status, code] of [
      [null, 'GET', '/api-keys', 401, 'missing_credentials'],
      [null, 'POST', '/api-keys', 401, 'missing_credentials'],
      ['guest', 'POST', '/api-keys', 403, 'access_denied'],
      ['ada', 'GET', '/admin/api-keys', 403, 'admin_access_required'],
      ['ada', 'DELETE', '/admin/api-keys/4fJx0aQm2Zt7', 403, 'admin_access_required'],
      ['ada', 'GET', '/admin/relations', 403, 'admin_access_required'],
      ['ada', 'POST', '/admin/relations', 403, 'admin_access_required'],
    ] as const) {
      const answer = await ask(who, method, path, method === 'POST' ? {} : undefined);
      assert.equal(answer.status, status, `${who} ${method} ${path}`);
      assert.equal(answer.body.code, code);
    }
  });

  it('are administered by administrators', async () => {
    const { body: made } = await ask('bob', 'POST', '/api-keys', {});
    const { body } = await ask('root', 'GET', '/admin/api-keys');
    assert.equal(body.find(({ id }: Json) => id === made.id)?.username, 'bob');
    assert.equal((await ask('root', 'DELETE', `/admin/api-keys/${made.id}`)).status, 200);
    const relations = { add: ['team:x#member@user:ada'] };
    assert.deepEqual((await ask('root', 'POST', '/admin/relations', relations)).body, {
      added: 1,
      removed: 0,
    });
    assert.deepEqual((await ask('root', 'GET', '/admin/relations')).body, { tuples: relations.add });
  });

  it('take no body that is too large, and no body where none belongs', async () => {
    assert.equal((await ask('ada', 'POST', '/api-keys', { name: 'x'.repeat(20_000) })).status, 413);
    assert.equal((await ask('ada', 'DELETE', '/api-keys/4fJx0aQm2Zt7', { name: 'x' })).status, 400);
  });

  it('have no path that leads elsewhere', async () => {
    for (const path of [
      '/api-keys/../admin/users',
      '/api-keys/..%2f..%2fadmin%2fusers',
      '/api-keys/%2e%2e',
      '/api-keys//x',
      '/api-keys/x/y',
      '/api-keys/x;y',
      '/api-keys/x\\y',
      '/api-keys/.',
      "/api-keys/'or'1",
      '/api-keys/*',
      '/api-keys/x%00',
      '/api-keys/',
    ]) {
      const status = await raw('DELETE', path);
      assert.ok([400, 404].includes(status), `${path}: ${status}`);
    }
    // The query is handed on and means nothing there.
    assert.equal((await ask('bob', 'GET', `/api-keys?owner=ada`)).status, 200);
  });

  it('are listed in the OpenAPI document', async () => {
    const { body } = await ask(null, 'GET', '/openapi.json');
    assert.equal(body.paths['/api-keys/{id}'].delete.parameters[0].name, 'id');
    assert.ok(body.paths['/api-keys'].post.requestBody);
    assert.ok(body.paths['/admin/relations'].get);
  });
});

describe('an API key at the gateway', () => {
  const models = async (key: string) => {
    const response = await fetch(`${gateway.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
    await response.arrayBuffer();
    return response.status;
  };

  it('is a credential of its owner until it is revoked, and makes no further key', async () => {
    const { body: made } = await ask('ada', 'POST', '/api-keys', { name: 'in use' });
    assert.equal(await models(made.key), 200);
    accessTokens['key of ada'] = made.key;
    for (const [method, path] of [
      ['POST', '/api-keys'],
      ['GET', '/api-keys'],
      ['DELETE', `/api-keys/${made.id}`],
    ] as const) {
      const answer = await ask('key of ada', method, path, method === 'POST' ? {} : undefined);
      assert.deepEqual([answer.status, answer.body.code], [403, 'access_token_required'], method);
    }
    assert.equal((await ask('ada', 'DELETE', `/api-keys/${made.id}`)).status, 200);
    await eventually('it is refused', async () => (await models(made.key)) === 401);
  });

  it('ends with everything else when its owner is signed out everywhere', async () => {
    const { body: made } = await ask('bob', 'POST', '/api-keys', {});
    assert.equal(await models(made.key), 200);
    assert.equal(await models(accessTokens['bob'] ?? ''), 200);
    const { code, stderr } = await home.run(['account', 'sign-out', 'bob', '--config', configFile]);
    assert.equal(code, 0, stderr);
    await eventually('the key is refused', async () => (await models(made.key)) === 401);
    await eventually(
      'the access token is refused',
      async () => (await models(accessTokens['bob'] ?? '')) === 401,
    );
    const again = await signInWithDevice(identity, { username: 'bob', password });
    accessTokens['bob'] = again.access_token;
    assert.equal(await models(again.access_token), 200);
  });
});

describe('the internal API of identity, from outside', () => {
  it('is no path of the gateway', async () => {
    for (const path of ['/internal/introspect', '/internal/verify-password', '/internal/events'])
      for (const method of ['GET', 'POST'])
        assert.equal((await ask('root', method, path, method === 'POST' ? {} : undefined)).status, 404, path);
  });

  it('stays shut when routes.yaml leads to it, to users, administrators and anybody', async () => {
    for (const who of ['ada', 'root', null]) {
      const expected = who === null ? [401] : [403];
      for (const [method, path] of [
        ['POST', '/evil/introspect'],
        ['GET', '/evil/events'],
        ['GET', '/internal/relations'],
      ] as const) {
        const { status, body } = await ask(who, method, path, method === 'POST' ? {} : undefined);
        assert.ok(expected.includes(status), `${who} ${path}: ${status}`);
        assert.doesNotMatch(JSON.stringify(body), /tuples|active|hello/);
      }
    }
    assert.equal((await ask(null, 'POST', '/evil/open', {})).status, 403);
  });

  it('takes no assertion from a caller', async () => {
    const response = await postForm(
      `${gateway.url}/evil/introspect`,
      { token: 'x' },
      {
        authorization: `Bearer ${accessTokens['ada']}`,
        'sallyport-assertion': 'x',
        'x-forwarded-for': '127.0.0.1',
      },
    );
    assert.equal(response.status, 403);
  });
});

describe('sallyport key', () => {
  const run = (...words: string[]) =>
    home.run(['key', ...words], { env: { SALLYPORT_URL: gateway.url, NO_COLOR: '1' } });
  before(() => {
    storeSession(home.stateFolder, {
      gateway: gateway.url,
      issuer: identity.issuer,
      access_token: accessTokens['ada'] ?? '',
    });
  });

  it('makes a key, alone on stdout, and tells how to end it', async () => {
    const { code, stdout, stderr } = await run('create', '--name', 'from the shell', '--expires', '30d');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^sp_[0-9A-Za-z]{12}_[0-9A-Za-z]{32}\n$/);
    const id = stdout.slice(3, 15);
    assert.match(stderr, new RegExp(`✓ Key ${id} \\(from the shell\\) with LLM\\.User, expires \\d{4}-`));
    assert.match(stderr, new RegExp(`sallyport key revoke ${id}`));
    assert.doesNotMatch(stderr, new RegExp(stdout.slice(16).trim()));
  });

  it('lists keys that are good, with --all the others too', async () => {
    const made = JSON.parse((await run('create', '--name', 'listed', '--json')).stdout);
    assert.match(made.key, /^sp_/);
    const { stdout } = await run('list');
    assert.match(stdout, new RegExp(`^${made.id} {2}listed +LLM\\.User {2}expires .* never used$`, 'm'));
    assert.equal((await run('revoke', made.id)).code, 0);
    assert.doesNotMatch((await run('list')).stdout, new RegExp(made.id));
    assert.match((await run('list', '--all')).stdout, new RegExp(`^${made.id} .* revoked `, 'm'));
    const all = JSON.parse((await run('list', '--all', '--json')).stdout);
    assert.equal(all.find(({ id }: Json) => id === made.id).status, 'revoked');
    assert.doesNotMatch(JSON.stringify(all), /sp_/);
  });

  it('says in a sentence what cannot be done, with an exit code', async () => {
    for (const [words, code, sentence] of [
      [['create', '--role', 'LLM.Admin'], 6, /You do not have the role LLM\.Admin/],
      [['create', '--expires', 'soon'], 2, /'soon' is no duration/],
      [['create', '--expires', '9999d'], 2, /at most 365 days/],
      [['create', '--name', ''], 2, /member name/],
      [['revoke', 'zzzzzzzzzzzz'], 2, /There is no API key with this id/],
      [['revoke', '../admin/users'], 2, /not the id of a key/],
      [['revoke', 'sp_abcdefghijkl_0123456789'], 2, /part after sp_: {2}abcdefghijkl/],
      [['revoke'], 2, /missing required argument/i],
      [['nothing'], 2, /unknown command/i],
    ] as const) {
      const result = await run(...words);
      assert.equal(result.code, code, `${words.join(' ')}: ${result.stderr}`);
      assert.match(result.stderr, sentence);
      assert.equal(result.stdout, '');
    }
  });

  it('asks to sign in when nobody has', async () => {
    const other = createHome();
    const { code, stderr } = await other.run(['key', 'list'], { env: { SALLYPORT_URL: gateway.url } });
    assert.equal(code, 4);
    assert.match(stderr, /sallyport login/);
    other.remove();
  });
});

describe('sallyport relation, beside a running server', () => {
  const run = (...words: string[]) =>
    home.run(['relation', ...words, '--config', configFile], { env: { NO_COLOR: '1' } });

  it('adds, lists and removes, and says what changed', async () => {
    const tuple = 'team:shell#member@user:ada';
    const added = await run('add', tuple, 'model:gpt2#viewer@team:shell#member');
    assert.equal(added.code, 0, added.stderr);
    assert.match(added.stderr, /✓ 2 added\.$/m);
    assert.match((await run('add', tuple)).stderr, /✓ 0 added; 1 were there already\./);
    assert.match((await run('list')).stdout, new RegExp(`^${tuple}$`, 'm'));
    assert.ok((JSON.parse((await run('list', '--json')).stdout) as string[]).includes(tuple));
    assert.match((await run('remove', tuple)).stderr, /✓ 1 removed\.$/m);
    assert.deepEqual(JSON.parse((await run('remove', tuple, '--json')).stdout), { added: 0, removed: 0 });
    await eventually('the administrator sees it over HTTP', async () => {
      const { body } = await ask('root', 'GET', '/admin/relations');
      return !body.tuples.includes(tuple);
    });
  });

  it('refuses what is no relation, and changes nothing', async () => {
    const { code, stderr } = await run('add', 'team:y#member@user:ada', 'nonsense');
    assert.equal(code, 2);
    assert.match(stderr, /"nonsense" is no relation/);
    assert.doesNotMatch((await run('list')).stdout, /team:y/);
  });
});

/** Status of a path that is sent as it is written. */
function raw(method: string, path: string): Promise<number> {
  const { hostname, port } = new URL(gateway.url);
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        hostname,
        port,
        method,
        path,
        headers: { authorization: `Bearer ${accessTokens['root']}`, connection: 'close' },
      },
      (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      },
    );
    sent.on('error', reject);
    sent.end();
  });
}
