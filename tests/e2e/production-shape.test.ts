// The shape of production: identity on PostgreSQL, two gateways that share one Redis, a model server on a Unix socket,
// each a process of `sallyport serve` with a file of its own. Each part is killed and comes back under light load.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { stringify } from 'yaml';
import { packageRoot } from '../../core/package.ts';
import { verifyAuditLog } from '../../gateway/accounting/audit-verify.ts';
import { postForm, postJson, refresh, signInWithDevice, tenant } from '../identity/support.ts';
import { skipWithoutPostgres, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { redisMissing, startRedis, type PrivateRedis } from '../support/redis.ts';
import { eventually, freePort, serve, statusOf, type Served } from '../support/serve.ts';
import { finish } from '../cli/support/run-cli.ts';

const skip = skipWithoutPostgres() || (redisMissing ?? false);
const password = 'correct horse battery staple';
/** Requests that one person may make in the window of the limit that both gateways share. */
const permitted = 10;

interface Person {
  readonly username: string;
  readonly accessToken: string;
  readonly refreshToken: string;
}
interface Gateway {
  readonly name: string;
  readonly url: string;
  readonly internalUrl: string;
  readonly auditFolder: string;
  readonly served: Served;
}
interface Answer {
  readonly status: number;
  readonly code: string;
  readonly headers: Headers;
  readonly text: string;
}

let folder: string;
let postgres: TestPostgres;
let redis: PrivateRedis;
let identity: Served;
let identityBase: string;
let modelServer: Served;
let gateways: readonly Gateway[];
let first: Gateway;
let second: Gateway;
let alice: Person;

/** Writes a configuration file and returns its path. */
function configuration(name: string, content: unknown): string {
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, stringify(content));
  return file;
}

function editPolicy(name: string, from: string, to: string): void {
  const file = join(folder, 'policies', name);
  const text = readFileSync(file, 'utf8');
  assert.ok(text.includes(from), `${name} does not say "${from}"`);
  writeFileSync(file, text.replaceAll(from, to));
}

async function startGateway(name: string, identityPort: number): Promise<Gateway> {
  const [port, internalPort] = [await freePort(), await freePort()];
  const file = configuration(`gateway-${name}`, {
    gateway: {
      listen: `127.0.0.1:${port}`,
      internal_listen: `127.0.0.1:${internalPort}`,
      policies: join(folder, 'policies'),
      require_tests: false, // The policies are edited into what their own tests forbid.
      data: join(folder, name),
      assertion_jwks: join(folder, 'run', `gateway-${name}.json`),
      embedded_issuer: `${identityBase}/${tenant}/v2.0`,
      redis: { url: redis.setting },
      upstreams: {
        embedded: {
          kind: 'openai',
          url: `unix:${join(folder, 'model.sock')}`,
          models: ['tiny-gpt2'],
          assertion: 'model-server',
        },
        accounts: { kind: 'http', url: `http://127.0.0.1:${identityPort}`, assertion: 'identity' },
      },
    },
  });
  const url = `http://127.0.0.1:${port}`;
  const internalUrl = `http://127.0.0.1:${internalPort}`;
  return {
    name,
    url,
    internalUrl,
    auditFolder: join(folder, name, 'audit'),
    served: serve('gateway', file),
  };
}

const isReady = ({ internalUrl }: Gateway): Promise<boolean> =>
  statusOf(`${internalUrl}/readyz`).then((status) => status === 200);

async function ask(
  { url }: Gateway,
  person: Pick<Person, 'accessToken'>,
  path = '/v1/completions',
): Promise<Answer> {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${person.accessToken}`,
      'content-type': 'application/json',
      connection: 'close',
    },
    body: JSON.stringify({
      model: 'tiny-gpt2',
      ...(path === '/v1/embeddings' ? { input: 'the sea' } : { prompt: 'The sea', max_tokens: 2 }),
    }),
  });
  const text = await response.text();
  const code = (JSON.parse(text) as { error?: { code: string } }).error?.code ?? 'ok';
  return { status: response.status, code, headers: response.headers, text };
}

const answersWith = (gateway: Gateway, code: string) => async (): Promise<boolean> =>
  (await ask(gateway, alice)).code === code;

async function signIn(username: string): Promise<Person> {
  const account = { username, password };
  const registered = await postJson(`${first.url}/users`, account);
  assert.equal(registered.status, 201, JSON.stringify(registered.body));
  const issued = await signInWithDevice({ base: identityBase }, account);
  return { username, accessToken: issued.access_token, refreshToken: issued.refresh_token };
}

/** Light load on both gateways until stopped; how often each outcome came. */
function load(person: Person, targets: readonly Gateway[] = gateways): () => Promise<Map<string, number>> {
  const outcomes = new Map<string, number>();
  let isRunning = true;
  const running = targets.map(async (gateway) => {
    while (isRunning) {
      const outcome = await ask(gateway, person).then(
        ({ status, code }) => `${status} ${code}`,
        () => 'no answer',
      );
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  });
  return async () => {
    isRunning = false;
    await Promise.all(running);
    return outcomes;
  };
}

function assertSaysNothingOfUs(text: string): void {
  assert.doesNotMatch(text, /\n\s+at |node:|node_modules|\.ts:|ECONN|postgres|redis|5432|\/tmp\//i);
}

describe('production: every part a process of its own', { skip }, () => {
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-production-'));
    [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
    writeFileSync(join(folder, 'database_url'), postgres.url, { mode: 0o600 });
    cpSync(join(packageRoot, 'policies'), join(folder, 'policies'), { recursive: true });
    const identityPort = await freePort();
    // Browsers say localhost, the gateways read the documents at another address: the file of docker-compose.yml does it.
    identityBase = `http://localhost:${identityPort}`;
    cpSync(join(packageRoot, 'deploy/config/issuers.yaml'), join(folder, 'policies/issuers.yaml'));
    editPolicy('issuers.yaml', 'http://identity:8081', `http://127.0.0.1:${identityPort}`);
    editPolicy('issuers.yaml', '    insecure_plain_http: true\n', '');
    const limits = readFileSync(join(folder, 'policies/limits.yaml'), 'utf8');
    writeFileSync(
      join(folder, 'policies/limits.yaml'),
      limits
        .replace(/(requests-per-principal:.*requests: )\d+/, '$1100000')
        .replace('limits:\n', `limits:\n  shared: { by: principal, requests: ${permitted}, window: 1h }\n`),
    );
    editPolicy(
      'routes.yaml',
      'action: embeddings.create, limits: [',
      'action: embeddings.create, limits: [shared, ',
    );
    const keys = ['a', 'b'].map((name) => join(folder, 'run', `gateway-${name}.json`));
    identity = serve(
      'identity',
      configuration('identity', {
        identity: {
          listen: `127.0.0.1:${identityPort}`,
          public_url: identityBase,
          profile: 'production',
          data: join(folder, 'identity'),
          database_url: `file:${join(folder, 'database_url')}`,
          gateway_jwks: keys,
        },
      }),
    );
    modelServer = serve(
      'model-server',
      configuration('model-server', {
        model_server: {
          listen: `unix:${join(folder, 'model.sock')}`,
          gateway_jwks: keys,
          models: { 'tiny-gpt2': { path: join(packageRoot, 'models/tiny-gpt2.gguf') } },
        },
      }),
    );
    [first, second] = [await startGateway('a', identityPort), await startGateway('b', identityPort)];
    gateways = [first, second];
    await eventually('identity is ready', async () => (await statusOf(`${identityBase}/readyz`)) === 200);
    for (const gateway of gateways) await eventually('the gateway is ready', () => isReady(gateway));
    alice = await signIn('alice');
  });
  after(async () => {
    const codes = await Promise.all(
      [...gateways.map(({ served }) => served), identity, modelServer].map((one) => one.stop()),
    );
    await Promise.all([postgres.stop(), redis.close()]);
    rmSync(folder, { recursive: true, force: true });
    assert.deepEqual(codes, [0, 0, 0, 0], 'each part ends on SIGTERM with 0');
  });

  it('completes through either gateway with one sign-in', async () => {
    for (const gateway of gateways) assert.deepEqual((await ask(gateway, alice)).code, 'ok');
  });

  it('gives nobody an access token for a password, and says what to do instead', async () => {
    for (const base of [first.url, identityBase]) {
      const { status, body } = await postForm(`${base}/token`, { username: 'alice', password });
      assert.equal(status, 400);
      assert.match(body.detail, /switched off; use: sallyport login/);
      assert.equal(body.access_token, undefined);
    }
  });

  it('lets nobody list the accounts but an administrator, at identity not even him', async () => {
    const asAlice = { authorization: `Bearer ${alice.accessToken}` };
    for (const [url, status] of [
      [`${first.url}/admin/users`, 403],
      [`${identityBase}/admin/users`, 401],
    ] as const) {
      const response = await fetch(url, { headers: asAlice });
      assert.equal(response.status, status, url);
      await response.arrayBuffer();
    }
  });

  it('counts one person over both gateways', async () => {
    const bob = await signIn('bob');
    const answers = await Promise.all(
      Array.from({ length: 3 * permitted }, (_, index) =>
        ask(index % 2 === 0 ? first : second, bob, '/v1/embeddings'),
      ),
    );
    assert.equal(answers.filter(({ code }) => code === 'ok').length, permitted);
    const refused = answers.filter(({ code }) => code === 'rate_limit_exceeded');
    assert.equal(refused.length, 2 * permitted);
    for (const { headers } of refused) assert.ok(Number(headers.get('retry-after')) > 0);
    await second.served.kill();
    second.served.start();
    await eventually('the gateway is ready again', () => isReady(second));
    assert.equal(
      (await ask(second, bob, '/v1/embeddings')).code,
      'rate_limit_exceeded',
      'a crash resets nothing',
    );
  });

  it('without identity: known tokens go on, also after a restart of a gateway; sign-ins fail clearly', async () => {
    const stop = load(alice);
    await identity.kill();
    for (const gateway of gateways) assert.equal((await ask(gateway, alice)).code, 'ok');
    const registration = await postJson(`${first.url}/users`, { username: 'carol', password });
    assert.deepEqual([registration.status, registration.body.code], [502, 'upstream_unavailable']);
    assertSaysNothingOfUs(JSON.stringify(registration.body));
    const login = await finish(
      spawn(process.execPath, [join(packageRoot, 'cli/main.ts'), 'login', '--gateway', first.url], {
        env: {
          ...process.env,
          SALLYPORT_STATE_DIR: join(folder, 'state'),
          XDG_CONFIG_HOME: join(folder, 'config'), // Not the developer's own profile.
        },
      }),
    );
    assert.equal(login.code, 8, login.stderr);
    assert.match(login.stderr, /✗ .*localhost:\d+/);
    assert.doesNotMatch(login.stderr, /\n\s+at /);
    const outcomes = await stop();
    assert.deepEqual([...outcomes.keys()], ['200 ok']);

    await second.served.stop();
    second.served.start();
    await eventually('the gateway answers', answersWithin(second));
    assert.equal((await ask(second, alice)).code, 'ok', 'from the last good keys');

    identity.start();
    await eventually('identity is ready', async () => (await statusOf(`${identityBase}/readyz`)) === 200);
    const renewed = await refresh({ base: identityBase }, alice.refreshToken);
    assert.equal(renewed.status, 200, 'a sign-in outlives the process that gave it');
    alice = { ...alice, accessToken: renewed.body.access_token, refreshToken: renewed.body.refresh_token };
    assert.equal((await ask(first, alice)).code, 'ok');
    await signIn('carol');
  });

  it('without the model server: 502, and completions again once it is back', async () => {
    const stop = load(alice);
    const engines = childrenOf(modelServer.process().child.pid ?? 0);
    assert.ok(engines.length > 0 || process.platform !== 'linux');
    await modelServer.kill();
    for (const gateway of gateways) {
      await eventually('the loss shows', answersWith(gateway, 'upstream_unavailable'));
      const { status, text } = await ask(gateway, alice);
      assert.equal(status, 502);
      assertSaysNothingOfUs(text);
      assert.equal(await statusOf(`${gateway.url}/healthz`), 200);
      await eventually('readiness tells', async () => (await statusOf(`${gateway.url}/readyz`)) === 503);
    }
    await eventually('its engines end, too', () => engines.every((engine) => !existsSync(`/proc/${engine}`)));
    modelServer.start();
    for (const gateway of gateways) await eventually('it is back', answersWith(gateway, 'ok'));
    const outcomes = await stop();
    for (const outcome of outcomes.keys()) assert.match(outcome, /^(200 ok|502 upstream_\w+)$/);
  });

  it('without Redis: 503 and when to come again, and counted again once it is back', async () => {
    const stop = load(alice);
    await redis.kill();
    for (const gateway of gateways) {
      await eventually('the loss shows', answersWith(gateway, 'limit_store_unavailable'));
      const { status, headers, text } = await ask(gateway, alice);
      assert.equal(status, 503);
      assert.equal(headers.get('retry-after'), '1');
      assertSaysNothingOfUs(text);
      assert.equal(await statusOf(`${gateway.url}/readyz`), 503);
    }
    await redis.restart();
    for (const gateway of gateways) await eventually('it is back', answersWith(gateway, 'ok'));
    const outcomes = await stop();
    for (const outcome of outcomes.keys()) assert.match(outcome, /^(200 ok|503 limit_store_unavailable)$/);
  });

  it('without PostgreSQL: identity refuses without a stack and comes back by itself; known tokens go on', async () => {
    const stop = load(alice);
    await postgres.kill();
    await eventually('readiness tells', async () => (await statusOf(`${identityBase}/readyz`)) === 503);
    assert.equal(await statusOf(`${identityBase}/healthz`), 200);
    const refusals = [
      await fetch(`${identityBase}/device`, { headers: { accept: 'text/html' } }),
      await fetch(`${identityBase}/${tenant}/oauth2/v2.0/devicecode`, {
        method: 'POST',
        body: new URLSearchParams({ client_id: '5a11b0a7-0000-4000-8000-000000000001', scope: 'openid' }),
      }),
      await fetch(`${identityBase}/${tenant}/oauth2/v2.0/token`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'refresh_token',
          client_id: '5a11b0a7-0000-4000-8000-000000000001',
          refresh_token: alice.refreshToken,
        }),
      }),
      await fetch(`${first.url}/users`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ username: 'dora', password }),
      }),
    ];
    for (const response of refusals) {
      const text = await response.text();
      assert.equal(response.status, 503, `${response.url} ${response.status} ${text}`);
      assert.ok(Number(response.headers.get('retry-after')) > 0, response.url);
      assert.equal(response.headers.get('access-control-allow-origin'), null, response.url);
      assertSaysNothingOfUs(text);
    }
    assert.deepEqual([...(await stop()).keys()], ['200 ok']);
    await postgres.restart();
    await eventually('identity is ready', async () => (await statusOf(`${identityBase}/readyz`)) === 200);
    const renewed = await refresh({ base: identityBase }, alice.refreshToken);
    assert.equal(
      renewed.status,
      200,
      'nothing that was committed is lost, and a failed attempt spent nothing',
    );
    alice = { ...alice, accessToken: renewed.body.access_token, refreshToken: renewed.body.refresh_token };
    await signIn('dora');
  });

  it('a gateway that is killed at any moment leaves an audit log that verifies, with no torn line after its restart', async () => {
    for (let round = 0; round < 6; round++) {
      const answered: string[] = [];
      const asking = (async () => {
        for (;;) answered.push((await ask(first, alice)).headers.get('x-request-id') ?? '');
      })().catch(() => 'it is gone');
      await eventually('it answers', () => answered.length > 5 * round);
      await first.served.kill();
      assert.equal(await asking, 'it is gone');
      first.served.start();
      await eventually('the gateway is ready again', () => isReady(first));
      const log = auditText(first);
      const lost = answered.findIndex((id) => !log.includes(`"${id}"`));
      // What was still to be written goes; what had been written before it never does.
      for (const id of lost === -1 ? [] : answered.slice(lost)) assert.ok(!log.includes(`"${id}"`));
    }
    assert.equal((await ask(first, alice)).code, 'ok');
    await eventually('the last record is written', async () => (await verifyAuditLog(first.auditFolder)).ok);
    const { ok, findings, chains } = await verifyAuditLog(first.auditFolder);
    assert.deepEqual(findings, []);
    assert.equal(ok, true);
    assert.ok((chains[0]?.records ?? 0) > 10);
    for (const line of auditText(first).trimEnd().split('\n'))
      assert.ok(typeof JSON.parse(line) === 'object');
    const cli = await finish(
      spawn(process.execPath, [join(packageRoot, 'cli/main.ts'), 'audit', 'verify', first.auditFolder]),
    );
    assert.deepEqual([cli.code, cli.stdout.split('  ')[0]], [0, 'gateway'], cli.stderr);
  });

  it('writes no secret into any log', () => {
    const said = [identity, modelServer, ...gateways.map(({ served }) => served)]
      .map((one) => one.output())
      .join('');
    assert.ok(said.length > 0);
    for (const secret of [alice.accessToken, alice.refreshToken, password, postgres.url])
      assert.ok(!said.includes(secret));
    assert.doesNotMatch(said, /\n\s+at .*:\d+:\d+/, 'no stack');
  });
});

/** Processes that a process has started (Linux). */
function childrenOf(pid: number): string[] {
  if (process.platform !== 'linux') return [];
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/\s+/);
}

/** All lines of a gateway's audit log. */
function auditText({ auditFolder }: Gateway): string {
  return readdirSync(auditFolder)
    .filter((name) => name.endsWith('.jsonl'))
    .map((name) => readFileSync(join(auditFolder, name), 'utf8'))
    .join('');
}

function answersWithin(gateway: Gateway): () => Promise<boolean> {
  return async () => (await statusOf(`${gateway.url}/healthz`)) === 200;
}
