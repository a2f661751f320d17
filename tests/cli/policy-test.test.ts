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
    assert.match(result.stdout, /^✓ (\d+) of \1 mutations noticed/m);
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

describe('questions of other services in policy tests', () => {
  const files = {
    'access.yaml': `subject_types:
  user:
    roles_property: roles
    subjects: { alice: { roles: [Reader], properties: { department: Sales } }, bob: {} }
resource_types:
  document:
    actions: [read, write]
    resources: { '42': { owner: bob } }
`,
    'roles.yaml': `roles:
  LLM.User: { permits: [models.list, chat.completions.create], models: [tiny-gpt2] }
  Reader: { permits: [read], resources: ['document:*'] }
`,
    'rules.yaml': `rules:
  - { name: owners-write, effect: permit, actions: [write], resources: ['document:*'], when: resource.properties.owner == subject.id }
  - { name: closed-at-night, effect: deny, resources: ['document:*'], time: { from: '22:00', to: '06:00', timezone: UTC } }
  - { name: not-from-there, effect: deny, resources: ['document:*'], network: [203.0.113.0/24] }
`,
  };
  const principal = `{ type: principal, id: ada, properties: { iss: 'http://127.0.0.1:8081/5a11b0a7-0000-4000-8000-000000000000/v2.0', client_id: 5a11b0a7-0000-4000-8000-000000000001, scp: LLM.Access, roles: [LLM.User] } }`;
  const tests = `- name: a reader reads
  ask: { subject: { type: user, id: alice }, action: read, resource: { type: document, id: '42' } }
  expect: permit
  by: roles.Reader
- name: a reader does not write
  ask: { subject: { type: user, id: alice }, action: write, resource: { type: document, id: '42' } }
  expect: deny
  because: action_not_permitted
- name: an owner writes
  ask: { subject: { type: user, id: bob }, action: { name: write }, resource: { type: document, id: '42' } }
  expect: permit
  by: rules.owners-write
- name: not who says that he is the owner
  ask: { subject: { type: user, id: eve }, action: write, resource: { type: document, id: '42', properties: { owner: eve } } }
  expect: deny
- name: who states a role holds it
  ask: { subject: { type: user, id: eve, properties: { roles: [Reader] } }, action: read, resource: { type: document, id: '7' } }
  expect: permit
- name: not at night
  ask: { subject: { type: user, id: alice }, action: read, resource: { type: document, id: '42' } }
  now: 2026-01-07T23:00:00Z
  expect: deny
  by: rules.closed-at-night
- name: not from there
  ask: { subject: { type: user, id: alice }, action: read, resource: { type: document, id: '42' }, context: { ip_address: 203.0.113.7 } }
  expect: deny
  by: rules.not-from-there
- name: a principal may chat
  ask: { subject: ${principal}, action: chat.completions.create, resource: { type: model, id: tiny-gpt2 } }
  expect: permit
  by: roles.LLM.User
- name: and lists the models
  ask: { subject: ${principal}, action: models.list, resource: { type: gateway, id: sallyport } }
  expect: permit
`;

  it('are answered as the gateway answers, and what decides them is covered', async () => {
    const { code, stdout, stderr } = await test(bundleWith(tests, files));
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /9 tests passed, \d+ ms\. {2}Decided by a test: 5 of 5 roles and rules \(100 %\)/);
  });

  it('show a failure with what was expected, what came, and the line that decided', async () => {
    const wrong = `- name: a reader writes
  ask: { subject: { type: user, id: alice }, action: write, resource: { type: document, id: '42' } }
  expect: permit
- name: a reader does not read
  ask: { subject: { type: user, id: alice }, action: read, resource: { type: document, id: '42' } }
  expect: deny
- name: an owner does not write
  ask: { subject: { type: user, id: bob }, action: write, resource: { type: document, id: '42' } }
  expect: deny
- name: anybody chats
  ask: { subject: { type: user, id: alice }, action: chat.completions.create, resource: { type: model, id: tiny-gpt2 } }
  expect: permit
- name: a principal without an issuer chats
  ask: { subject: { type: principal, id: ada }, action: chat.completions.create, resource: { type: model, id: tiny-gpt2 } }
  expect: permit
`;
    const { code, stdout } = await test(bundleWith(wrong, files));
    assert.equal(code, 5);
    const lines = masked(stdout).split('\n');
    assert.deepEqual(
      lines.filter((line) => /^ {6}(got|because)/.test(line)).map((line) => line.trim()),
      [
        'got       deny (action_not_permitted)',
        'because   DIR/roles.yaml:1 no role held ("Reader") and no rule permits write on document:42 (action_not_permitted)',
        'got       permit by roles.Reader',
        'because   DIR/roles.yaml:3 role Reader permits read on document:42',
        'got       permit by rules.owners-write',
        'because   DIR/rules.yaml:2 rule owners-write permits write on document:42: actions ["write"]; resources ["document:*"]; when resource.properties.owner == subject.id (actions_matched, resources_matched, when_matched)',
        'got       deny (subject_not_a_principal)',
        'because   only a principal may do anything on a model',
        'got       deny (iss)',
        'because   the claims that are stated make no principal (iss)',
      ],
    );
  });

  const mutants = async (kept: string): Promise<string[]> => {
    const { stdout, stderr } = await test(bundleWith(kept, files), '--mutate');
    assert.notEqual(stdout, '', stderr);
    return [...masked(stdout).matchAll(/^ {2}survived: (.*)$/gm)].map(([, line = '']) => line);
  };

  it('notice what --mutate takes from roles, rules and subjects', async () => {
    const survived = await mutants(tests);
    assert.deepEqual(
      survived.filter((line) => !line.includes('issuers.yaml')),
      [],
    );
  });

  it('that are not asked let such mutations survive', async () => {
    const survived = await mutants(
      `- { name: x, as: { roles: [LLM.User] }, do: models.list, expect: permit }\n`,
    );
    for (const line of [
      'DIR/roles.yaml:3 role Reader: drop read from permits',
      'DIR/roles.yaml:3 role Reader: drop document:* from resources',
      'DIR/rules.yaml:2 rule owners-write: drop it',
      'DIR/rules.yaml:3 rule closed-at-night: permit instead of deny',
      'DIR/access.yaml:4 subject user:alice: drop the role Reader',
    ])
      assert.ok(survived.includes(line), `${line} of:\n${survived.join('\n')}`);
  });

  it('do not miss a resource that a role has by inheritance as well', async () => {
    const roles = `${files['roles.yaml']}  Editor: { inherits: [Reader], permits: [write], resources: ['document:4*'] }\n`;
    const { stdout } = await test(bundleWith(tests, { ...files, 'roles.yaml': roles }), '--mutate');
    assert.doesNotMatch(stdout, /survived: .*drop document:4\* from resources/);
    assert.match(stdout, /more would change nobody's access/);
  });

  const question = (ask: string, rest = 'expect: deny'): string => `- name: x\n  ask: ${ask}\n  ${rest}\n`;
  const rows: readonly (readonly [string, string, RegExp])[] = [
    [
      'an unknown subject type',
      question("{ subject: { type: usr, id: a }, action: read, resource: { type: document, id: '1' } }"),
      /some\.yaml:2:\d+ .*there is no subject type in access\.yaml "usr"; did you mean "user"\?/,
    ],
    [
      'an unknown resource type',
      question("{ subject: { type: user, id: a }, action: read, resource: { type: documnt, id: '1' } }"),
      /no resource type in access\.yaml "documnt"; did you mean "document"\?/,
    ],
    [
      'an unknown action',
      question("{ subject: { type: user, id: a }, action: reed, resource: { type: document, id: '1' } }"),
      /no action on document "reed"; did you mean "read"\?/,
    ],
    [
      'an unknown action in full',
      question(
        "{ subject: { type: user, id: a }, action: { name: reed }, resource: { type: document, id: '1' } }",
      ),
      /ask\.action\.name: there is no action on document "reed"/,
    ],
    [
      'an action of another type',
      question(
        '{ subject: { type: user, id: a }, action: chat.completions.create, resource: { type: gateway, id: x } }',
      ),
      /no action on gateway "chat\.completions\.create"/,
    ],
    [
      'an unknown role of the subject',
      question(
        "{ subject: { type: user, id: a, properties: { roles: [Readr] } }, action: read, resource: { type: document, id: '1' } }",
      ),
      /properties\.roles\.0: there is no role "Readr"; did you mean "Reader"\?/,
    ],
    [
      'an unknown route',
      question(
        '{ subject: { type: principal, id: a }, action: models.list, resource: { type: gateway, id: x }, context: { route: nowhere } }',
      ),
      /ask\.context\.route: there is no route with the action models\.list "nowhere"/,
    ],
    [
      'an unknown decider',
      question(
        "{ subject: { type: user, id: a }, action: read, resource: { type: document, id: '1' } }",
        'expect: deny\n  by: roles.Readr',
      ),
      /no role or rule "roles\.Readr"; did you mean "roles\.Reader"\?/,
    ],
    [
      'a misspelt key',
      question("{ subject: { typ: user, id: a }, actoin: read, resource: { type: document, idd: '1' } }"),
      /unknown key "actoin"; did you mean "action"\?/,
    ],
    [
      'an outcome of requests',
      question(
        "{ subject: { type: user, id: a }, action: read, resource: { type: document, id: '1' } }",
        'expect: access_denied',
      ),
      /expect: expected one of permit, deny/,
    ],
    [
      'an id that is too long',
      question(
        `{ subject: { type: user, id: ${'a'.repeat(1_025)} }, action: read, resource: { type: document, id: '1' } }`,
      ),
      /ask: .*subject\.id is too long/,
    ],
    [
      'an address that is none',
      question(
        "{ subject: { type: user, id: a }, action: read, resource: { type: document, id: '1' }, context: { ip_address: here } }",
      ),
      /ask\.context\.ip_address: an IP address/,
    ],
    [
      'a key of a request beside a question',
      question(
        "{ subject: { type: user, id: a }, action: read, resource: { type: document, id: '1' } }",
        'expect: deny\n  model: tiny-gpt2',
      ),
      /unknown key "model"/,
    ],
  ];
  for (const [what, text, finding] of rows) {
    it(`are refused with exit code 3 over ${what}`, async () => {
      const { code, stderr } = await test(bundleWith(text, files));
      assert.equal(code, 3, stderr);
      assert.match(stderr, finding);
    });
  }
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
