// The gateway's section of the configuration: what opens something has to be said by a name that says so, and a fault
// is found where it has a file and a line.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigurationError, parseYaml, type Finding } from '../../core/yaml-file.ts';
import { gatewayConfigSchema, type GatewayConfig } from '../../gateway/config.ts';

const parse = (text: string): GatewayConfig => parseYaml(text, gatewayConfigSchema, 'gateway.yaml').value;

function findingsOf(text: string): readonly Finding[] {
  try {
    parse(text);
  } catch (error) {
    assert.ok(error instanceof ConfigurationError);
    return error.findings;
  }
  return [];
}

describe('the address of the public listener', () => {
  it('is loopback by default, and so is the internal one', () => {
    assert.deepEqual(parse('{}').listen, { kind: 'tcp', host: '127.0.0.1', port: 8080 });
    assert.deepEqual(parse('{}').internal_listen, { kind: 'tcp', host: '127.0.0.1', port: 9464 });
  });

  for (const listen of [
    '0.0.0.0:8080',
    '"[::]:8080"',
    '192.0.2.7:8080',
    'gateway.internal:8080',
    '128.0.0.1:1',
  ]) {
    it(`is refused beyond loopback without a setting that says so: ${listen}`, () => {
      const [finding] = findingsOf(`data: x\nlisten: ${listen}\n`);
      assert.deepEqual([finding?.line, finding?.keyPath], [2, 'listen']);
      assert.match(finding?.message ?? '', /tls.*tls_ends_at_proxy.*insecure_plain_http/);
    });

    for (const setting of [
      'insecure_plain_http: true',
      'tls_ends_at_proxy: true',
      'tls: { cert: a.pem, key: b.pem }',
    ]) {
      it(`is taken beyond loopback with ${setting}: ${listen}`, () => {
        assert.deepEqual(findingsOf(`listen: ${listen}\n${setting}\n`), []);
      });
    }
  }

  for (const listen of [
    '127.0.0.1:0',
    '127.8.9.1:80',
    '"[::1]:8080"',
    'localhost:8080',
    'unix:run/gateway.sock',
  ]) {
    it(`needs no such setting on this machine: ${listen}`, () => {
      assert.deepEqual(findingsOf(`listen: ${listen}\n`), []);
    });
  }
});

describe('a fault in the configuration of the gateway', () => {
  const faults: readonly [title: string, text: string, line: number, keyPath: string, message: RegExp][] = [
    [
      'a proxy that is no address',
      'trusted_proxies:\n  - proxy.internal\n',
      2,
      'trusted_proxies.0',
      /neither/,
    ],
    ['a block that is none', 'trusted_proxies: [10.0.0.0/33]\n', 1, 'trusted_proxies.0', /CIDR/],
    [
      'an upstream of another scheme',
      'upstreams:\n  a: { kind: openai, url: "ftp://x" }\n',
      2,
      'upstreams.a.url',
      /https/,
    ],
    [
      'an upstream without a host',
      'upstreams:\n  a: { kind: openai, url: "http://" }\n',
      2,
      'upstreams.a.url',
      /https/,
    ],
    [
      'a password in an upstream',
      'upstreams:\n  a: { kind: openai, url: "http://u:hush@x" }\n',
      2,
      'upstreams.a.url',
      /api_key/,
    ],
    [
      'a secret in the file',
      'upstreams:\n  a: { kind: openai, url: "http://x", api_key: hush }\n',
      2,
      'upstreams.a.api_key',
      /env:NAME/,
    ],
    ['a password for Redis', 'redis: { url: "redis://:hush@x:6379" }\n', 1, 'redis.url', /env:NAME/],
    ['a lease of nothing', 'redis: { url: "redis://x", lease: 0s }\n', 1, 'redis.lease', /100ms/],
    ['a lease that is too long', 'redis: { url: "redis://x", lease: 11s }\n', 1, 'redis.lease', /10s/],
    ['a Redis that is none', 'redis: { url: "http://x" }\n', 1, 'redis.url', /redis:\/\//],
    ['no port', 'listen: 127.0.0.1\n', 1, 'listen', /host:port/],
    ['a port out of range', 'listen: 127.0.0.1:65536\n', 1, 'listen', /host:port/],
    ['a key twice', 'workers: 1\nworkers: 2\n', 2, 'workers', /twice/],
    ['no worker', 'workers: 0\n', 1, 'workers', />=1/],
  ];
  for (const [title, text, line, keyPath, message] of faults) {
    it(`is found at its place: ${title}`, () => {
      const findings = findingsOf(text);
      assert.equal(findings.length, 1);
      assert.deepEqual([findings[0]?.line, findings[0]?.keyPath], [line, keyPath]);
      assert.match(findings[0]?.message ?? '', message);
      assert.doesNotMatch(findings[0]?.message ?? '', /hush/);
    });
  }

  it('names the nearest known key', () => {
    const [finding] = findingsOf('trusted_proxy: []\n');
    assert.deepEqual([finding?.code, finding?.suggestion], ['unknown_key', 'trusted_proxies']);
  });
});
