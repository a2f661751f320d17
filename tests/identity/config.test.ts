import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseYaml, ConfigurationError } from '../../core/yaml-file.ts';
import { identityConfigSchema, passwordGrantEnabled } from '../../identity/config.ts';
import { clientMetadata } from '../../identity/openid/clients.ts';

function refused(yaml: string): string {
  try {
    parseYaml(yaml, identityConfigSchema, 'identity.yaml');
  } catch (error) {
    assert.ok(error instanceof ConfigurationError);
    return error.message;
  }
  return 'accepted';
}

describe('the identity section', () => {
  it('listens on loopback with secure defaults when it is empty', () => {
    const config = identityConfigSchema.parse({});
    assert.deepEqual(config.listen, { kind: 'tcp', host: '127.0.0.1', port: 8081 });
    assert.equal(config.registration.insecure_allow_role_choice, false);
    assert.equal(config.device_code.interval_s, 2);
    assert.equal(config.device_code.lifetime_s, 900);
    assert.equal(config.access_token_ttl_s, 3600);
  });

  it('takes passwords at POST /token in development only, unless told', () => {
    assert.equal(passwordGrantEnabled(identityConfigSchema.parse({})), true);
    assert.equal(passwordGrantEnabled(identityConfigSchema.parse({ profile: 'production' })), false);
    assert.equal(passwordGrantEnabled(identityConfigSchema.parse({ password_grant: false })), false);
    assert.equal(
      passwordGrantEnabled(identityConfigSchema.parse({ profile: 'production', password_grant: true })),
      true,
    );
  });

  it('refuses plain HTTP beyond loopback and says how to do it', () => {
    const message = refused('listen: 192.0.2.1:8081\n');
    assert.match(message, /identity\.yaml:1:1 listen:/);
    assert.match(message, /tls_ends_at_proxy/);
    assert.match(message, /insecure_plain_http/);
    for (const way of ['insecure_plain_http: true', 'tls_ends_at_proxy: true', 'tls: { cert: a, key: b }']) {
      assert.equal(refused(`listen: 192.0.2.1:8081\n${way}\n`), 'accepted', way);
    }
  });

  it('refuses an address that stands for all without a public URL, and a public URL that is more than an origin', () => {
    assert.match(refused('listen: 0.0.0.0:8081\ninsecure_plain_http: true\n'), /public_url/);
    assert.equal(
      refused('listen: 0.0.0.0:8081\ninsecure_plain_http: true\npublic_url: http://id.example\n'),
      'accepted',
    );
    for (const url of [
      'https://id.example/',
      'https://id.example/path',
      'https://id.example?x',
      'ftp://id.example',
      'id.example',
    ]) {
      assert.match(refused(`public_url: ${url}\n`), /public_url/, url);
    }
    assert.match(refused('tls: { cert: a, key: b }\npublic_url: http://id.example\n'), /https/);
  });

  it('refuses unknown keys with the nearest known one, wrong types, and secrets in the file', () => {
    assert.match(refused('registraton: {}\n'), /did you mean "registration"/);
    assert.match(refused('registration: { enable: true }\n'), /did you mean "enabled"/);
    assert.match(refused('tenant_id: contoso\n'), /tenant_id/);
    assert.match(refused('access_token_ttl_s: 1h\n'), /access_token_ttl_s/);
    assert.match(refused('device_code: { interval_s: 0 }\n'), /interval_s/);
    assert.match(refused('device_code: { lifetime_s: 3600 }\n'), /lifetime_s/);
    assert.match(refused('database_url: postgres://me:hunter2@db/x\n'), /env:NAME or file:/);
    assert.doesNotMatch(refused('database_url: postgres://me:hunter2@db/x\n'), /hunter2/);
    assert.match(refused('clients: [{ client_id: a, secret: hunter2 }]\n'), /env:NAME or file:/);
  });

  it('refuses a client whose secret is missing or short, naming the reference only', () => {
    const config = identityConfigSchema.parse({
      clients: [{ client_id: 'a', secret: 'env:SALLYPORT_TEST_SHORT_SECRET' }],
    });
    assert.throws(() => clientMetadata(config), /SALLYPORT_TEST_SHORT_SECRET is not set/);
    process.env['SALLYPORT_TEST_SHORT_SECRET'] = 'hunter2';
    assert.throws(
      () => clientMetadata(config),
      (error: Error) => /32 characters/.test(error.message) && !error.message.includes('hunter2'),
    );
  });
});
