// How file, environment and flags become the configuration of three servers that agree with one another.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { gatewayUrl, identityUrl, loadConfiguration, type ConfigurationSources } from '../../cli/compose.ts';
import { ConfigurationError, type Finding } from '../../core/yaml-file.ts';

const base = mkdtempSync(join(tmpdir(), 'sallyport-config-'));
after(() => rmSync(base, { recursive: true, force: true }));

function write(text: string): string {
  const file = join(base, `${Math.random().toString(36).slice(2)}.yaml`);
  writeFileSync(file, text);
  return file;
}

function findings(sources: ConfigurationSources): readonly Finding[] {
  try {
    loadConfiguration(sources);
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return error.findings;
  }
  throw new assert.AssertionError({ message: 'nothing was refused' });
}

describe('loadConfiguration: the shipped file', () => {
  it('serves three loopback servers that point at one another', () => {
    const { gateway, identity, modelServer } = loadConfiguration();
    assert.deepEqual(gateway?.listen, { kind: 'tcp', host: '127.0.0.1', port: 8080 });
    assert.equal(gateway.embedded_issuer, `http://127.0.0.1:8081/${identity?.tenant_id ?? ''}/v2.0`);
    assert.equal(identity?.gateway_url, 'http://127.0.0.1:8080');
    assert.deepEqual(modelServer?.listen, { kind: 'unix', path: 'data/run/model.sock' });
    assert.equal(gateway.assertion_jwks, modelServer.gateway_jwks);
    assert.deepEqual(gateway.upstreams['embedded']?.models, Object.keys(modelServer.models));
  });
});

describe('loadConfiguration: flags', () => {
  it('--port moves the gateway, the identity server and the internal listener together, and who points at them', () => {
    const { gateway, identity } = loadConfiguration({ flags: { port: 9000 } });
    assert.ok(gateway !== undefined && identity !== undefined);
    assert.equal(gatewayUrl(gateway), 'http://127.0.0.1:9000');
    assert.equal(identityUrl(identity), 'http://127.0.0.1:9001');
    assert.deepEqual(gateway.internal_listen, { kind: 'tcp', host: '127.0.0.1', port: 9002 });
    assert.ok(gateway.embedded_issuer?.startsWith('http://127.0.0.1:9001/'));
    assert.equal(gateway.upstreams['accounts']?.url, 'http://127.0.0.1:9001');
    assert.equal(identity.gateway_url, 'http://127.0.0.1:9000');
  });

  it('--tls serves both on https and makes the gateway trust the local authority', () => {
    const { gateway, identity, localTls } = loadConfiguration({ flags: { tls: true } });
    assert.equal(gateway?.issuer_ca, 'data/tls/ca.pem');
    assert.equal(gateway.upstreams['accounts']?.ca, 'data/tls/ca.pem');
    assert.equal(gateway.upstreams['accounts'].url, 'https://127.0.0.1:8081');
    assert.equal(gateway.upstreams['embedded']?.ca, undefined);
    assert.ok(gateway.embedded_issuer?.startsWith('https://127.0.0.1:8081/'));
    assert.deepEqual(identity?.tls, gateway.tls);
    assert.equal(localTls?.certificate, gateway.tls?.cert);
  });

  it('--data moves every path that is written at run time', () => {
    const configuration = loadConfiguration({ flags: { dataFolder: '/srv/sp', tls: true } });
    assert.equal(configuration.gateway?.data, '/srv/sp/gateway');
    assert.equal(configuration.gateway.assertion_jwks, '/srv/sp/run/gateway-jwks.json');
    assert.equal(configuration.gateway.upstreams['embedded']?.url, 'unix:/srv/sp/run/model.sock');
    assert.deepEqual(configuration.modelServer?.listen, { kind: 'unix', path: '/srv/sp/run/model.sock' });
    assert.equal(configuration.identity?.data, '/srv/sp/identity');
    assert.equal(configuration.localTls?.authority, '/srv/sp/tls/ca.pem');
    assert.equal(configuration.gateway.issuer_ca, '/srv/sp/tls/ca.pem');
    assert.ok(!JSON.stringify(configuration).includes('"data/'));
  });

  it('--model serves one file under its own name, and the gateway knows it', () => {
    const { gateway, modelServer } = loadConfiguration({ flags: { model: '/models/My GPT2.gguf' } });
    assert.deepEqual(Object.keys(modelServer?.models ?? {}), ['My-GPT2']);
    assert.equal(modelServer?.models['My-GPT2']?.path, '/models/My GPT2.gguf');
    assert.deepEqual(gateway?.upstreams['embedded']?.models, ['My-GPT2']);
  });

  it('leaves an issuer and upstreams elsewhere alone', () => {
    const configFile = write(`
gateway:
  embedded_issuer: https://login.example.com/v2.0
  upstreams:
    far: { kind: openai, url: 'https://llm.example.com', models: [big] }
identity: { listen: '127.0.0.1:8081', gateway_url: 'https://api.example.com' }
`);
    const { gateway, identity, modelServer } = loadConfiguration({ configFile, flags: { port: 9000 } });
    assert.equal(gateway?.embedded_issuer, 'https://login.example.com/v2.0');
    assert.equal(gateway.upstreams['far']?.url, 'https://llm.example.com');
    assert.deepEqual(gateway.upstreams['far'].models, ['big']);
    assert.equal(identity?.gateway_url, 'https://api.example.com');
    assert.equal(modelServer, undefined);
  });
});

describe('loadConfiguration: environment', () => {
  it('lays SALLYPORT_SECTION__KEY over the file, with the types that the setting has', () => {
    const env = {
      SALLYPORT_GATEWAY__LISTEN: '127.0.0.1:9100',
      SALLYPORT_MODEL_SERVER__THREADS: '3',
      SALLYPORT_GATEWAY__UPSTREAMS__EMBEDDED__MAX_CONNECTIONS: '7',
      SALLYPORT_GATEWAY__UPSTREAMS__EMBEDDED__API_KEY: 'env:UPSTREAM_KEY',
      SALLYPORT_URL: 'http://ignored',
    };
    const { gateway, modelServer } = loadConfiguration({ env });
    assert.deepEqual(gateway?.listen, { kind: 'tcp', host: '127.0.0.1', port: 9100 });
    assert.equal(modelServer?.threads, 3);
    assert.equal(gateway.upstreams['embedded']?.max_connections, 7);
    assert.equal(gateway.upstreams['embedded'].api_key, 'env:UPSTREAM_KEY');
  });

  it('gives way to a flag', () => {
    const { gateway } = loadConfiguration({
      env: { SALLYPORT_GATEWAY__LISTEN: '127.0.0.1:9100' },
      flags: { port: 9200 },
    });
    assert.deepEqual(gateway?.listen, { kind: 'tcp', host: '127.0.0.1', port: 9200 });
  });

  it('keeps text that looks like a number as text where text is asked for', () => {
    const env = { SALLYPORT_GATEWAY__POLICIES: '1234' };
    assert.equal(loadConfiguration({ env }).gateway?.policies, '1234');
  });

  it('refuses an unknown key, naming the variable and the nearest key', () => {
    const [finding] = findings({ env: { SALLYPORT_GATEWAY__LISTN: 'x' } });
    assert.equal(finding?.file, 'SALLYPORT_GATEWAY__LISTN');
    assert.equal(finding.code, 'unknown_key');
    assert.equal(finding.suggestion, 'listen');
  });

  it('refuses a wrong value, naming the variable', () => {
    const [finding] = findings({ env: { SALLYPORT_MODEL_SERVER__THREADS: 'many' } });
    assert.equal(finding?.file, 'SALLYPORT_MODEL_SERVER__THREADS');
    assert.equal(finding.keyPath, 'model_server.threads');
  });
});

describe('loadConfiguration: bad files', () => {
  const cases: [string, string, Partial<Finding>][] = [
    ['an unknown section', 'gatewy: {}\n', { line: 1, code: 'unknown_key', suggestion: 'gateway' }],
    [
      'an unknown key',
      'gateway:\n  lisen: x\n',
      { line: 2, code: 'unknown_key', suggestion: 'listen', keyPath: 'gateway.lisen' },
    ],
    ['a wrong type', 'gateway:\n  workers: many\n', { line: 2, keyPath: 'gateway.workers' }],
    ['a wrong address', 'identity:\n  listen: nowhere\n', { line: 2, keyPath: 'identity.listen' }],
    ['a duplicate key', 'gateway:\n  workers: 1\n  workers: 2\n', { line: 3, code: 'duplicate_key' }],
    ['broken YAML', 'gateway: [\n', { code: 'yaml_syntax' }],
    ['a list in place of the sections', '- gateway\n', { line: 1 }],
    [
      'plain HTTP beyond loopback',
      'identity:\n  listen: 0.0.0.0:8081\n',
      { line: 2, keyPath: 'identity.listen' },
    ],
  ];
  for (const [what, text, expected] of cases) {
    it(`refuses ${what}, with file and line`, () => {
      const configFile = write(text);
      const [finding] = findings({ configFile });
      assert.equal(finding?.file, configFile);
      for (const [key, value] of Object.entries(expected))
        assert.equal(finding[key as keyof Finding], value, key);
    });
  }

  it('refuses a missing file by its name', () => {
    const [finding] = findings({ configFile: join(base, 'nope.yaml') });
    assert.equal(finding?.code, 'missing_file');
  });

  it('reports every fault of a file in one run', () => {
    assert.equal(
      findings({ configFile: write('gateway: { lisen: 1, workrs: 2 }\nidentity: { lisen: 3 }\n') }).length,
      3,
    );
  });
});

describe('loadConfiguration: where a setting comes from', () => {
  it('names the line of the file, the variable or the flag', () => {
    const configFile = write('identity: {}\ngateway:\n  workers: 1\n  listen: 127.0.0.1:8080\n');
    const { placeOf } = loadConfiguration({
      configFile,
      flags: { model: 'x.gguf' },
      env: { SALLYPORT_GATEWAY__WORKERS: '1' },
    });
    assert.equal(placeOf('gateway.listen'), `${configFile}:4`);
    assert.equal(placeOf('gateway.workers'), 'SALLYPORT_GATEWAY__WORKERS');
    assert.equal(placeOf('model_server.models.x.path'), '--model');
    assert.equal(placeOf('identity.listen'), `${configFile}:1`);
  });
});
