// `sallyport policy check`: what it prints for good, odd and faulty policies, in every format.
import assert from 'node:assert/strict';
import { appendFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { packageRoot } from '../../core/package.ts';
import { createHome, waitFor, type CliHome } from './support/run-cli.ts';

let home: CliHome;
before(() => {
  home = createHome();
  for (const folder of ['config', 'policies', 'docs/reference'])
    cpSync(join(packageRoot, folder), join(home.folder, folder), { recursive: true });
});
after(() => home.remove());

let made = 0;
/** A copy of the shipped bundle with some files replaced or edited; returns its path from the home folder. */
function bundleWith(edits: Readonly<Record<string, string | ((text: string) => string)>>): string {
  const directory = `bundle-${++made}`;
  cpSync(join(packageRoot, 'policies'), join(home.folder, directory), { recursive: true });
  mkdirSync(join(home.folder, directory, 'tests'), { recursive: true });
  for (const [name, edit] of Object.entries(edits)) {
    const path = join(home.folder, directory, name);
    writeFileSync(path, typeof edit === 'string' ? edit : edit(readFileSync(path, 'utf8')));
  }
  return directory;
}
const check = (...words: string[]) => home.run(['policy', 'check', ...words]);
const masked = (text: string): string =>
  text
    .replaceAll(/\d+ ms/g, 'N ms')
    .replaceAll(/bundle-\d+/g, 'DIR')
    .replaceAll(/Bundle [0-9a-f]{8}/g, 'Bundle D');

describe('policy check of good policies', () => {
  it('finds nothing in the shipped bundle and exits with 0', async () => {
    const result = await check();
    assert.equal(result.code, 0, result.stdout + result.stderr);
    assert.equal(masked(result.stdout), '✓ no findings in 13 files, N ms.  Bundle D.\n');
    assert.equal(result.stderr, '');
  });

  it('names the bundle by the digest that audit records use', async () => {
    const report = JSON.parse((await check('--json')).stdout);
    assert.equal(report.valid, true);
    assert.match(report.digest, /^[0-9a-f]{64}$/);
    assert.deepEqual(report.findings, []);
  });
});

describe('policy check of faulty policies', () => {
  const faulty = () =>
    bundleWith({
      'roles.yaml': (text) => text.replace('permits: [admin.*]', 'permit: [admin.*]'),
      'rules.yaml': `rules:
  - name: paid
    effect: deny
    models: ['*']
    when: 'principl.claims.plan != "paid"'
`,
    });

  it('prints every finding with its place, the line, a caret under the word, and the nearest word', async () => {
    const result = await check(faulty());
    assert.equal(result.code, 3);
    assert.equal(
      masked(result.stdout),
      `DIR/roles.yaml:9:5 error: unknown key "permit"; did you mean "permits"?
    8 │     inherits: [LLM.User]
>   9 │     permit: [admin.*]
      │     ^^^^^^
      unknown_key · roles.LLM.Admin.permit · docs/reference/policies.md#policiesrolesyaml

DIR/rules.yaml:5:12 error: there is no "principl" here; did you mean "principal"?
    4 │     models: ['*']
>   5 │     when: 'principl.claims.plan != "paid"'
      │            ^^^^^^^^
      cel_unknown_variable · rules.0.when · docs/reference/policies.md#policiesrulesyaml

✗ 2 errors, 0 warnings in 13 files, N ms.  A running gateway keeps the bundle it has.
`,
    );
  });

  it('puts the caret under the value where the value is wrong', async () => {
    const directory = bundleWith({ 'limits.yaml': (text) => text.replace('by: principal', 'by: principle') });
    const [finding] = JSON.parse((await check(directory, '--json')).stdout).findings;
    const line = readFileSync(join(home.folder, directory, 'limits.yaml'), 'utf8').split('\n')[
      finding.line - 1
    ];
    assert.equal(line?.slice(finding.column - 1, finding.end_column - 1), 'principle');
    assert.equal(finding.suggestion, 'principal');
  });

  it('judges the tests of the policies too', async () => {
    const directory = bundleWith({
      'tests/odd.yaml': '- { name: x, as: nobody, do: models.list, expects: deny }\n',
    });
    const result = await check(directory);
    assert.equal(result.code, 3);
    assert.match(
      result.stdout,
      /tests\/odd\.yaml:1:43 error: unknown key "expects"; did you mean "expect"\?/,
    );
  });

  it('refuses a test about an action, role or issuer that does not exist', async () => {
    const directory = bundleWith({
      'tests/odd.yaml': `- { name: a, as: nobody, do: chat.completion.create, expect: deny }
- { name: b, as: { roles: [], issuer: contoso }, do: models.list, expect: deny }
- { name: c, as: { entra-v2: {} }, do: models.list, expect: permit, by: roles.LLM.Usr }
`,
    });
    const { stdout, code } = await check(directory, '--json');
    assert.equal(code, 3);
    assert.deepEqual(
      JSON.parse(stdout).findings.map(
        (each: Record<string, unknown>) => `${String(each['key_path'])} ${String(each['suggestion'])}`,
      ),
      ['0.do chat.completions.create', '1.as.issuer null', '2.as null', '2.by roles.LLM.User'],
    );
  });

  it('says which file is missing', async () => {
    const result = await check('nowhere');
    assert.equal(result.code, 3);
    assert.match(result.stdout, /^nowhere\/roles\.yaml:1:1 error: the file does not exist$/m);
  });

  it('shows a fault of the configuration as a finding', async () => {
    writeFileSync(join(home.folder, 'odd.yaml'), 'gatewy: {}\n');
    const result = await check('--config', 'odd.yaml');
    assert.equal(result.code, 3);
    assert.match(result.stdout, /^odd\.yaml:1:1 error: unknown key "gatewy"; did you mean "gateway"\?$/m);
  });

  it('as github annotations: nine, and a summary that counts all', async () => {
    const many = Array.from({ length: 12 }, (_, index) => `  r${index}: { permit: [] }\n`).join('');
    const { stdout, code } = await check(
      bundleWith({ 'roles.yaml': `roles:\n${many}` }),
      '--format',
      'github',
    );
    assert.equal(code, 3);
    assert.equal(stdout.match(/^::error /gm)?.length, 9);
    assert.match(
      stdout,
      /^::error file=bundle-\d+\/roles\.yaml,line=2,col=9,endColumn=15,title=unknown_key::/,
    );
    assert.match(stdout, /^::notice title=policy check::policy check: 12 errors, 0 warnings in 13 files$/m);
  });

  it('as SARIF with the region of the word', async () => {
    const log = JSON.parse((await check(faulty(), '--format', 'sarif')).stdout);
    assert.equal(log.version, '2.1.0');
    const [result] = log.runs[0].results;
    assert.equal(result.level, 'error');
    assert.equal(log.runs[0].tool.driver.rules[result.ruleIndex].id, result.ruleId);
    const { artifactLocation, region } = result.locations[0].physicalLocation;
    assert.match(artifactLocation.uri, /^bundle-\d+\/roles\.yaml$/);
    assert.deepEqual(region, { startLine: 9, startColumn: 5, endColumn: 11 });
  });

  it('as JUnit with one failed case for each error', async () => {
    const { stdout } = await check(faulty(), '--format', 'junit');
    assert.match(
      stdout,
      /^<\?xml version="1\.0" encoding="UTF-8"\?>\n<testsuites name="policy check" tests="2" failures="2"/,
    );
    assert.match(
      stdout,
      /<failure message="unknown key &quot;permit&quot;; did you mean &quot;permits&quot;\?">/,
    );
  });

  it('refuses a format that it does not know with exit code 2', async () => {
    assert.equal((await check('--format', 'xml')).code, 2);
  });
});

describe('policy check of odd policies', () => {
  const warningsOf = async (edits: Parameters<typeof bundleWith>[0]) => {
    const { stdout, code } = await check(bundleWith(edits), '--json');
    assert.equal(code, 0, stdout);
    return JSON.parse(stdout).findings.map(
      ({ severity, code: word, key_path: keyPath }: Record<string, string>) =>
        `${severity} ${word} ${keyPath}`,
    );
  };

  it('warns about an audience that misses another by a slash', async () => {
    const edits = {
      'issuers.yaml': (text: string) =>
        text.replace('[api://sallyport]', '[api://sallyport, api://sallyport/]'),
    };
    assert.deepEqual(await warningsOf(edits), ['warning near_miss_audience issuers.embedded.audiences.1']);
  });

  it('warns when Entra v2.0 is accepted and no audience is a GUID', async () => {
    const edits = {
      'issuers.yaml': `issuers:
  contoso: { entra: { tenant_id: 11111111-1111-4111-8111-111111111111 }, audiences: [api://sallyport], client_ids: [a] }
`,
    };
    assert.deepEqual(await warningsOf(edits), ['warning near_miss_audience issuers.contoso.audiences']);
  });

  it('warns about an audience that no client may use, and about scopes that no application has', async () => {
    const edits = {
      'issuers.yaml': `issuers:
  contoso:
    entra: { tenant_id: 11111111-1111-4111-8111-111111111111, identity_type: app }
    audiences: [22222222-2222-4222-8222-222222222222, api://sallyport]
    client_ids: [a]
    client_audiences: { a: [api://sallyport] }
    required_claims: { scp: { all: [LLM.Access] } }
`,
    };
    assert.deepEqual(await warningsOf(edits), [
      'warning no_effect issuers.contoso.audiences.0',
      'warning no_effect issuers.contoso.required_claims.scp',
    ]);
  });

  it('names what opens a lot', async () => {
    const edits = {
      'issuers.yaml': (text: string) =>
        text.replace(/client_ids:\n( {6}- .*\n)+/, 'client_ids: { any: true }\n'),
      'roles.yaml': (text: string) => text.replace('[admin.*]', "['*']"),
    };
    assert.deepEqual(await warningsOf(edits), [
      'warning permissive issuers.embedded.client_ids',
      'warning permissive roles.LLM.Admin.permits',
    ]);
  });

  it('warns about a rule behind a wider deny rule, and not about the wider one', async () => {
    const edits = {
      'rules.yaml': `rules:
  - { name: no-models, effect: deny, models: ['*'], network: [10.0.0.0/8] }
  - { name: no-tiny, effect: deny, models: [tiny-*], network: [10.0.0.0/8] }
  - { name: no-tiny-elsewhere, effect: deny, models: [tiny-*], network: [192.168.0.0/16] }
`,
    };
    assert.deepEqual(await warningsOf(edits), ['warning unreachable_rule rules.1.name']);
  });

  it('warns about a limit that no route names and a role that permits nothing', async () => {
    const edits = {
      'limits.yaml': (text: string) =>
        text.replace('limits:\n', 'limits:\n  idle: { by: principal, requests: 1, window: 1m }\n'),
      'roles.yaml': (text: string) => text.replace('roles:\n', 'roles:\n  LLM.Nothing: {}\n'),
    };
    assert.deepEqual(await warningsOf(edits), [
      'warning no_effect limits.idle',
      'warning no_effect roles.LLM.Nothing',
    ]);
  });
});

describe('policy check --watch', () => {
  it('checks again after an edit', async () => {
    const directory = bundleWith({});
    const child = home.start(['policy', 'check', directory, '--watch']);
    try {
      await waitFor(child, /no findings[\s\S]*Watching|Watching[\s\S]*no findings/);
      const seen = waitFor(child, /unknown key "nonsense"/);
      appendFileSync(join(home.folder, directory, 'limits.yaml'), 'nonsense: 1\n');
      await seen;
    } finally {
      child.kill('SIGKILL');
    }
  });
});
