// The model server is never exposed: gateway and model server in two network namespaces, and a third that reaches the
// gateway (and a completion through it) but the model server by no address. Real kernels, real servers, no containers.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { packageRoot } from '../../core/package.ts';
import { watch } from '../support/start-process.ts';

const mark = `sp${process.pid % 100_000}`;
const spaces = { gateway: `${mark}-gw`, model: `${mark}-ms`, other: `${mark}-other` };
const base = mkdtempSync(join(tmpdir(), 'sallyport-netns-'));
const children: ChildProcess[] = [];

function skipReason(): string | false {
  if (process.platform !== 'linux') return 'network namespaces are a feature of Linux';
  if (process.getuid?.() !== 0) return 'needs root to make network namespaces';
  if (spawnSync('ip', ['-V']).error !== undefined) {
    if (process.env['SALLYPORT_REQUIRE_SERVICES'] === '1') throw new Error('iproute2 is not installed');
    return 'needs iproute2';
  }
  const probe = `${mark}-probe`;
  const made = spawnSync('ip', ['netns', 'add', probe]);
  if (made.status !== 0) return 'network namespaces are not permitted here (CAP_SYS_ADMIN, CAP_NET_ADMIN)';
  const linked = spawnSync('ip', [
    '-n',
    probe,
    'link',
    'add',
    'probe0',
    'type',
    'veth',
    'peer',
    'name',
    'probe1',
  ]);
  spawnSync('ip', ['netns', 'del', probe]);
  return linked.status === 0 ? false : 'virtual network cards are not permitted here (CAP_NET_ADMIN)';
}

const ip = (...words: string[]): string => execFileSync('ip', words, { encoding: 'utf8' });

/** other (10.77.0.2) — (10.77.0.1) gateway (10.77.1.1) — (10.77.1.2) model; the gateway's kernel forwards nothing. */
function buildNetwork(): void {
  for (const space of Object.values(spaces)) {
    ip('netns', 'add', space);
    ip('-n', space, 'link', 'set', 'lo', 'up');
  }
  const wire = (left: [string, string, string], right: [string, string, string]): void => {
    ip('-n', left[0], 'link', 'add', left[1], 'type', 'veth', 'peer', 'name', right[1], 'netns', right[0]);
    for (const [space, card, number] of [left, right]) {
      ip('-n', space, 'addr', 'add', `10.77.${number}/24`, 'dev', card);
      ip('-n', space, 'addr', 'add', `fd77:${number.replace('.', '::')}/64`, 'dev', card, 'nodad');
      ip('-n', space, 'link', 'set', card, 'up');
    }
  };
  wire([spaces.other, 'out', '0.2'], [spaces.gateway, 'front', '0.1']);
  wire([spaces.gateway, 'back', '1.1'], [spaces.model, 'in', '1.2']);
  ip('-n', spaces.other, 'route', 'add', 'default', 'via', '10.77.0.1');
  ip('-n', spaces.other, '-6', 'route', 'add', 'default', 'via', 'fd77:0::1');
  ip('-n', spaces.model, 'route', 'add', 'default', 'via', '10.77.1.1');
  for (const file of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding']) {
    execFileSync('ip', ['netns', 'exec', spaces.gateway, 'sh', '-c', `echo 0 > /proc/sys/net/${file}`]);
  }
}

function inside(space: string, ...words: string[]): ChildProcess {
  const child = spawn('ip', ['netns', 'exec', space, process.execPath, ...words], {
    cwd: packageRoot,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  return child;
}

function reach(space: string, ...pairs: [string, number][]): string[] {
  const words = pairs.flatMap(([host, port]) => [host, String(port)]);
  const script = join(packageRoot, 'tests/deploy/reach.mjs');
  return JSON.parse(
    execFileSync('ip', ['netns', 'exec', space, process.execPath, script, ...words], { encoding: 'utf8' }),
  ) as string[];
}

async function untilOpen(space: string, host: string, port: number): Promise<void> {
  while (reach(space, [host, port])[0] !== 'open') await new Promise((resolve) => setTimeout(resolve, 100));
}

interface Answer {
  readonly status: number;
  readonly body: { readonly usage?: { readonly completion_tokens: number } };
}

/** One completion, asked from a namespace; answers status and body. */
function complete(space: string, url: string, headers: Record<string, string>): Answer {
  const script = `const answer = await fetch(${JSON.stringify(url)}, { method: 'POST', headers: ${JSON.stringify({ 'content-type': 'application/json', ...headers })}, body: JSON.stringify({ model: 'tiny-gpt2', prompt: 'The sea', max_tokens: 4 }) });
    console.log(JSON.stringify({ status: answer.status, body: await answer.json() }));`;
  const output = execFileSync(
    'ip',
    ['netns', 'exec', space, process.execPath, '--input-type=module', '-e', script],
    { encoding: 'utf8' },
  );
  return JSON.parse(output) as Answer;
}

/** Addresses of every card in a namespace, link-local ones with the card that leads there. */
function addressesOf(space: string): string[] {
  const cards = JSON.parse(ip('-n', space, '-j', 'addr')) as {
    addr_info: { local: string; scope: string }[];
  }[];
  return cards
    .flatMap((card) => card.addr_info)
    .map(({ local, scope }) => (local.startsWith('fe80') && scope === 'link' ? `${local}%out` : local));
}

/** TCP ports that are listened on in the namespace of a process. */
function listeningIn(pid: number): string[] {
  return ['tcp', 'tcp6'].flatMap((table) =>
    readFileSync(`/proc/${pid}/net/${table}`, 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === '0A')
      .map((fields) => fields[1] ?? ''),
  );
}

async function startServers(
  name: string,
  model: { listen: string; url: string; insecure: boolean },
): Promise<{ model: ChildProcess; accessToken: string }> {
  const folder = join(base, name);
  cpSync(join(packageRoot, 'policies'), join(folder, 'policies'), { recursive: true });
  const issuer = watch(inside(spaces.gateway, 'tests/deploy/issuer-process.ts'));
  const { issuer: address, accessToken } = JSON.parse((await issuer.saying(/\{.*\}\n/))[0]) as {
    issuer: string;
    accessToken: string;
  };
  const file = join(folder, 'sallyport.yaml');
  writeFileSync(
    file,
    `gateway:
  listen: 0.0.0.0:8080
  insecure_plain_http: true
  internal_listen: 127.0.0.1:9464
  policies: ${folder}/policies
  data: ${folder}/gateway
  assertion_jwks: ${folder}/gateway-jwks.json
  embedded_issuer: ${address}
  upstreams:
    embedded: { kind: openai, url: '${model.url}', models: [tiny-gpt2], assertion: model-server }
    accounts: { kind: http, url: 'http://127.0.0.1:9', assertion: identity }
model_server:
  listen: ${model.listen}
  insecure_plain_http: ${model.insecure}
  gateway_jwks: ${folder}/gateway-jwks.json
  models: { tiny-gpt2: { path: ${packageRoot}/models/tiny-gpt2.gguf } }
`,
  );
  const started = inside(spaces.model, 'cli/main.ts', 'serve', 'model-server', '--config', file);
  await watch(started).saying(/engine ready/);
  inside(spaces.gateway, 'cli/main.ts', 'serve', 'gateway', '--config', file);
  await untilOpen(spaces.other, '10.77.0.1', 8080);
  return { model: started, accessToken };
}

async function stopServers(): Promise<void> {
  const ended = children.splice(0).map(async (child) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await new Promise((resolve) => child.once('exit', resolve));
  });
  await Promise.all(ended);
}

/** A model server that has just opened its socket may be asked a moment early. */
async function completesThroughGateway(accessToken: string): Promise<void> {
  const answer = complete(spaces.other, 'http://10.77.0.1:8080/v1/completions', {
    authorization: `Bearer ${accessToken}`,
  });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  assert.equal((answer.body.usage?.completion_tokens ?? 0) > 0, true);
  const refused = complete(spaces.other, 'http://10.77.0.1:8080/v1/completions', {});
  assert.equal(refused.status, 401);
}

const reason = skipReason();
describe('the model server in a network namespace of its own', { skip: reason }, () => {
  before(() => buildNetwork());
  after(async () => {
    await stopServers();
    for (const space of Object.values(spaces)) spawnSync('ip', ['netns', 'del', space]);
    rmSync(base, { recursive: true, force: true });
  });

  it('on a Unix socket, as by default: completes through the gateway and listens on no address at all', async () => {
    const { model, accessToken } = await startServers('unix', {
      listen: `unix:${base}/model.sock`,
      url: `unix:${base}/model.sock`,
      insecure: false,
    });
    await completesThroughGateway(accessToken);
    assert.deepEqual(listeningIn(model.pid ?? 0), []);
    await stopServers();
  });

  it('on an internal address: the third namespace reaches the gateway, but the model server by none of its addresses', async () => {
    const { accessToken } = await startServers('tcp', {
      listen: '10.77.1.2:8090',
      url: 'http://10.77.1.2:8090',
      insecure: true,
    });
    await completesThroughGateway(accessToken);
    assert.deepEqual(reach(spaces.gateway, ['10.77.1.2', 8090]), ['open'], 'the gateway has a way');
    const targets = [...addressesOf(spaces.model), ...addressesOf(spaces.gateway)].map(
      (address): [string, number] => [address, 8090],
    );
    assert.ok(targets.length >= 8);
    const results = reach(spaces.other, ...targets);
    assert.deepEqual(
      results.filter((result) => result === 'open'),
      [],
      JSON.stringify([targets, results]),
    );
    const direct = complete(spaces.gateway, 'http://10.77.1.2:8090/v1/completions', {
      authorization: `Bearer ${accessToken}`,
    });
    assert.equal(direct.status, 401, 'even beside it, nothing works without the assertion of the gateway');
    await stopServers();
  });
});
if (reason !== false) rmSync(base, { recursive: true, force: true });
