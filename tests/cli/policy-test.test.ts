// `sallyport policy test`: policy tests run against real bundles; what fails is explained, and silence is never success.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { packageRoot } from '../../core/package.ts';
import { createHome, type CliHome } from './support/run-cli.ts';

let home: CliHome;
before(() => {
  home = createHome();
  for (const folder of ['config', 'policies'])
    cpSync(join(packageRoot, folder), join(home.folder, folder), { recursive: true });
});
after(() => home.remove());

let made = 0;
/** The shipped bundle with these tests in place of its own, and some files replaced. */
function bundleWith(tests: string | null, files: Readonly<Record<string, string>> = {}): string {
  const directory = `bundle-${++made}`;
  const folder = join(home.folder, directory);
  cpSync(join(packageRoot, 'policies'), folder, { recursive: true });
  rmSync(join(folder, 'tests'), { recursive: true });
  if (tests !== null) {
    mkdirSync(join(folder, 'tests'));
    writeFileSync(join(folder, 'tests/some.yaml'), tests);
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return directory;
}
const test = (...words: string[]) => home.run(['policy', 'test', ...words]);
const masked = (text: string): string => text.replaceAll(/\d+ ms/g, 'N ms').replaceAll(/bundle-\d+/g, 'DIR');
/** What came of each test of a bundle: `name: outcome reasons`. */
async function outcomes(directory: string): Promise<string[]> {
  const { stdout, stderr } = await test(directory, '--json');
  assert.notEqual(stdout, '', stderr);
  return JSON.parse(stdout).tests.map((each: { name: string; got: { outcome: string; reasons: string[] } }) =>
    `${each.name}: ${each.got.outcome} ${each.got.reasons.join(' ')}`.trim(),
  );
}

const entraIssuers = `issuers:
  contoso:
    entra: { tenant_id: 11111111-1111-4111-8111-111111111111, versions: ['2.0'] }
    audiences: [api://sallyport, 22222222-2222-4222-8222-222222222222]
    client_ids: [33333333-3333-4333-8333-333333333333]
    required_claims: { scp: { all: [LLM.Access] } }
`;

describe('policy test of the shipped bundle', () => {
  it('passes, covers every role and notices every mutation', async () => {
    const result = await test('--mutate', '--min-coverage', '100');
    assert.equal(result.code, 0, result.stdout + result.stderr);
    assert.match(
      result.stdout,
      /^✓ \d+ tests passed, \d+ ms\. {2}Decided by a test: 3 of 3 roles and rules \(100 %\)\.$/m,
    );
    assert.match(result.stdout, /^✓ 10 of 10 mutations noticed/m);
  });
});

describe('policy test', () => {
  it('shows a failure with what was expected, what came, and the line of the policies that decided', async () => {
    const directory = bundleWith(`- name: a stranger's application may chat
  as: { roles: [LLM.User], client_id: stranger }
  do: chat.completions.create
  model: tiny-gpt2
  expect: permit
- name: a guest may not
  as: { roles: [] }
  do: models.list
  expect: deny
`);
    const result = await test(directory);
    assert.equal(result.code, 5);
    assert.equal(
      masked(result.stdout),
      `DIR/tests/some.yaml
  ✗ a stranger's application may chat                            some.yaml:1
      expected  permit
      got       deny in authenticate (invalid_token, client_id)
      because   DIR/issuers.yaml:7 does not list the client "stranger"
  ✓ a guest may not

✗ 1 of 2 failed, N ms.  Decided by a test: 0 of 3 roles and rules (0 %).
  never decided: DIR/roles.yaml:4 roles.LLM.User
  never decided: DIR/roles.yaml:7 roles.LLM.Admin
  never decided: DIR/roles.yaml:12 roles.Access.Evaluator
`,
    );
  });

  it('fails a test whose outcome is right for another reason', async () => {
    const by = bundleWith(
      '- { name: x, as: { roles: [LLM.Admin] }, do: models.list, expect: permit, by: roles.LLM.Admin }\n',
    );
    assert.equal((await test(by)).code, 5);
    const because = bundleWith(
      '- { name: x, as: { roles: [LLM.User], client_id: x }, do: models.list, expect: deny, because: aud }\n',
    );
    assert.equal((await test(because)).code, 5);
  });

  it('is a failure without tests', async () => {
    for (const tests of [null, '[]\n']) {
      const result = await test(bundleWith(tests));
      assert.equal(result.code, 5);
      assert.match(result.stderr, /^✗ No tests in bundle-\d+\/tests\.$/m);
    }
  });

  it('is a failure when the filter matches nothing', async () => {
    const result = await test('--filter', 'no such test');
    assert.equal(result.code, 5);
    assert.match(result.stderr, /^✗ No test's name or file contains "no such test"\.$/m);
  });

  it('runs only what the filter names, by test or by file', async () => {
    assert.equal(JSON.parse((await test('--filter', 'LIST ACCOUNTS', '--json')).stdout).total, 2);
    assert.equal(JSON.parse((await test('--filter', 'guards.yaml', '--json')).stdout).total, 3);
  });

  it('is a failure below the coverage that was asked for', async () => {
    const one = '- { name: x, as: { roles: [LLM.User] }, do: models.list, expect: permit }\n';
    const directory = bundleWith(one);
    assert.equal((await test(directory, '--min-coverage', '33')).code, 0);
    const result = await test(directory, '--min-coverage', '34');
    assert.equal(result.code, 5);
    assert.match(result.stdout, /1 of 3 roles and rules \(33 %\), below the 34 % asked for\.$/m);
    assert.equal((await test(directory, '--min-coverage', 'all')).code, 2);
  });

  it('refuses faulty policies and faulty tests with exit code 3', async () => {
    assert.equal((await test(bundleWith('- { nam: x }\n'))).code, 3);
    const faulty = bundleWith('[]\n', { 'roles.yaml': 'roles: { A: { permit: [] } }\n' });
    assert.equal((await test(faulty)).code, 3);
    const twice = '- { name: x, as: nobody, do: models.list, expect: deny }\n';
    assert.match((await test(bundleWith(twice + twice))).stderr, /another test has this name/);
  });
});

describe('synthetic tokens', () => {
  it('of Entra are judged as Entra tokens: version, client, scope, tenant, application', async () => {
    const directory = bundleWith(
      `- { name: v2, as: { entra-v2: { roles: [LLM.User] } }, do: models.list, expect: permit }
- { name: v1, as: { entra-v1: { roles: [LLM.User] } }, do: models.list, expect: deny }
- { name: no scope, as: { app-only: { roles: [LLM.User] } }, do: models.list, expect: deny }
- { name: other client, as: { entra-v2: { roles: [LLM.User], client_id: x } }, do: models.list, expect: deny }
- { name: other tenant, as: { entra-v2: { with: { tid: 99999999-1111-4111-8111-111111111111 } } }, do: models.list, expect: deny }
- { name: no oid, as: { entra-v2: { with: { oid: null } } }, do: models.list, expect: deny }
- { name: odd oid, as: { entra-v2: { subject: ada } }, do: models.list, expect: deny }
`,
      { 'issuers.yaml': entraIssuers },
    );
    assert.deepEqual(await outcomes(directory), [
      'v2: permit role_permits',
      'v1: invalid_token iss',
      'no scope: insufficient_scope required_claim_scp',
      'other client: invalid_token client_id',
      'other tenant: invalid_token tid',
      'no oid: invalid_token oid',
      'odd oid: invalid_token oid',
    ]);
  });

  it('written in full are taken as they are', async () => {
    const iss = 'http://127.0.0.1:8081/5a11b0a7-0000-4000-8000-000000000000/v2.0';
    const base = `iss: '${iss}', aud: api://sallyport, sub: a, jti: x, client_id: 5a11b0a7-0000-4000-8000-000000000001`;
    const roles = 'scp: LLM.Access, roles: [LLM.User]';
    const directory =
      bundleWith(`- { name: whole, as: { claims: { ${base}, ${roles} } }, do: models.list, expect: permit }
- { name: no scope, as: { claims: { ${base}, roles: [LLM.User] } }, do: models.list, expect: deny }
- { name: other type, as: { claims: { ${base}, ${roles} }, type: JWT }, do: models.list, expect: deny }
- { name: bound, as: { claims: { ${base}, ${roles}, cnf: { jkt: x } } }, do: models.list, expect: deny }
- { name: expired, as: { claims: { ${base}, ${roles}, exp: 1 } }, do: models.list, expect: deny }
- { name: odd roles, as: { claims: { ${base}, scp: LLM.Access, roles: 7 } }, do: models.list, expect: deny }
`);
    assert.deepEqual(await outcomes(directory), [
      'whole: permit role_permits',
      'no scope: insufficient_scope required_claim_scp',
      'other type: invalid_token typ',
      'bound: invalid_token cnf',
      'expired: invalid_token exp',
      'odd roles: invalid_token claim_type',
    ]);
  });
});

describe('rules in policy tests', () => {
  const rules = `rules:
  - { name: paid-only, effect: deny, models: [tiny-*], when: '!has(principal.claims.plan) || principal.claims.plan != "paid"' }
  - { name: closed-at-night, effect: deny, actions: [models.list], time: { from: '22:00', to: '06:00', timezone: UTC } }
  - { name: not-from-there, effect: deny, actions: [models.list], network: [203.0.113.0/24] }
`;
  const tests = `- name: without a plan
  as: { roles: [LLM.User] }
  do: chat.completions.create
  model: tiny-gpt2
  expect: access_denied
  by: rules.paid-only
- name: with a plan
  as: { roles: [LLM.User], with: { plan: paid } }
  do: chat.completions.create
  model: tiny-gpt2
  expect: permit
- { name: at night, as: { roles: [LLM.User] }, do: models.list, now: '2026-01-07T23:00:00Z', expect: deny, by: rules.closed-at-night }
- { name: at noon, as: { roles: [LLM.User] }, do: models.list, expect: permit }
- { name: from there, as: { roles: [LLM.User] }, do: models.list, from: 203.0.113.7, expect: deny, by: rules.not-from-there }
`;

  it('see claims, the time and the address that the test states', async () => {
    const result = await test(bundleWith(tests, { 'rules.yaml': rules }));
    assert.equal(result.code, 0, result.stdout + result.stderr);
    assert.match(result.stdout, /Decided by a test: 4 of 6 roles and rules \(66 %\)/);
  });

  it('that no test notices are named by --mutate, with exit code 5', async () => {
    const [first = ''] = tests.split('- { name: at night');
    const { stdout, code } = await test(bundleWith(first, { 'rules.yaml': rules }), '--mutate');
    assert.equal(code, 5);
    const survived = [...masked(stdout).matchAll(/^ {2}survived: (.*)$/gm)].map(([, line]) => line);
    assert.ok(survived.includes('DIR/rules.yaml:3 rule closed-at-night: drop it'), stdout);
    assert.ok(survived.includes('DIR/rules.yaml:4 rule not-from-there: drop it'), stdout);
    assert.ok(!survived.some((line) => line?.includes('paid-only')), stdout);
  });
});

describe('formats of policy test', () => {
  const failing = () => bundleWith('- { name: "a <b>", as: nobody, do: models.list, expect: permit }\n');

  it('JUnit names the failure', async () => {
    const { stdout, code } = await test(failing(), '--format', 'junit');
    assert.equal(code, 5);
    assert.match(
      stdout,
      /<testcase name="a &lt;b&gt;" classname="bundle-\d+\/tests\/some\.yaml" time="[\d.]+"><failure message="expected {2}permit">/,
    );
  });

  it('GitHub puts an annotation at the test', async () => {
    const { stdout } = await test(failing(), '--format', 'github');
    assert.match(
      stdout,
      /^::error file=bundle-\d+\/tests\/some\.yaml,line=1,title=a <b>::expected {2}permit%0Agot/,
    );
  });

  it('SARIF has one result for each failed test', async () => {
    const log = JSON.parse((await test(failing(), '--format', 'sarif')).stdout);
    assert.equal(log.runs[0].results.length, 1);
    assert.equal(log.runs[0].results[0].locations[0].physicalLocation.region.startLine, 1);
  });
});

describe('the shipped tests', () => {
  it('begin with the line that tells editors their schema', () => {
    for (const name of ['people', 'administrators', 'credentials', 'guards'])
      assert.match(
        readFileSync(join(packageRoot, 'policies/tests', `${name}.yaml`), 'utf8'),
        /^# yaml-language-server: \$schema=\.\.\/\.\.\/schemas\/policy-tests\.json\n/,
      );
  });
});
