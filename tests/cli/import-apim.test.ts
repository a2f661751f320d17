// `sallyport policy import apim`: documents as APIM's own pages and editor write them, imported and then asked.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { parse } from 'yaml';
import { blocksOf } from '../../cli/policy/apim/address-range.ts';
import { convert } from '../../cli/policy/apim/convert.ts';
import { DocumentFault, readDocument } from '../../cli/policy/apim/document.ts';
import type { ImportAnswers, Imported, Note } from '../../cli/policy/apim/imported.ts';
import { importApimCommand, type ImportOptions } from '../../cli/policy/import-apim-command.ts';
import { openPolicies } from '../../cli/policy/opened-policies.ts';
import type { Terminal } from '../../cli/terminal.ts';
import { createEvaluator, type Answer } from '../../gateway/policies/evaluation/evaluate.ts';
import { placedTests, runTests } from '../../gateway/policies/evaluation/run-tests.ts';
import { syntheticToken } from '../../gateway/policies/evaluation/synthetic-token.ts';
import { readTestFile } from '../../gateway/policies/evaluation/test-files.ts';
import type { Credential } from '../../gateway/policies/evaluation/test-schema.ts';

const folder = mkdtempSync(join(tmpdir(), 'import-apim-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const tenant = '3f6c0000-0000-4000-8000-000000000001';
const client = '0d550000-0000-4000-8000-000000000002';
const backend = '9b1e0000-0000-4000-8000-000000000003';
const noAnswers: ImportAnswers = { audiences: [], tenants: [] };

const imported = (xml: string, answers = noAnswers): Imported => convert(readDocument(xml), answers);
const outcomes = ({ notes }: Imported): string[] =>
  notes.map(({ element, outcome }) => `${element} ${outcome}`);
const missing = ({ notes }: Imported): readonly Note[] =>
  notes.filter(({ outcome }) => outcome === 'missing');

const entraToken = (inner = '', attributes = `tenant-id="${tenant}"`): string => `
<validate-azure-ad-token ${attributes}>
  <client-application-ids><application-id>${client}</application-id></client-application-ids>
  <audiences><audience>${backend}</audience></audiences>
  ${inner}
</validate-azure-ad-token>`;

/** Runs the command into a folder of its own. */
function run(xml: string, options: Partial<ImportOptions> = {}) {
  const source = join(mkdtempSync(join(folder, 'case-')), 'policy.xml');
  writeFileSync(source, xml);
  const out = join(source, '..', 'out');
  const written: string[] = [];
  const reported: unknown[] = [];
  const terminal = {
    write: (text: string) => void written.push(text),
    say: (text: string) => void written.push(text),
    json: (value: unknown) => void reported.push(value),
    command: 'sallyport',
  } as unknown as Terminal; // The command uses these members only.
  const exitCode = importApimCommand(
    source,
    { config: 'config/sallyport.yaml', audience: [], tenant: [], namedValue: [], out, ...options },
    terminal,
  );
  return { out, exitCode, text: written.join(''), reported };
}

/** What the imported bundle answers. */
function asker(xml: string, options: Partial<ImportOptions> = {}) {
  const { out } = run(xml, options);
  const opened = openPolicies(out, { config: 'config/sallyport.yaml' });
  const evaluator = createEvaluator(opened);
  const now = Date.parse('2026-11-22T12:00:00Z');
  const surroundings = {
    issuers: opened.bundle.issuers,
    embeddedIssuer: opened.context.embeddedIssuer,
    bundle: opened.bundle,
    context: opened.context,
  };
  const ask = (
    as: Credential,
    { from = '127.0.0.1', headers = {} }: { from?: string; headers?: Record<string, string> } = {},
  ): Answer =>
    evaluator.answer({
      credential: syntheticToken(as, now, surroundings),
      action: 'chat.completions.create',
      route: null,
      model: 'tiny-gpt2',
      request: null,
      headers,
      now,
      from,
    });
  return { ask, out, opened, evaluator, surroundings };
}

const answerOf = ({ refusal }: Answer): string => refusal?.code ?? 'permit';

describe('an imported validate-azure-ad-token', () => {
  const { ask } = asker(
    entraToken(`<required-claims>
      <claim name="roles" match="any"><value>AI.User</value><value>AI.Admin</value></claim>
      <claim name="scp" match="all" separator=" "><value>AI.Access</value><value>AI.Write</value></claim>
      <claim name="ctry" />
    </required-claims>`),
  );
  const good = { roles: ['AI.Admin'], scp: 'AI.Write AI.Access', ctry: 'DE' };

  for (const [title, as, expected] of [
    ['permits a v2.0 token with every claim', { 'entra-v2': { with: good } }, 'permit'],
    ['permits a v1.0 token with every claim', { 'entra-v1': { with: good } }, 'permit'],
    [
      'refuses another client application',
      { 'entra-v2': { client_id: 'other', with: good } },
      'invalid_token',
    ],
    ['refuses another audience', { 'entra-v2': { with: { ...good, aud: 'api://other' } } }, 'invalid_token'],
    ['refuses another tenant', { 'entra-v2': { with: { ...good, tid: client } } }, 'invalid_token'],
    [
      'refuses none of the values of match="any"',
      { 'entra-v2': { with: { ...good, roles: ['X'] } } },
      'insufficient_scope',
    ],
    [
      'refuses half of the values of match="all"',
      { 'entra-v2': { with: { ...good, scp: 'AI.Access' } } },
      'insufficient_scope',
    ],
    [
      'refuses a token without a claim that must be there',
      { 'entra-v2': { with: { ...good, ctry: null } } },
      'access_denied',
    ],
  ] satisfies [string, Credential, string][]) {
    it(title, () => assert.equal(answerOf(ask(as)), expected));
  }

  it('compares a claim without separator as one text', () => {
    const { ask: asked } = asker(
      entraToken('<required-claims><claim name="scp"><value>AI.Access</value></claim></required-claims>'),
    );
    assert.equal(answerOf(asked({ 'entra-v2': { with: { scp: 'AI.Access' } } })), 'permit');
    assert.equal(
      answerOf(asked({ 'entra-v2': { with: { scp: 'AI.Access AI.Write' } } })),
      'insufficient_scope',
    );
  });

  it('takes the audience from backend-application-ids, in both forms', () => {
    const { issuers } =
      imported(`<validate-azure-ad-token tenant-id="https://login.microsoftonline.com/${tenant}/">
      <backend-application-ids><application-id>${backend}</application-id></backend-application-ids>
    </validate-azure-ad-token>`);
    assert.deepEqual(issuers.get('entra')?.['audiences'], [backend, `api://${backend}`]);
    assert.deepEqual(issuers.get('entra')?.['client_ids'], { any: true });
  });

  for (const [title, xml] of [
    ['without any audience', `<validate-azure-ad-token tenant-id="${tenant}"/>`],
    ['for every directory', entraToken('', 'tenant-id="organizations"')],
    ['for a tenant by its domain name', entraToken('', 'tenant-id="contoso.onmicrosoft.com"')],
    ['for a tenant by named value', entraToken('', 'tenant-id="{{tenant}}"')],
    ['whose client applications are named values', entraToken().replace(client, '{{client}}')],
  ] as const) {
    it(`is not written ${title}, and the report says what to add`, () => {
      const { exitCode, out, text } = run(xml);
      assert.equal(exitCode, 3);
      assert.ok(!existsSync(out));
      assert.match(text, /--audience|--tenant|issuers\.yaml/);
    });
  }

  it('is written once the person who imports names tenants and audience', () => {
    const { issuers } = imported('<validate-azure-ad-token tenant-id="common"/>', {
      audiences: ['api://mine'],
      tenants: [tenant, backend],
    });
    assert.deepEqual([...issuers.keys()], ['entra', 'entra-2']);
  });

  it('takes every audience of the listed clients in the minimal form, as APIM does, and says so', () => {
    const minimal = `<validate-azure-ad-token tenant-id="${tenant}">
      <client-application-ids><application-id>${client}</application-id></client-application-ids>
    </validate-azure-ad-token>`;
    const { ask: asked } = asker(minimal);
    assert.equal(answerOf(asked({ 'entra-v2': { with: { aud: 'api://whatever' } } })), 'permit');
    assert.equal(answerOf(asked({ 'entra-v2': { client_id: 'other' } })), 'invalid_token');
    assert.match(run(minimal).text, /~ .*insecure_any.*--audience/);
    const named = asker(minimal, { audience: ['api://mine'] });
    assert.equal(answerOf(named.ask({ 'entra-v1': {} })), 'permit');
    assert.equal(answerOf(named.ask({ 'entra-v1': { with: { aud: 'api://whatever' } } })), 'invalid_token');
  });

  it('goes to the authority that it names', () => {
    const { issuers } = imported(
      entraToken('', `tenant-id="${tenant}" authentication-endpoint="login.microsoftonline.us"`),
    );
    assert.deepEqual(issuers.get('entra')?.['entra'], {
      tenant_id: tenant,
      versions: ['1.0', '2.0'],
      authority: 'https://login.microsoftonline.us',
    });
  });
});

describe('an imported validate-jwt', () => {
  const jwt = (inner: string, attributes = ''): string =>
    `<validate-jwt header-name="Authorization" ${attributes}><audiences><audience>api://a</audience></audiences>${inner}</validate-jwt>`;

  it('finds the issuer by its metadata document', () => {
    const { issuers } = imported(
      jwt(
        '<openid-config url="https://id.example/realms/a/.well-known/openid-configuration"/>',
        'clock-skew="45"',
      ),
    );
    const entry = issuers.get('jwt');
    assert.ok(entry);
    assert.equal(entry['issuer'], 'https://id.example/realms/a');
    assert.equal(entry['clock_skew'], '45s');
    assert.deepEqual(entry['algorithms'], ['RS256', 'RS512', 'PS256', 'ES256']);
  });

  it('reads the keys of an issuer that is named apart from the document it stands in', () => {
    const { issuers } = imported(
      jwt(
        '<openid-config url="https://login.example/x/.well-known/openid-configuration"/><issuers><issuer>https://id.example/</issuer></issuers>',
      ),
    );
    assert.equal(issuers.get('jwt')?.['issuer'], 'https://id.example/');
    assert.equal(
      issuers.get('jwt')?.['metadata_url'],
      'https://login.example/x/.well-known/openid-configuration',
    );
  });

  it('takes documents of Entra for a tenant of one version', () => {
    const { issuers } = imported(
      jwt(
        `<openid-config url="https://login.microsoftonline.com/${tenant}/v2.0/.well-known/openid-configuration"/>
         <openid-config url="https://login.microsoftonline.com/${tenant}/.well-known/openid-configuration"/>`,
      ),
    );
    assert.deepEqual(
      [...issuers.values()].map((entry) => (entry['entra'] as { versions: string[] }).versions),
      [['2.0'], ['1.0']],
    );
  });

  it('never takes shared secrets, unsigned or endless tokens, and says so', () => {
    const result = imported(
      jwt(
        '<openid-config url="https://id.example/.well-known/openid-configuration"/><issuer-signing-keys><key>c2VjcmV0</key></issuer-signing-keys>',
        'require-signed-tokens="false" require-expiration-time="false" clock-skew="300"',
      ),
    );
    assert.deepEqual(outcomes(result), [
      'validate-jwt differs',
      'validate-jwt differs',
      'validate-jwt differs',
      'validate-jwt differs',
      'validate-jwt imported',
    ]);
    assert.equal(result.issuers.get('jwt')?.['clock_skew'], '60s');
  });

  it('decides by audience, and by a client that is a required claim', () => {
    const { ask } = asker(
      jwt(
        '<openid-config url="https://id.example/.well-known/openid-configuration"/><required-claims><claim name="azp" match="any"><value>app</value></claim></required-claims>',
      ),
    );
    const as = (claims: object): Credential => ({ client_id: 'app', with: { azp: 'app', ...claims } });
    assert.equal(answerOf(ask(as({}))), 'permit');
    assert.equal(answerOf(ask(as({ aud: 'api://b' }))), 'invalid_token');
    assert.equal(answerOf(ask({ client_id: 'evil', with: { azp: 'evil' } })), 'insufficient_scope');
  });

  for (const inner of [
    '',
    '<openid-config url="@(context.Variables)"/>',
    '<issuers><issuer>joe</issuer></issuers>',
  ]) {
    it(`is not written when no issuer can be read from ${inner || 'it'}`, () => {
      assert.equal(run(jwt(inner)).exitCode, 3);
    });
  }

  it('is refused as the second validation of one request', () => {
    const result = imported(
      `<policies><inbound>${entraToken()}${jwt('<openid-config url="https://id.example/.well-known/openid-configuration"/>')}</inbound></policies>`,
    );
    assert.deepEqual([...result.issuers.keys()], ['entra']);
    assert.equal(missing(result).length, 1);
  });
});

describe('imported limits', () => {
  const limit = (xml: string): Imported => imported(entraToken() + xml);

  for (const [xml, expected] of [
    ['<rate-limit calls="20" renewal-period="90" />', { by: 'principal', requests: 20, window: '90s' }],
    [
      '<rate-limit-by-key calls="10" renewal-period="60" counter-key="@(context.Request.IpAddress)" />',
      { by: 'caller_address', requests: 10, window: '60s' },
    ],
    [
      '<rate-limit-by-key calls="10" renewal-period="60" counter-key="all" />',
      { by: 'gateway', requests: 10, window: '60s' },
    ],
    [
      '<rate-limit-by-key calls="10" renewal-period="60" counter-key="@(context.Request.Headers.GetValueOrDefault("Authorization","").AsJwt()?.Subject)" />',
      { by: 'principal', requests: 10, window: '60s' },
    ],
    [
      `<quota-by-key calls="5" renewal-period="604800" counter-key='@(((Jwt)context.Variables["jwt"]).Claims["appid"].First())' />`,
      { by: 'client', requests: 5, period: 'week' },
    ],
    ['<quota calls="5" renewal-period="7200" />', { by: 'principal', requests: 5, window: '7200s' }],
    [
      '<llm-token-limit counter-key="x" tokens-per-minute="500" estimate-prompt-tokens="true" />',
      { by: 'gateway', model_tokens: 500, window: '1m' },
    ],
    [
      '<azure-openai-token-limit counter-key="@(context.User.Id)" token-quota="9" token-quota-period="Yearly" estimate-prompt-tokens="true" />',
      { by: 'principal', model_tokens: 9, period: 'year' },
    ],
  ] as const) {
    it(`are written for ${xml}`, () => {
      const result = limit(xml);
      assert.deepEqual([...result.limits.values()], [expected]);
      assert.deepEqual(missing(result), []);
    });
  }

  it('hold on every route of the models', () => {
    const { out, exitCode } = run(
      `${entraToken()}<rate-limit calls="20" renewal-period="90"/><llm-token-limit counter-key="x" tokens-per-minute="5" token-quota="50" token-quota-period="Daily" estimate-prompt-tokens="true"/>`,
    );
    assert.equal(exitCode, 0);
    const { routes } = parse(readFileSync(join(out, 'routes.yaml'), 'utf8')) as {
      routes: Record<string, { limits: string[] }>;
    };
    for (const route of Object.values(routes))
      assert.deepEqual(route.limits, ['rate-limit', 'token-limit', 'token-quota']);
  });

  for (const xml of [
    '<rate-limit calls="@(5)" renewal-period="60" />',
    '<rate-limit calls="0" renewal-period="60" />',
    '<rate-limit calls="5" />',
    '<rate-limit calls="5" renewal-period="60"><api name="a" calls="1" renewal-period="60"/></rate-limit>',
    '<rate-limit-by-key calls="5" renewal-period="90000" counter-key="x" />',
    '<quota-by-key bandwidth="40000" renewal-period="3600" counter-key="x" />',
    '<quota-by-key calls="5" renewal-period="1000000" counter-key="x" />',
    '<llm-token-limit counter-key="x" token-quota="5" token-quota-period="Fortnightly" estimate-prompt-tokens="true" />',
  ]) {
    it(`are reported as missing for ${xml}`, () => assert.equal(missing(limit(xml)).length, 1));
  }

  it('count by the first of several alternatives of a key', () => {
    const result = limit(
      '<rate-limit-by-key calls="5" renewal-period="60" counter-key="@(context.Subscription?.Id ?? context.Request.IpAddress)" />',
    );
    assert.equal(result.limits.get('rate-limit')?.['by'], 'principal');
    assert.ok(result.notes.every(({ text }) => !text.includes('not understood')));
  });

  it('count the principal where the key is not understood, and say so', () => {
    const result = limit(
      '<rate-limit-by-key calls="5" renewal-period="60" counter-key="@(context.Request.Headers["X"] + context.Request.IpAddress + context.User.Id)" />',
    );
    assert.equal(result.limits.get('rate-limit')?.['by'], 'principal');
    assert.ok(
      result.notes.some(({ outcome, text }) => outcome === 'differs' && text.includes('not understood')),
    );
  });
});

describe('an imported ip-filter', () => {
  const addresses =
    '<address>13.66.201.169</address><address-range from="13.66.140.128" to="13.66.140.143"/><address>2001:db8::/32</address>';
  const as = { 'entra-v2': {} };

  it('permits the listed addresses alone with action="allow"', () => {
    const { ask } = asker(`${entraToken()}<ip-filter action="allow">${addresses}</ip-filter>`);
    for (const from of ['13.66.201.169', '13.66.140.128', '13.66.140.143', '2001:db8::7'])
      assert.equal(answerOf(ask(as, { from })), 'permit', from);
    for (const from of ['13.66.201.168', '13.66.140.127', '13.66.140.144', '2001:db9::7'])
      assert.equal(answerOf(ask(as, { from })), 'access_denied', from);
  });

  it('refuses the listed addresses with action="forbid"', () => {
    const { ask } = asker(`${entraToken()}<ip-filter action="forbid">${addresses}</ip-filter>`);
    assert.equal(answerOf(ask(as, { from: '13.66.140.130' })), 'access_denied');
    assert.equal(answerOf(ask(as, { from: '13.66.140.144' })), 'permit');
  });

  for (const inner of [
    '',
    '<address>nowhere</address>',
    '<address>10.0.0.0/33</address>',
    '<address-range from="10.0.0.9" to="10.0.0.1"/>',
    '<address-range from="10.0.0.1" to="::1"/>',
    '<address>10.0.0.1</address><address>@(context.X)</address>',
  ]) {
    it(`is left out whole and reported for ${inner || 'no address'}`, () => {
      const result = imported(`${entraToken()}<ip-filter action="forbid">${inner}</ip-filter>`);
      assert.deepEqual(result.rules, []);
      assert.equal(missing(result).length, 1);
    });
  }

  for (const [from, to, blocks] of [
    ['10.0.0.0', '10.0.0.255', ['10.0.0.0/24']],
    ['10.0.0.1', '10.0.0.6', ['10.0.0.1/32', '10.0.0.2/31', '10.0.0.4/31', '10.0.0.6/32']],
    ['0.0.0.0', '255.255.255.255', ['0.0.0.0/0']],
    ['2001:db8::', '2001:db8::ffff', ['2001:db8::/112']],
    ['::ffff:10.0.0.0', '::ffff:10.0.0.1', ['::ffff:10.0.0.0/127']],
  ] as const) {
    it(`covers ${from} to ${to} exactly`, () => assert.deepEqual(blocksOf(from, to), blocks));
  }
});

describe('an imported check-header', () => {
  const header = (attributes: string): string =>
    `${entraToken()}<check-header name="X-Team" ${attributes}><value>f6dc.9</value><value>b+c</value></check-header>`;
  const as = { 'entra-v2': {} };

  for (const [title, attributes, value, expected] of [
    ['permits a listed value', '', 'b+c', 'permit'],
    ['refuses another value', '', 'bbc', 'access_denied'],
    ['refuses a value of which a listed one is a part', 'ignore-case="true"', 'xf6dc.9', 'access_denied'],
    ['refuses a value that a pattern would match', 'ignore-case="true"', 'f6dcx9', 'access_denied'],
    ['refuses another letter case', 'ignore-case="false"', 'F6DC.9', 'access_denied'],
    ['permits another letter case where it is to be ignored', 'ignore-case="true"', 'F6DC.9', 'permit'],
    ['refuses the header sent twice', '', 'b+c, b+c', 'access_denied'],
  ] as const) {
    it(title, () =>
      assert.equal(answerOf(asker(header(attributes)).ask(as, { headers: { 'x-team': value } })), expected),
    );
  }

  it('refuses a request without the header', () => {
    assert.equal(answerOf(asker(header('')).ask(as)), 'access_denied');
  });

  it('is not imported for a header that carries credentials', () => {
    const result = imported(
      `${entraToken()}<check-header name="Authorization"><value>Basic eA==</value></check-header>`,
    );
    assert.deepEqual(result.rules, []);
    assert.equal(missing(result).length, 1);
  });
});

describe('a document to import', () => {
  it('may be written as the portal writes it, with raw C# in attributes and elements', () => {
    const result = imported(`<?xml version="1.0"?>
<policies><inbound><base />
  <set-variable name="a" value="@(context.Request.Headers.GetValueOrDefault("X", "<)") == "a" && 1 < 2)" />
  ${entraToken()}
  <set-body>@{ if (1 < 2) { return "}"; } return @"c:\\""x"; }</set-body>
  <choose><when condition="@(true && false)"><return-response /></when></choose>
</inbound><outbound><set-header name="x"/></outbound></policies>`);
    assert.deepEqual(outcomes(result), [
      'set-variable ignored',
      'validate-azure-ad-token imported',
      'set-body ignored',
      'choose missing',
      'set-header ignored',
    ]);
    assert.deepEqual(
      result.notes.map(({ line }) => line),
      [3, 5, 10, 11, 12],
    );
  });

  it('gets the named values that the person who imports gives', () => {
    const xml = entraToken().replace(tenant, '{{ tenant-id }}').replace(client, '{{app}}');
    assert.equal(run(xml).exitCode, 3);
    const { exitCode, out } = run(xml, { namedValue: [`tenant-id=${tenant}`, 'app=a"<b'] });
    assert.equal(exitCode, 0);
    assert.match(readFileSync(join(out, 'issuers.yaml'), 'utf8'), /a"<b/);
    assert.throws(() => run(xml, { namedValue: ['tenant-id'] }), /NAME=VALUE/);
  });

  it('without token validation takes the tokens of the shipped issuers', () => {
    const { out, exitCode } = run(
      '<policies><inbound><rate-limit calls="1" renewal-period="10"/></inbound></policies>',
    );
    assert.equal(exitCode, 0);
    assert.match(readFileSync(join(out, 'issuers.yaml'), 'utf8'), /issuer: embedded/);
  });

  it('passes the tests that are written with it, which cover every rule', () => {
    const { out, opened, evaluator, surroundings } = asker(
      `${entraToken('<required-claims><claim name="roles"><value>A</value></claim></required-claims>')}
       <ip-filter action="allow"><address>10.9.0.0/16</address></ip-filter>
       <check-header name="x-team"><value>a</value></check-header>`,
    );
    const results = runTests(
      placedTests([readTestFile(join(out, 'tests', 'imported.yaml'))]),
      evaluator,
      surroundings,
    );
    assert.ok(results.length >= 5);
    assert.deepEqual(
      results.filter(({ passed }) => !passed),
      [],
    );
    const deciders = new Set(results.map(({ answer }) => answer?.decidedBy));
    for (const { name } of opened.bundle.rules.rules) assert.ok(deciders.has(`rules.${name}`), name);
  });

  it('is reported as JSON, and a gap is exit code 5', () => {
    const { exitCode, reported, out } = run(
      `${entraToken()}<validate-content unspecified-content-type-action="prevent"/>`,
      {
        json: true,
      },
    );
    assert.equal(exitCode, 5);
    const [report] = reported as [{ directory: string; notes: Note[] }];
    assert.equal(report.directory, out);
    assert.deepEqual(report.notes.at(-1), {
      line: 6,
      element: 'validate-content',
      outcome: 'missing',
      text: 'no equivalent',
    });
  });

  it('is refused in plain words when its elements are nested beyond any use', () => {
    const xml = `${'<a>'.repeat(60_000)}${'</a>'.repeat(60_000)}`;
    assert.throws(() => readDocument(xml), /nested too deeply/);
  });

  it('never overwrites a folder', () => {
    assert.throws(() => run(entraToken(), { out: folder }), /not empty/);
    assert.ok(readdirSync(folder).length > 0);
  });

  for (const [title, xml] of [
    ['is no XML', '<policies><inbound></policies>'],
    ['has a document type', '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><policies>&b;</policies>'],
    [
      'uses an entity that XML does not know',
      '<policies><inbound><set-header name="&secret;"/></inbound></policies>',
    ],
    ['is longer than a document can be', `<policies>${' '.repeat(1_048_577)}</policies>`],
    ['has an attribute twice', '<policies><rate-limit calls="1" calls="2" renewal-period="1"/></policies>'],
  ] as const) {
    it(`is refused with its line when it ${title}`, () => {
      assert.throws(() => readDocument(xml), DocumentFault);
    });
  }
});
