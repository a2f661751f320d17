// Obligations of rules in the policy tools: tests expect them, explanations and the access table name them.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse, stringify } from 'yaml';
import { packageRoot } from '../../core/package.ts';
import { chainLine, chainStart } from '../../gateway/accounting/audit-chain.ts';
import { createHome, type CliHome } from './support/run-cli.ts';

const rules = `rules:
  - name: briefly
    roles: [LLM.User]
    actions: [chat.completions.create]
    obligations:
      limits: [few]
      ceilings: { max_tokens: 50 }
      system_message: Be brief.
      upstream_headers: { x-team: users, x-caller: { from: subject } }
  - name: same-header
    actions: [chat.completions.create]
    clients: [5a11b0a7-0000-4000-8000-000000000002]
    obligations: { upstream_headers: { x-team: pages } }
  - name: paid
    actions: [embeddings.create]
    when: principal.claims.plan == "paid"
    obligations: { limits: [few] }
`;

const onlyChat = `routes:
  models: { path: /v1/models, methods: [GET], kind: models, action: models.list, limits: [requests-per-principal] }
  chat: { path: /v1/chat/completions, methods: [POST], kind: openai, action: chat.completions.create, limits: [requests-per-principal] }
`;

let home: CliHome;
let made = 0;
before(() => {
  home = createHome();
  for (const folder of ['config', 'policies'])
    cpSync(join(packageRoot, folder), join(home.folder, folder), { recursive: true });
  const limits = readFileSync(join(home.folder, 'policies/limits.yaml'), 'utf8');
  writeFileSync(
    join(home.folder, 'policies/limits.yaml'),
    limits.replace('limits:\n', 'limits:\n  few: { by: principal, requests: 3, window: 1m }\n'),
  );
  writeFileSync(join(home.folder, 'policies/rules.yaml'), rules);
});
after(() => home.remove());

function bundleWith(tests: string): string {
  const directory = `bundle-${++made}`;
  const folder = join(home.folder, directory);
  cpSync(join(home.folder, 'policies'), folder, { recursive: true });
  rmSync(join(folder, 'tests'), { recursive: true });
  mkdirSync(join(folder, 'tests'));
  writeFileSync(join(folder, 'tests/some.yaml'), tests);
  return directory;
}
const chat = '  as: { roles: [LLM.User] }\n  do: chat.completions.create\n  model: tiny-gpt2\n';
const testOf = (name: string, rest: string): string => `- name: ${name}\n${chat}  expect: permit\n${rest}`;

describe('policy test with expect_obligations', () => {
  it('passes when what is stated applies, lists in any order, and counts the rule as decided', async () => {
    const directory = bundleWith(
      [
        testOf('bound', '  expect_obligations: { limits: [few], ceilings: { max_tokens: 50 } }\n'),
        testOf(
          'told',
          '  expect_obligations: { system_message: Be brief. }\n  request: { messages: [{ role: user, content: x }] }\n',
        ),
        testOf(
          'named',
          '  expect_obligations: { upstream_headers: { x-team: users, x-caller: { from: subject } } }\n',
        ),
        '- name: free\n  as: { roles: [LLM.User] }\n  do: models.list\n  expect: permit\n  expect_obligations: none\n',
      ].join(''),
    );
    const { code, stdout } = await home.run(['policy', 'test', directory, '--json']);
    assert.equal(code, 0, stdout);
    const report = JSON.parse(stdout);
    assert.deepEqual(report.tests[0].got.obligations.rules, ['rules.briefly']);
    assert.equal(report.tests[3].got.obligations, null);
    assert.ok(!report.coverage.never_decided.some(({ name }: { name: string }) => name === 'rules.briefly'));
  });

  it('fails and says both when something else applies, or nothing', async () => {
    const directory = bundleWith(
      [
        testOf('other ceiling', '  expect_obligations: { ceilings: { max_tokens: 60 } }\n'),
        testOf('nothing', '  expect_obligations: none\n'),
        testOf('more', '  expect_obligations: { guards: [denied-words] }\n'),
        '- name: unbound\n  as: { roles: [LLM.User] }\n  do: models.list\n  expect: permit\n  expect_obligations: { limits: [few] }\n',
      ].join(''),
    );
    const { code, stdout } = await home.run(['policy', 'test', directory]);
    assert.equal(code, 5);
    assert.match(stdout, /expected {2}permit, bound to ceilings max_tokens 60\n/);
    assert.match(
      stdout,
      /got {7}permit by roles\.LLM\.User, bound to limits few; ceilings max_tokens 50; system message "Be brief\."; upstream headers x-team: users, x-caller: the subject\n/,
    );
    assert.match(stdout, /expected {2}permit, bound to nothing\n/);
    assert.match(stdout, /got {7}permit by roles\.LLM\.User, bound to nothing\n/);
    assert.match(stdout, /✗ 4 of 4 failed/);
  });

  it('judges the body with the ceilings that rules state', async () => {
    const directory = bundleWith(
      `- name: too long\n${chat}  request: { max_tokens: 51, messages: [{ role: user, content: x }] }\n  expect: parameter_above_ceiling\n` +
        `- name: no messages\n${chat}  request: { max_tokens: 5 }\n  expect: body_invalid\n`,
    );
    const { code, stdout } = await home.run(['policy', 'test', directory]);
    assert.equal(code, 0, stdout);
  });

  it('is refused for unknown names, and beside an expected refusal', async () => {
    const directory = bundleWith(
      testOf('a', '  expect_obligations: { limits: [fw] }\n') +
        `- name: b\n${chat}  expect: deny\n  expect_obligations: none\n`,
    );
    const beside = await home.run(['policy', 'test', directory]);
    assert.equal(beside.code, 3);
    assert.match(beside.stdout + beside.stderr, /some\.yaml:12:3.*only a permit is bound to anything/);
    const misspelt = bundleWith(testOf('a', '  expect_obligations: { limits: [fw] }\n'));
    const unknown = await home.run(['policy', 'test', misspelt]);
    assert.match(unknown.stdout + unknown.stderr, /there is no limit "fw"; did you mean "few"\?/);
  });

  it('notices with --mutate which obligation no test expects', async () => {
    const directory = bundleWith(
      testOf('a', '  expect_obligations: { limits: [few], system_message: Be brief. }\n'),
    );
    const { code, stdout } = await home.run(['policy', 'test', directory, '--mutate']);
    assert.equal(code, 5);
    const survived = stdout.split('\n').filter((line) => line.includes('rule briefly:'));
    assert.deepEqual(
      survived.map((line) => line.trim().replace(/^survived: \S+ /, '')),
      [
        'rule briefly: drop ceilings from obligations',
        'rule briefly: drop upstream_headers from obligations',
      ],
    );
  });
});

describe('policy explain', () => {
  const explain = (...words: string[]) =>
    home.run(['policy', 'explain', '--model', 'tiny-gpt2', '--action', ...words]);

  it('says what a permit is bound to, and by which rule', async () => {
    const { code, stdout } = await explain('chat.completions.create', '--roles', 'LLM.User');
    assert.equal(code, 0);
    assert.match(stdout, /limits of the route: requests-per-principal, tokens-per-principal; of rules: few/);
    assert.match(
      stdout,
      /· bound +limits few; ceilings max_tokens 50; system message "Be brief\."; .* \(by rules\.briefly\)/,
    );
    const { stdout: text } = await explain('chat.completions.create', '--roles', 'LLM.User', '--json');
    assert.deepEqual(JSON.parse(text).obligations.ceilings, { max_tokens: 50 });
  });

  it('says nothing of obligations where there are none', async () => {
    const { stdout } = await explain('models.list', '--roles', 'LLM.User');
    assert.doesNotMatch(stdout, /bound/);
  });

  it('says why obligations refuse: a conflict, and a rule that cannot be evaluated', async () => {
    writeFileSync(
      join(home.folder, 'claims.json'),
      JSON.stringify({
        iss: 'http://127.0.0.1:8081/5a11b0a7-0000-4000-8000-000000000000/v2.0',
        aud: 'api://sallyport',
        sub: 'ada',
        jti: 'j',
        client_id: '5a11b0a7-0000-4000-8000-000000000002',
        scp: 'LLM.Access',
        roles: ['LLM.User'],
      }),
    );
    const torn = await explain('chat.completions.create', '--claims', 'claims.json');
    assert.equal(torn.code, 6);
    assert.match(
      torn.stdout,
      /rules\.yaml:2 rule briefly denies chat\.completions\.create on tiny-gpt2: .*obligations_conflict.*; another rule that matches sets one of its upstream headers/,
    );
    const unknown = await explain('embeddings.create', '--roles', 'LLM.User');
    assert.equal(unknown.code, 6);
    assert.match(unknown.stdout, /rules\.yaml:\d+ rule paid denies .*when_failed/);
  });

  it('names the rules that bound a request of the audit log', async () => {
    const id = 'req_0000000000000000000000BIND';
    const folder = join(home.folder, 'data/gateway/audit');
    mkdirSync(folder, { recursive: true });
    const record = {
      event: 'request',
      at: '2026-11-22T10:14:07.000Z',
      request_id: id,
      caller: '127.0.0.1',
      principal: 'p',
      issuer: 'embedded',
      client_id: null,
      method: 'POST',
      route: 'chat.completions',
      action: 'chat.completions.create',
      model: 'tiny-gpt2',
      decided_by: 'roles.LLM.User',
      obliged_by: ['rules.briefly'],
      policy: 'x',
      upstream: 'embedded',
      status: 200,
      code: 'ok',
      reason: null,
    };
    const { line } = chainLine(chainStart, record);
    writeFileSync(join(folder, 'gateway.2026-11-22.jsonl'), `${line}\n`);
    const { stdout, stderr } = await home.run(['policy', 'explain', id]);
    assert.match(stdout, /· bound +by rules\.briefly/, stderr);
  });
});

describe('the how-to about cheaper models', () => {
  it('shows policies and a test that hold', async () => {
    const page = readFileSync(join(packageRoot, 'docs/how-to/cheaper-models.md'), 'utf8');
    const blocks = [...page.matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(([, block = '']) => block);
    const [config = '', roles = '', limits = '', howToRules = '', tests = ''] = blocks;
    assert.equal(blocks.length, 5);
    const directory = bundleWith(tests);
    const folder = join(home.folder, directory);
    writeFileSync(join(folder, 'roles.yaml'), roles);
    writeFileSync(
      join(folder, 'limits.yaml'),
      limits.replace(
        'limits:\n',
        'limits:\n  requests-per-principal: { by: principal, requests: 600, window: 1m }\n  account-requests: { by: caller_address, requests: 120, window: 1m }\n',
      ),
    );
    writeFileSync(join(folder, 'rules.yaml'), howToRules);
    writeFileSync(join(folder, 'routes.yaml'), onlyChat);
    const shipped = parse(readFileSync(join(home.folder, 'config/sallyport.yaml'), 'utf8'));
    Object.assign(shipped.gateway.upstreams, parse(config).gateway.upstreams);
    writeFileSync(join(home.folder, 'how-to.yaml'), stringify(shipped));
    const { code, stdout, stderr } = await home.run(['policy', 'test', directory, '--config', 'how-to.yaml']);
    assert.equal(code, 0, stdout + stderr);
    // Without the attribute there is nothing to ask for.
    const { stdout: faults } = await home.run(['policy', 'check', directory]);
    assert.match(faults, /resource\.attributes has no "tier"/);
  });
});

describe('policy access', () => {
  it('marks what rules bind, in every format', async () => {
    const access = (...words: string[]) => home.run(['policy', 'access', '--role', 'LLM.User', ...words]);
    assert.match((await access()).stdout, /chat\.completions\.create \(bound by rules\.briefly\)/);
    const csv = (await access('--format', 'csv')).stdout.split('\r\n');
    assert.ok(csv.includes('LLM.User,tiny-gpt2,chat.completions.create,roles.LLM.User,rules.briefly,,,,,'));
    assert.ok(csv.includes('LLM.User,tiny-gpt2,completions.create,roles.LLM.User,,,,,,'));
    const entries = JSON.parse((await access('--json')).stdout) as { action: string; obligations: unknown }[];
    assert.equal(entries.find(({ action }) => action === 'completions.create')?.obligations, null);
  });
});
