// The schema of policies/issuers.yaml: what it refuses, where it says so, and the secure defaults.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { stringify } from 'yaml';
import { packageRoot } from '../../../core/package.ts';
import { ConfigurationError, parseYaml, readYamlFile } from '../../../core/yaml-file.ts';
import { checkIssuers, compileIssuers, issuersSchema } from '../../../gateway/authenticate/index.ts';
import { createLog } from '../../../core/log.ts';
import { authenticationOf, entryFor } from './authentication-under-test.ts';

const log = createLog('gateway', 'silent');
const tenant = '3f6c0000-0000-4000-8000-00000000000a';
const good = entryFor('https://login.example/x');
const goodEntra = { entra: { tenant_id: tenant }, audiences: ['api://x'], client_ids: ['c'] };

function findings(entry: unknown): { keyPath: string; message: string; code: string; suggestion?: string }[] {
  try {
    parseYaml(stringify({ issuers: { it: entry } }), issuersSchema, 'policies/issuers.yaml');
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigurationError);
    return error.findings.map(({ keyPath, message, code, suggestion }) => ({
      keyPath,
      message,
      code,
      ...(suggestion === undefined ? {} : { suggestion }),
    }));
  }
}

describe('issuers.yaml', () => {
  it('the shipped file is valid', () => {
    const { value } = readYamlFile(join(packageRoot, 'policies/issuers.yaml'), issuersSchema);
    const embeddedIssuer = 'http://127.0.0.1:8081/5a11b0a7-0000-4000-8000-000000000000/v2.0';
    const authentication = compileIssuers(value, { embeddedIssuer, log });
    assert.deepEqual(authentication.issuers, [embeddedIssuer]);
    assert.deepEqual(authentication.scopesSupported, ['api://sallyport/LLM.Access']);
  });

  it('has secure defaults', () => {
    const { it: oidc, entra } = issuersSchema.parse({ issuers: { it: good, entra: goodEntra } }).issuers;
    assert.deepEqual(oidc?.algorithms, ['RS256']);
    assert.equal(oidc.clock_skew, 30_000);
    assert.equal(oidc.insecure_plain_http, false);
    assert.deepEqual(oidc.jwks, { max_age: 86_400_000, cooldown: 30_000, refresh: 600_000 });
    assert.deepEqual(entra?.entra?.versions, ['2.0']);
    assert.equal(entra.entra.authority, 'https://login.microsoftonline.com');
  });

  const acceptances: [string, unknown][] = [
    ['any client, spelled out', { ...good, client_ids: { any: true } }],
    ['the largest skew', { ...good, clock_skew: '60s' }],
    ['no skew', { ...good, clock_skew: '0s' }],
    ['http on loopback', { ...good, issuer: 'http://127.0.0.1:8081/x' }],
    ['http on IPv6 loopback', { ...good, issuer: 'http://[::1]:8081/x' }],
    ['http elsewhere, spelled out', { ...good, issuer: 'http://identity:8081/x', insecure_plain_http: true }],
    [
      'documents at addresses of their own',
      { ...good, metadata_url: 'https://in.example/metadata', jwks_url: 'http://127.0.0.1:8081/keys' },
    ],
    [
      'documents in plain http elsewhere, spelled out',
      { ...good, jwks_url: 'http://identity:8081/keys', insecure_plain_http: true },
    ],
    ['an issuer with a slash at its end', { ...good, issuer: 'https://login.example/' }],
    ['nested claims', { ...good, claims: { roles: ['realm_access', 'roles'] } }],
    ['a required claim that is a boolean', { ...good, required_claims: { email_verified: { all: [true] } } }],
    [
      'another cloud',
      { ...goodEntra, entra: { tenant_id: tenant, authority: 'https://login.microsoftonline.us' } },
    ],
  ];
  for (const [title, entry] of acceptances) {
    it(`accepts ${title}`, () => assert.deepEqual(findings(entry), []));
  }

  const refusals: [string, unknown, RegExp][] = [
    ['no audiences', { ...good, audiences: undefined }, /audiences/],
    ['an empty list of audiences', { ...good, audiences: [] }, /audiences/],
    [
      'every audience of every client',
      { ...good, audiences: { insecure_any: true }, client_ids: { any: true } },
      /listed clients only/,
    ],
    ['an empty audience', { ...good, audiences: [''] }, /audiences/],
    ['an audience that is no list', { ...good, audiences: 'api://x' }, /audiences/],
    ['no client_ids', { ...good, client_ids: undefined }, /^issuers.it.client_ids: /],
    ['an empty list of clients', { ...good, client_ids: [] }, /^issuers.it.client_ids: /],
    ['any: false', { ...good, client_ids: { any: false } }, /client_ids/],
    ['algorithm HS256', { ...good, algorithms: ['HS256'] }, /algorithms/],
    ['algorithm none', { ...good, algorithms: ['none'] }, /algorithms/],
    ['algorithm None', { ...good, algorithms: ['None'] }, /algorithms/],
    ['an empty list of algorithms', { ...good, algorithms: [] }, /algorithms/],
    ['an empty list of token types', { ...good, token_types: [] }, /token_types/],
    ['a skew of 61 s', { ...good, clock_skew: '61s' }, /clock_skew: clock_skew is at most 60s/],
    ['a skew without unit', { ...good, clock_skew: 30 }, /clock_skew/],
    ['neither issuer nor entra', { ...good, issuer: undefined }, /either issuer/],
    ['both issuer and entra', { ...good, entra: { tenant_id: tenant } }, /either issuer/],
    ['an issuer that is no address', { ...good, issuer: 'login.example' }, /issuer: an issuer is/],
    ['an issuer with another scheme', { ...good, issuer: 'ftp://login.example' }, /issuer: an issuer is/],
    ['an issuer that cannot be parsed', { ...good, issuer: 'https://[' }, /issuer: an issuer is/],
    ['an issuer with a query', { ...good, issuer: 'https://login.example/?a=1' }, /no query/],
    ['an issuer with a fragment', { ...good, issuer: 'https://login.example/#a' }, /no query/],
    ['an issuer with credentials', { ...good, issuer: 'https://a:b@login.example' }, /no query/],
    ['an issuer with a password alone', { ...good, issuer: 'https://:b@login.example' }, /no query/],
    [
      'plain http beyond loopback',
      { ...good, issuer: 'http://login.example' },
      /issuer: http:\/\/ is accepted on loopback/,
    ],
    [
      'plain http to a name that begins like loopback',
      { ...good, issuer: 'http://127.0.0.1.evil.example' },
      /on loopback/,
    ],
    [
      'a plain http authority',
      { ...goodEntra, entra: { tenant_id: tenant, authority: 'http://login.example' } },
      /authority: http/,
    ],
    [
      'a plain http metadata_url beyond loopback',
      { ...good, metadata_url: 'http://identity:8081/m' },
      /metadata_url: http:\/\/ is accepted on loopback/,
    ],
    [
      'a plain http jwks_url beyond loopback',
      { ...good, jwks_url: 'http://identity:8081/keys' },
      /jwks_url: http:\/\/ is accepted on loopback/,
    ],
    ['a jwks_url that is a file', { ...good, jwks_url: 'file:///etc/keys.json' }, /jwks_url: a document/],
    ['a jwks_url with a query', { ...good, jwks_url: 'https://in.example/keys?a=1' }, /jwks_url: a document/],
    [
      'a jwks_url with credentials',
      { ...good, jwks_url: 'https://a:b@in.example/k' },
      /jwks_url: a document/,
    ],
    ['a metadata_url that cannot be parsed', { ...good, metadata_url: 'https://[' }, /metadata_url: a doc/],
    ['an empty metadata_url', { ...good, metadata_url: '' }, /metadata_url: a document/],
    ['a jwks_url beside entra', { ...goodEntra, jwks_url: 'https://in.example/keys' }, /jwks_url: it goes/],
    [
      'a metadata_url beside entra',
      { ...goodEntra, metadata_url: 'https://in.example/m' },
      /metadata_url: it goes/,
    ],
    ['tenant common', { ...goodEntra, entra: { tenant_id: 'common' } }, /tenant_id: a tenant id is a GUID/],
    ['a tenant by name', { ...goodEntra, entra: { tenant_id: 'contoso.onmicrosoft.com' } }, /GUID/],
    ['version 3.0', { ...goodEntra, entra: { tenant_id: tenant, versions: ['3.0'] } }, /versions/],
    ['no versions', { ...goodEntra, entra: { tenant_id: tenant, versions: [] } }, /versions/],
    [
      'an authority with a path',
      { ...goodEntra, entra: { tenant_id: tenant, authority: 'https://x/y' } },
      /authority/,
    ],
    [
      'all and any together',
      { ...good, required_claims: { scp: { all: ['a'], any: ['b'] } } },
      /scp: state either/,
    ],
    ['neither all nor any', { ...good, required_claims: { scp: {} } }, /scp: state either/],
    ['an empty all', { ...good, required_claims: { scp: { all: [] } } }, /scp/],
    [
      'a required claim that is null',
      { ...good, required_claims: { scp: { all: [null] } } },
      /^issuers.it.required_claims.scp/,
    ],
    ['a claim path that is empty', { ...good, claims: { roles: [] } }, /^issuers.it.claims.roles: /],
    [
      'max_age shorter than refresh',
      { ...good, jwks: { max_age: '5m' } },
      /jwks.max_age: max_age is at least/,
    ],
    [
      'refresh of two days',
      { ...good, jwks: { refresh: '2d', max_age: '7d' } },
      /jwks.refresh: refresh is at most/,
    ],
    ['a cool-down of nothing', { ...good, jwks: { cooldown: '0s' } }, /cooldown is at least/],
    ['refresh of 1s', { ...good, jwks: { refresh: '1s' } }, /refresh is at least/],
    ['max_age of 1s', { ...good, jwks: { max_age: '1s', refresh: '5s' } }, /max_age is at least/],
    ['no entry at all', undefined, /at least one issuer/],
  ];
  for (const [title, entry, expected] of refusals) {
    it(`refuses ${title}`, () => {
      const found = findings(entry).map(({ keyPath, message }) => `${keyPath}: ${message}`);
      assert.ok(
        found.some((line) => expected.test(line)),
        found.join('\n') || 'accepted',
      );
    });
  }

  it('names the nearest known key', () => {
    const [finding] = findings({ ...good, audience: ['x'], audiences: ['x'] });
    assert.deepEqual([finding?.code, finding?.suggestion], ['unknown_key', 'audiences']);
  });

  it('refuses a file without issuers', () => {
    assert.throws(() => parseYaml('issuers: {}', issuersSchema, 'x'), /at least one issuer/);
    assert.throws(() => parseYaml('', issuersSchema, 'x'), ConfigurationError);
  });

  it('refuses an issuer name that is unfit for a metric label', () => {
    assert.throws(
      () => parseYaml(stringify({ issuers: { 'A b': good } }), issuersSchema, 'x'),
      ConfigurationError,
    );
  });
});

describe('checks between entries', () => {
  const check = (issuers: Record<string, unknown>, embedded?: string | null): string[] =>
    checkIssuers(issuersSchema.parse({ issuers }), embedded).map(
      ({ path, message }) => `${path.join('.')}: ${message}`,
    );

  it('finds nothing wrong with different issuers', () => {
    assert.deepEqual(check({ a: good, b: goodEntra, c: entryFor('embedded') }, 'https://id.example'), []);
  });

  it('finds embedded without an embedded issuer', () => {
    assert.match(check({ a: entryFor('embedded') }, null)[0] ?? '', /^issuers\.a\.issuer: embedded needs/);
    assert.match(check({ a: entryFor('embedded') })[0] ?? '', /embedded needs/);
  });

  it('finds one iss in two entries', () => {
    assert.match(check({ a: good, b: good })[0] ?? '', /^issuers\.b\.issuer: .*already judged by a/);
    const entra = { ...goodEntra, entra: { tenant_id: tenant.toUpperCase() } };
    assert.match(check({ a: goodEntra, b: entra })[0] ?? '', /^issuers\.b\.entra: .*already judged by a/);
    assert.match(
      check({ a: good, b: entryFor('embedded') }, 'https://login.example/x')[0] ?? '',
      /already judged by a/,
    );
  });

  it('finds an embedded issuer in plain http beyond loopback, unless that is spelled out', () => {
    assert.match(check({ a: entryFor('embedded') }, 'http://identity:8081')[0] ?? '', /insecure_plain_http/);
    assert.deepEqual(
      check({ a: entryFor('embedded', { insecure_plain_http: true }) }, 'http://identity:8081'),
      [],
    );
  });

  it('compiling refuses what they find', () => {
    assert.throws(
      () => authenticationOf({ a: entryFor('embedded') }),
      /^Error: issuers\.a\.issuer: embedded needs/,
    );
  });
});

describe('what the metadata document of the gateway lists', () => {
  it('issuers in order, Entra in each version', () => {
    const entra = { ...goodEntra, entra: { tenant_id: tenant, versions: ['1.0', '2.0'] } };
    const china = {
      ...goodEntra,
      entra: { tenant_id: tenant, versions: ['1.0'], authority: 'https://login.partner.microsoftonline.cn' },
    };
    assert.deepEqual(authenticationOf({ a: good, b: entra, c: china }).authentication.issuers, [
      'https://login.example/x',
      `https://sts.windows.net/${tenant}/`,
      `https://login.microsoftonline.com/${tenant}/v2.0`,
      `https://sts.chinacloudapi.cn/${tenant}/`,
    ]);
  });

  it('scopes as a client requests them', () => {
    const scopesOf = (entries: Record<string, unknown>): readonly string[] =>
      authenticationOf(entries, { embeddedIssuer: 'https://id.example' }).authentication.scopesSupported;
    assert.deepEqual(scopesOf({ a: good }), ['LLM.Access'], 'another issuer: as it is');
    assert.deepEqual(scopesOf({ a: entryFor('embedded') }), ['api://sallyport/LLM.Access']);
    const required = { scp: { any: ['A', 'B'] }, ver: { all: ['2.0'] } };
    assert.deepEqual(scopesOf({ a: { ...goodEntra, required_claims: required } }), [
      'api://x/A',
      'api://x/B',
    ]);
    const guidFirst = {
      ...goodEntra,
      audiences: [tenant, 'https://api.example/'],
      required_claims: required,
    };
    assert.deepEqual(scopesOf({ a: guidFirst }), ['https://api.example/A', 'https://api.example/B']);
    assert.deepEqual(
      scopesOf({ a: { ...goodEntra, audiences: [tenant], required_claims: { scp: { all: ['A', 1] } } } }),
      [`${tenant}/A`],
    );
    assert.deepEqual(scopesOf({ a: { ...goodEntra, required_claims: {} } }), []);
  });
});
