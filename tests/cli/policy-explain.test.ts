// `sallyport policy explain`, `access`, `init` and `fmt`: why, who can, a first set of policies, and its layout.
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { packageRoot } from '../../core/package.ts';
import { chainLine, chainStart } from '../../gateway/accounting/audit-chain.ts';
import { createCertificate } from '../support/certificates.ts';
import { createHome, type CliHome } from './support/run-cli.ts';

const iss = 'http://127.0.0.1:8081/5a11b0a7-0000-4000-8000-000000000000/v2.0';
const claims = {
  iss,
  aud: 'api://sallyport',
  sub: 'ada',
  jti: 'j',
  client_id: '5a11b0a7-0000-4000-8000-000000000001',
  scp: 'LLM.Access',
  roles: ['LLM.User'],
};

let home: CliHome;
const write = (name: string, text: string): void => writeFileSync(join(home.folder, name), text);
before(() => {
  home = createHome();
  for (const folder of ['config', 'policies', 'schemas'])
    cpSync(join(packageRoot, folder), join(home.folder, folder), { recursive: true });
  write('claims.json', JSON.stringify(claims));
});
after(() => home.remove());

const explain = (...words: string[]) => home.run(['policy', 'explain', ...words]);
const now = ['--now', '2026-11-22T10:14:07Z'];
const masked = (text: string): string => text.replaceAll(/bundle [0-9a-f]{8}/g, 'bundle D');
const unsigned = (header: object, payload: object): string =>
  `${[header, payload].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')}.AA`;

describe('policy explain', () => {
  it('judges a client certificate by the entries of issuers.yaml, and says what it did not look at', async () => {
    const certificate = await createCertificate({
      names: [{ type: 'url', value: 'spiffe://prod.example/ns/llm/sa/batch' }],
    });
    write('client.pem', certificate.cert);
    cpSync(join(home.folder, 'policies'), join(home.folder, 'with-certificates'), { recursive: true });
    const issuers = readFileSync(join(home.folder, 'policies', 'issuers.yaml'), 'utf8');
    const entry = '{ spiffe: { trust_domain: prod.example, paths: [/ns/llm/**] }, roles: [LLM.User] }';
    write('with-certificates/issuers.yaml', `${issuers}client_certificates:\n  workloads: ${entry}\n`);
    const asked = ['--certificate', 'client.pem', '--action', 'models.list'];
    const known = await explain(...asked, '--policies', 'with-certificates');
    assert.equal(known.code, 0, known.stdout + known.stderr);
    assert.match(known.stdout, /Chain and revocation of the certificate are not checked here/);
    assert.match(
      known.stdout,
      /✓ authenticate {2}with-certificates\/issuers\.yaml:\d+ workloads: the certificate is that of spiffe:\/\/prod/,
    );
    const nobody = await explain(...asked);
    assert.equal(nobody.code, 6);
    assert.match(nobody.stdout, /✗ authenticate/);
    assert.equal((await explain('--certificate', 'claims.json', '--action', 'models.list')).code, 2);
  });

  it('shows every stage of a permitted request with the lines that decided', async () => {
    const result = await explain(
      '--claims',
      'claims.json',
      '--action',
      'chat.completions.create',
      '--model',
      'tiny-gpt2',
      ...now,
    );
    assert.equal(result.code, 0, result.stderr);
    assert.equal(
      masked(result.stdout),
      `chat.completions.create on tiny-gpt2, 2026-11-22 10:14:07 UTC
ada (embedded) through client 5a11b0a7-0000-4000-8000-000000000001, roles claimed: LLM.User
bundle D.  The signature of the token is not checked here.

✓ authenticate  policies/issuers.yaml:4 embedded: audience "api://sallyport", client 5a11b0a7-0000-4000-8000-000000000001 listed, expires 2026-11-22T11:13:07.000Z
✓ authorize     policies/roles.yaml:4 role LLM.User permits chat.completions.create on tiny-gpt2
· limit         policies/routes.yaml:6 limits of the route: requests-per-principal, tokens-per-principal
· guard         guards of the route: denied-words, ceilings

Permitted by roles.LLM.User.
`,
    );
  });

  it('says what would permit a refused request and what the caller was told, and exits with 6', async () => {
    const result = await explain('--roles', 'LLM.User', '--action', 'admin.users.list', ...now);
    assert.equal(result.code, 6);
    assert.equal(
      masked(result.stdout),
      `admin.users.list, 2026-11-22 10:14:07 UTC
somebody (embedded), roles claimed: LLM.User
bundle D

· authenticate  somebody with the roles LLM.User
✗ authorize     policies/roles.yaml:3 no role held (LLM.User) permits admin.users.list (action_not_permitted)
- limit, guard, forward: not reached

What would permit it
  role LLM.Admin (policies/roles.yaml:7)

The caller is told: 403 admin_access_required: Admin access required
`,
    );
  });

  it('shows which claim of a token is wrong and the line that wants another', async () => {
    write(
      'token',
      `${unsigned({ alg: 'RS256', kid: 'k', typ: 'at+jwt' }, { ...claims, aud: 'api://sallyport/', iat: 1, exp: 4_000_000_000 })}\n`,
    );
    const { stdout, code } = await explain('--token-file', 'token', '--action', 'models.list');
    assert.equal(code, 6);
    assert.match(
      stdout,
      /^✗ authenticate {2}policies\/issuers\.yaml:6 accepts the audiences "api:\/\/sallyport"; the token says "api:\/\/sallyport\/"$/m,
    );
    assert.match(stdout, /^- authorize, limit, guard, forward: not reached$/m);
    assert.match(stdout, /^The caller is told: 401 invalid_token: /m);
  });

  it('tells a malformed token apart without echoing it', async () => {
    write('token', 'not.a token');
    const { stdout, code } = await explain('--token-file', 'token', '--action', 'models.list');
    assert.equal(code, 6);
    assert.match(stdout, /the token is not well-formed \(token_form\)/);
    assert.ok(!stdout.includes('not.a token'));
  });

  it('shows the deny rule, its conditions and the claim that it read', async () => {
    cpSync(join(home.folder, 'policies'), join(home.folder, 'ruled'), { recursive: true });
    write(
      'ruled/rules.yaml',
      `rules:\n  - { name: paid, effect: deny, models: ['*'], when: 'has(principal.claims.plan) && principal.claims.plan == "free"' }\n`,
    );
    write('free.json', JSON.stringify({ ...claims, plan: 'free' }));
    const { stdout, code } = await explain(
      '--policies',
      'ruled',
      '--claims',
      'free.json',
      '--action',
      'completions.create',
      '--model',
      'tiny-gpt2',
    );
    assert.equal(code, 6);
    assert.match(
      stdout,
      /^✗ authorize {5}ruled\/rules\.yaml:2 rule paid denies completions\.create on tiny-gpt2: .*; the token says plan "free"$/m,
    );
    assert.match(stdout, /no role helps, since a deny overrides every permit/);
  });

  it('keeps within 25 lines and shows control characters of claims as question marks', async () => {
    write('odd.json', JSON.stringify({ ...claims, sub: 'a\u001b[31m', roles: ['\u001b]0;x\u0007'] }));
    const { stdout } = await explain('--claims', 'odd.json', '--action', 'models.list');
    assert.ok(!/[\u0000-\u0009\u000b-\u001f]/.test(stdout));
    assert.ok(stdout.split('\n').length <= 25);
  });

  it('refuses an unknown action, a missing credential and two of them with exit code 2', async () => {
    const unknown = await explain('--roles', 'x', '--action', 'chat.completion.create');
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /Did you mean chat\.completions\.create\?/);
    assert.equal((await explain('--action', 'models.list')).code, 2);
    assert.equal(
      (await explain('--roles', 'x', '--claims', 'claims.json', '--action', 'models.list')).code,
      2,
    );
    assert.equal((await explain('--claims', 'nowhere.json', '--action', 'models.list')).code, 2);
  });
});

describe('policy explain of a request id', () => {
  const record = {
    event: 'request',
    at: '2026-11-22T10:14:07.000Z',
    request_id: 'req_01JD4Q9A000000000000000000',
    caller: '127.0.0.1',
    principal: `${iss} ada`,
    issuer: 'embedded',
    client_id: 'c',
    method: 'GET',
    route: 'admin.users',
    action: 'admin.users.list',
    model: null,
    decided_by: null,
    policy: 'f'.repeat(64),
    upstream: null,
    status: 403,
    code: 'admin_access_required',
    reason: 'action_not_permitted',
  };
  before(() => {
    mkdirSync(join(home.folder, 'data/gateway/audit'), { recursive: true });
    const first = chainLine(chainStart, record);
    const second = chainLine(first.next, {
      ...record,
      request_id: 'req_OK',
      code: 'ok',
      status: 200,
      decided_by: 'roles.LLM.Admin',
      reason: null,
    });
    const third = chainLine(second.next, { ...record, request_id: 'req_FORGED' }).line.replace(
      '"127.0.0.1"',
      '"10.0.0.1"',
    );
    write('data/gateway/audit/gateway.2026-11-22.jsonl', `${first.line}\n${second.line}\n${third}\n`);
  });

  it('shows what was decided then, and that the policies have changed since', async () => {
    const { stdout, code, stderr } = await explain('req_01JD4Q9A000000000000000000');
    assert.equal(code, 6, stderr);
    assert.match(stdout, /^req_01JD4Q9A0{18}: admin\.users\.list, 2026-11-22 10:14:07 UTC$/m);
    assert.match(stdout, /^bundle ffffffff\. {2}The policies at hand are [0-9a-f]{8}: places are theirs\.$/m);
    assert.match(stdout, /^✓ authenticate {2}policies\/issuers\.yaml:4 embedded vouches for the caller$/m);
    assert.match(stdout, /^✗ authorize {5}policies\/roles\.yaml:3 refused by action_not_permitted$/m);
    assert.match(stdout, /^ {2}role LLM\.Admin \(policies\/roles\.yaml:7\)$/m);
    assert.match(stdout, /^The caller is told: 403 admin_access_required: Admin access required$/m);
  });

  it('explains a permitted request by what permitted it', async () => {
    const { stdout, code } = await explain('req_OK', '--json');
    assert.equal(code, 0);
    const explained = JSON.parse(stdout);
    assert.equal(explained.decided_by, 'roles.LLM.Admin');
    assert.equal(explained.told, null);
  });

  it('does not believe a line that was changed, and says where it looked', async () => {
    for (const id of ['req_FORGED', 'req_NONE', '../etc']) {
      const result = await explain(id);
      assert.equal(result.code, 1);
      assert.match(result.stderr, /is not in the audit log\.\n {2}Looked in data\/gateway\/audit/);
    }
  });

  it('takes no further question beside the id', async () => {
    assert.equal((await explain('req_OK', '--action', 'models.list')).code, 2);
  });
});

describe('policy access', () => {
  const access = (...words: string[]) => home.run(['policy', 'access', ...words]);

  it('lists roles, models and actions as a table', async () => {
    assert.equal(
      (await access()).stdout,
      `ROLE              MODEL      ACTIONS
LLM.User          -          models.list, api_keys.list, api_keys.create, api_keys.revoke
LLM.User          tiny-gpt2  chat.completions.create, completions.create, embeddings.create
LLM.Admin         -          models.list, admin.revocations.create, admin.policies.shadow, admin.users.list, api_keys.list, api_keys.create, api_keys.revoke, admin.api_keys.list, admin.api_keys.revoke, admin.relations.list, admin.relations.change
LLM.Admin         tiny-gpt2  chat.completions.create, completions.create, embeddings.create
Access.Evaluator  -          access.evaluate, access.search
`,
    );
  });

  it('as CSV and JSON, for one role or one model', async () => {
    const csv = (await access('--format', 'csv', '--role', 'LLM.User', '--model', 'tiny-gpt2')).stdout;
    assert.equal(
      csv.split('\r\n')[0],
      'role,model,action,decided_by,obliged_by,resource,held_by,conditions,principal,request_id',
    );
    assert.equal(csv.split('\r\n').length, 5);
    const [entry] = JSON.parse((await access('--json', '--role', 'LLM.Admin')).stdout);
    assert.deepEqual(entry, {
      role: 'LLM.Admin',
      model: null,
      resource: null,
      action: 'models.list',
      decided_by: 'roles.LLM.User',
      place: 'policies/roles.yaml:4',
      obligations: null,
      conditions: null,
      held_by: [],
      principal: null,
      request_id: null,
    });
  });

  it('lists the resources of other services that roles and rules reach', async () => {
    cpSync(join(home.folder, 'policies'), join(home.folder, 'documents'), { recursive: true });
    write(
      'documents/access.yaml',
      "resource_types: { document: { actions: [read, write], resources: { '42': {} } } }\n",
    );
    write(
      'documents/roles.yaml',
      "roles: { Reader: { permits: [read], resources: ['document:4*'] }, Guest: {} }\n",
    );
    assert.equal(
      (await access('documents')).stdout,
      `ROLE    MODEL OR RESOURCE  ACTIONS
Reader  document:4*        read
Reader  document:42        read
`,
    );
    const csv = (await access('documents', '--format', 'csv')).stdout;
    assert.match(csv, /^Reader,,read,roles\.Reader,,document:42,,,,\r$/m);
  });

  it('leaves out what a deny rule takes away', async () => {
    cpSync(join(home.folder, 'policies'), join(home.folder, 'closed'), { recursive: true });
    write('closed/rules.yaml', "rules:\n  - { name: closed, effect: deny, models: ['*'] }\n");
    assert.doesNotMatch((await access('closed')).stdout, /tiny-gpt2/);
  });

  it('refuses a role or model that is not there, with the nearest', async () => {
    const result = await access('--model', 'tiny-gp2');
    assert.equal(result.code, 2);
    assert.match(result.stderr, /Did you mean tiny-gpt2\?/);
    assert.equal((await access('--role', 'LLM.Usr')).code, 2);
  });

  it('names who holds a role by assignment, and the permit rules of a model with their conditions', async () => {
    cpSync(join(home.folder, 'policies'), join(home.folder, 'assigned'), { recursive: true });
    write(
      'assigned/roles.yaml',
      `roles: { Writer: { permits: [completions.create], models: ['*'] }, Lister: { permits: [models.list] } }
assignments:
  - { role: Writer, subjects: [bob], issuers: [embedded] }
  - { role: Lister, groups: [g1, g2] }
`,
    );
    write(
      'assigned/rules.yaml',
      `rules:
  - { name: batch-may-embed, effect: permit, actions: [embeddings.create], models: [tiny-gpt2], clients: [${claims.client_id}] }
  - { name: may-chat, effect: permit, actions: [chat.completions.create], scopes: [Chat] }
  - { name: no-chat, effect: deny, actions: [chat.completions.create] }
`,
    );
    const { stdout, stderr } = await access('assigned', '--model', 'tiny-gpt2');
    assert.equal(
      stdout,
      `ROLE    MODEL      ACTIONS
Writer  tiny-gpt2  completions.create

HELD BY ASSIGNMENT
Writer: subjects bob; issuers embedded

RULE                   MODEL      ACTIONS
rules.batch-may-embed  tiny-gpt2  embeddings.create

WHERE
rules.batch-may-embed: actions ["embeddings.create"]; models ["tiny-gpt2"]; clients ["${claims.client_id}"]
`,
      stderr,
    );
    const entries = JSON.parse((await access('assigned', '--json')).stdout);
    const byRule = entries.filter(({ role }: { role: string | null }) => role === null);
    assert.equal(byRule.length, 1);
    assert.equal(byRule[0].place, 'assigned/rules.yaml:2');
    assert.match(byRule[0].conditions, /^actions .*; clients /);
    const lister = entries.find(({ role }: { role: string }) => role === 'Lister');
    assert.deepEqual(lister.held_by, ['groups g1, g2']);
  });

  it('answers for a principal of whom only assignments speak, and says so', async () => {
    const { stdout, code } = await access('assigned', '--principal', 'bob');
    assert.equal(code, 0);
    assert.equal(
      stdout,
      `bob (embedded): assignments only, no recorded request

BY            MODEL      ACTIONS
roles.Writer  tiny-gpt2  completions.create
`,
    );
    assert.equal((await access('assigned', '--principal', `${iss} bob`)).stdout, stdout);
  });

  it('answers for the claims of the newest recorded request, rules and assignments included', async () => {
    mkdirSync(join(home.folder, 'data/gateway/decisions'), { recursive: true });
    const about = (number: number, subject: string, changed: object, from = iss): string =>
      `${JSON.stringify({ principal: number, issuer: 'embedded', iss: from, subject, key: `${from} ${subject}`, client_id: claims.client_id, roles: [], scopes: ['LLM.Access'], amr: [], credential: 'access_token', claims: { ...claims, iss: from, sub: subject, iat: 1_795_342_440, exp: 1_795_346_047, ...changed }, omitted: ['email'] })}\n`;
    const asked = (id: string, at: string, p: number): string =>
      `${JSON.stringify({ id, at: Date.parse(at), p, route: 'models', action: 'models.list', model: null, from: '10.0.0.7', decision: 'permit', code: 'permit', by: 'roles.LLM.User', policy: 'f'.repeat(64) })}\n`;
    write(
      'data/gateway/decisions/gateway.20261122T101400000Z-000001.jsonl',
      about(1, 'bob', { roles: ['Lister'] }) +
        asked('req_NEW', '2026-11-22T10:14:07Z', 1) +
        about(2, 'bob', { roles: [] }) +
        asked('req_OLD', '2026-11-22T10:14:00Z', 2) +
        about(3, 'eve', { aud: 'api://other' }) +
        asked('req_EVE', '2026-11-22T10:14:01Z', 3) +
        about(4, 'twin', {}) +
        asked('req_T1', '2026-11-22T10:14:02Z', 4) +
        about(5, 'twin', {}, 'https://other.example') +
        asked('req_T2', '2026-11-22T10:14:03Z', 5),
    );
    const { stdout, stderr } = await access('assigned', '--principal', 'bob');
    assert.equal(
      stdout,
      `bob (embedded): claims of 2026-11-22T10:14:07.000Z, request req_NEW, from 10.0.0.7; not recorded, so taken as absent: email

BY                     MODEL      ACTIONS
roles.Lister           -          models.list
roles.Writer           tiny-gpt2  completions.create
rules.batch-may-embed  tiny-gpt2  embeddings.create
`,
      stderr,
    );
    const json = await access('assigned', '--principal', 'bob', '--json');
    assert.equal(JSON.parse(json.stdout)[0].request_id, 'req_NEW');
    assert.match(json.stderr, /request req_NEW/);
  });

  it('refuses an unknown principal, a subject of two issuers, claims that are refused now, and a role besides', async () => {
    const unknown = await access('assigned', '--principal', 'nobody');
    assert.equal(unknown.code, 2);
    assert.equal(unknown.stdout, '');
    assert.match(unknown.stderr, /No principal nobody is known\.\n.*\n {2}Looked for its requests in data/);
    const twin = await access('assigned', '--principal', 'twin');
    assert.equal(twin.code, 2);
    assert.match(twin.stderr, /more than one issuer\.\n.*--principal 'http/);
    const refused = await access('assigned', '--principal', 'eve');
    assert.equal(refused.code, 6);
    assert.match(refused.stderr, /req_EVE\): invalid_token/);
    assert.equal((await access('assigned', '--principal', 'bob', '--role', 'Writer')).code, 2);
  });
});

describe('policy init', () => {
  it('writes policies that pass check and test, with schemas that editors find', async () => {
    const made = await home.run(['policy', 'init', 'mine']);
    assert.equal(made.code, 0, made.stderr);
    assert.equal((await home.run(['policy', 'check', 'mine'])).code, 0);
    assert.equal((await home.run(['policy', 'test', 'mine', '--mutate'])).code, 0);
    const roles = readFileSync(join(home.folder, 'mine/roles.yaml'), 'utf8');
    const [, schema = ''] = /^# yaml-language-server: \$schema=(\S+)$/m.exec(roles) ?? [];
    assert.ok(existsSync(join(home.folder, 'mine', schema)), schema);
  });

  it('writes nothing into a folder that holds something', async () => {
    mkdirSync(join(home.folder, 'full'));
    write('full/note', 'mine');
    const result = await home.run(['policy', 'init', 'full']);
    assert.equal(result.code, 2);
    assert.match(result.stderr, /full is not empty/);
    assert.ok(!existsSync(join(home.folder, 'full/roles.yaml')));
  });
});

describe('policy fmt', () => {
  const fmt = (...words: string[]) => home.run(['policy', 'fmt', ...words]);
  const folderWith = (name: string, rules: string): string => {
    cpSync(join(home.folder, 'policies'), join(home.folder, name), { recursive: true });
    write(`${name}/rules.yaml`, rules);
    return name;
  };

  it('leaves the shipped policies and tests as they are', async () => {
    const result = await fmt('--check');
    assert.equal(result.code, 0, result.stdout);
    assert.equal(result.stdout, '');
  });

  it('keeps every comment and value, and does nothing the second time', async () => {
    const folder = folderWith(
      'untidy',
      `# before
rules:   # beside
    -   {name: a,   effect: deny, models: [ tiny-*,"[ x ]" ]}

    # between
    - name:   b
      effect: deny
      when: >-
          principal.subject
          == "[ x ]"
# after
`,
    );
    assert.equal((await fmt(folder, '--check')).code, 5);
    const result = await fmt(folder);
    assert.equal(result.code, 0, result.stderr);
    assert.equal(result.stdout, 'untidy/rules.yaml\n');
    assert.equal(
      readFileSync(join(home.folder, 'untidy/rules.yaml'), 'utf8'),
      `# before
rules:
  # beside
  - { name: a, effect: deny, models: [tiny-*, "[ x ]"] }

  # between
  - name: b
    effect: deny
    when: >-
      principal.subject == "[ x ]"

# after
`,
    );
    assert.equal((await fmt(folder, '--check')).code, 0);
  });

  it('writes nothing when a file is no YAML', async () => {
    const folder = folderWith('broken', 'rules: [\n');
    write('broken/limits.yaml', 'limits:    {}\n');
    assert.equal((await fmt(folder)).code, 3);
    assert.equal(readFileSync(join(home.folder, 'broken/limits.yaml'), 'utf8'), 'limits:    {}\n');
  });
});

describe('every policy command', () => {
  it('has help with its flags and writes no escape byte when piped', async () => {
    for (const name of ['check', 'test', 'explain', 'access', 'init', 'fmt']) {
      const help = await home.run(['policy', name, '-h']);
      assert.equal(help.code, 0);
      assert.match(help.stdout, /--json/);
    }
    const { stdout } = await home.run(['policy', 'test'], { env: { FORCE_COLOR: '3' } });
    assert.ok(!stdout.includes('\u001b'));
  });
});
