// `sallyport policy replay`, and `explain` with what a decision record adds: the decisions of a log written by the gateway's
// own writer, made again under other policies.
import assert from 'node:assert/strict';
import { appendFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { pino } from 'pino';
import { loadConfiguration } from '../../cli/compose.ts';
import { packageRoot } from '../../core/package.ts';
import { chainLine, chainStart } from '../../gateway/accounting/audit-chain.ts';
import { createDecisionLog } from '../../gateway/accounting/decision-log.ts';
import type { Received } from '../../gateway/exchange.ts';
import { anonymousPrincipal, type Principal } from '../../gateway/principal.ts';
import { loadBundle } from '../../gateway/policies/bundle.ts';
import { policyContext } from '../../gateway/policies/context.ts';
import { createHome, type CliHome } from './support/run-cli.ts';

const iss = 'http://127.0.0.1:8081/5a11b0a7-0000-4000-8000-000000000000/v2.0';
const at = Date.parse('2026-11-22T10:14:07Z');
let home: CliHome;
let digest: string;
const path = (...names: string[]): string => join(home.folder, ...names);

function person(name: string, roles: readonly string[], further: Record<string, unknown> = {}): Principal {
  const nowSeconds = at / 1_000;
  return {
    ...anonymousPrincipal('::1'),
    issuerName: 'embedded',
    issuer: iss,
    subject: name,
    key: `${iss} ${name}`,
    clientId: '5a11b0a7-0000-4000-8000-000000000001',
    roles: new Set(roles),
    scopes: new Set(['LLM.Access']),
    credential: { kind: 'access_token', id: 'j', issuedAt: nowSeconds - 60 },
    claims: {
      iss,
      aud: 'api://sallyport',
      sub: name,
      jti: 'j',
      iat: nowSeconds - 60,
      exp: nowSeconds + 600,
      client_id: '5a11b0a7-0000-4000-8000-000000000001',
      scp: 'LLM.Access',
      roles,
      email: `${name}@example.com`,
      ...further,
    },
  };
}

interface Made {
  readonly id: string;
  readonly principal: Principal;
  readonly model?: string;
  readonly body?: Readonly<Record<string, unknown>>;
  /** A refusal's code; absent: permitted by LLM.User. */
  readonly refused?: string;
  readonly at?: number;
}

/** Writes the log as the gateway does. */
async function record(...made: readonly Made[]): Promise<void> {
  const log = createDecisionLog(path('data/gateway/decisions'), {
    log: pino({ level: 'silent' }),
    keepMs: 1e12,
    maxBytes: 1e9,
    omitClaims: ['email'],
    onLost: (count) => assert.fail(`${count} lost`),
  });
  for (const { id, principal, model = 'tiny-gpt2', body = {}, refused, at: when = at } of made) {
    log.append({
      id,
      receivedAt: when,
      route: { name: 'chat.completions', action: 'chat.completions.create', anonymous: false },
      callerAddress: '127.0.0.1',
      snapshot: { digest },
      body: { bytes: Buffer.alloc(0), json: body },
      ...(refused === undefined ? { effective: {} } : {}),
      outcome: {
        principal,
        model,
        decidedBy: refused === undefined ? 'roles.LLM.User' : null,
        refusal: refused === undefined ? null : { code: refused },
        bodyAsJudged: null,
      },
    } as unknown as Received); // What the log reads of a request.
  }
  await log.close();
}

/** The shipped policies with a change, in `next`. */
function candidate(changes: Readonly<Record<string, (text: string) => string>>): void {
  rmSync(path('next'), { recursive: true, force: true });
  cpSync(path('policies'), path('next'), { recursive: true });
  for (const [name, change] of Object.entries(changes)) {
    const before = readFileSync(path('next', name), 'utf8');
    const after = change(before);
    assert.notEqual(after, before, name);
    writeFileSync(path('next', name), after);
  }
}

const rules =
  (...lines: string[]) =>
  (): string =>
    `rules:\n${lines.map((line) => `  - ${line}\n`).join('')}`;
const replay = (...words: string[]) =>
  home.run(['policy', 'replay', '--candidate', 'next', '--since', '2026-11-01T00:00:00Z', ...words]);
const report = async (...words: string[]): Promise<Record<string, unknown>> =>
  JSON.parse((await replay('--json', ...words)).stdout) as Record<string, unknown>;

before(() => {
  home = createHome();
  for (const folder of ['config', 'policies', 'schemas'])
    cpSync(join(packageRoot, folder), path(folder), { recursive: true });
  const { gateway } = loadConfiguration({ configFile: path('config/sallyport.yaml') });
  assert.ok(gateway !== undefined);
  ({ digest } = loadBundle(path('policies'), policyContext(gateway)));
});
after(() => home.remove());
beforeEach(() => rmSync(path('data'), { recursive: true, force: true }));

const alice = person('alice', ['LLM.User'], { plan: 'free' });
const bob = person('bob', ['LLM.User'], { plan: 'paid' });
const carol = person('carol', ['LLM.Guest']);

describe('policy replay', () => {
  it('finds no difference under the same policies, and exits with 0', async () => {
    await record(
      { id: 'req_1', principal: alice },
      { id: 'req_2', principal: carol, refused: 'access_denied' },
    );
    candidate({});
    const { code, stdout, stderr } = await replay();
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /^2 decisions of 2 principals, 2026-11-22 10:14 to 2026-11-22 10:14$/m);
    assert.match(stdout, /^✓ The candidate decides all of them alike\.$/m);
  });

  it('names who gains and who loses by claims and numbers, with the rule and its line, and exits with 5', async () => {
    await record(
      { id: 'req_1', principal: alice, body: { max_tokens: 100 } },
      { id: 'req_2', principal: alice, body: { max_completion_tokens: 200 } },
      { id: 'req_3', principal: alice, body: { max_tokens: 10 } },
      { id: 'req_4', principal: bob, body: { max_tokens: 100 } },
      { id: 'req_5', principal: carol, refused: 'access_denied' },
    );
    candidate({
      'rules.yaml': rules(
        `{ name: short-for-free, effect: deny, when: 'principal.claims.plan == "free" && request.max_tokens > 50', roles: [LLM.User] }`,
        '{ name: guests, effect: permit, roles: [LLM.Guest], actions: [chat.completions.create] }',
      ),
      'roles.yaml': (text) => text.replace('roles:\n', 'roles:\n  LLM.Guest: { permits: [models.list] }\n'),
    });
    const { code, stdout, stderr } = await replay();
    assert.equal(code, 5, stdout + stderr);
    assert.equal(
      stdout.replace(/candidate [0-9a-f]{8}/, 'candidate D'),
      `5 decisions of 3 principals, 2026-11-22 10:14 to 2026-11-22 10:14
candidate D (next) beside what was decided then

Loses: 2 decisions of 1 principal
  ✗ 2 × alice (embedded)  chat.completions.create on tiny-gpt2
        permit (roles.LLM.User) → access_denied (rules.short-for-free, next/rules.yaml:2)
        e.g. req_2

Gains: 1 decision of 1 principal
  + 1 × carol (embedded)  chat.completions.create on tiny-gpt2
        access_denied (default) → permit (rules.guests, next/rules.yaml:3)
        e.g. req_5

✗ 2 lost, 1 gained, 2 alike.
`,
    );
    const csv = (await replay('--format', 'csv')).stdout.split('\r\n');
    assert.equal(csv.length, 4);
    assert.match(csv[1] ?? '', /^loses,2,.* alice,embedded,/);
  });

  it('judges recorded claims by the issuers of the candidate', async () => {
    await record({ id: 'req_1', principal: alice });
    candidate({ 'issuers.yaml': (text) => text.replace('api://sallyport', 'api://another') });
    const { loses } = await report();
    assert.deepEqual((loses as { after: unknown }[])[0]?.after, {
      decision: 'deny',
      code: 'invalid_token',
      by: null,
      reason: 'aud',
    });
  });

  it('does not take a claim that was left out of the record for one that was missing', async () => {
    await record({ id: 'req_1', principal: alice });
    candidate({
      'issuers.yaml': (text) =>
        text.replace('required_claims:\n', 'required_claims:\n      email: { any: [alice@example.com] }\n'),
    });
    const { loses, unchanged } = await report();
    assert.deepEqual([loses, unchanged], [[], 1]);
  });

  it('says which claim a rule reads that the records leave out', async () => {
    await record({ id: 'req_1', principal: alice });
    candidate({
      'rules.yaml': rules(
        `{ name: ours, effect: deny, when: '!principal.claims.email.endsWith("@example.com")' }`,
      ),
    });
    const { notes } = await report();
    assert.match(JSON.stringify(notes), /Not recorded, so taken as absent: email/);
  });

  it('counts another refusal apart, and another role behind the same answer as no difference', async () => {
    await record(
      { id: 'req_1', principal: carol, refused: 'access_denied' },
      { id: 'req_2', principal: alice },
    );
    candidate({
      'roles.yaml': (text) =>
        text
          .replace('roles:\n', 'roles:\n  LLM.Guest: { permits: [chat.completions.create] }\n')
          .replace('LLM.User:', 'LLM.Everyone:')
          .replace('[LLM.User]', '[LLM.Everyone]')
          .replace('assignments: []', `assignments: [{ role: LLM.Everyone, subjects: [alice] }]`),
    });
    const found = await report();
    assert.equal(found['other_decider'], 1);
    assert.deepEqual(
      (found['other_refusal'] as { after: { code: string } }[]).map(({ after }) => after.code),
      ['model_not_found'],
    );
    assert.deepEqual([found['gains'], found['loses']], [[], []]);
  });

  it('compares with the policies in use on --live, whatever was recorded', async () => {
    await record({ id: 'req_1', principal: carol }); // Permitted then, by policies that are gone.
    candidate({ 'rules.yaml': rules('{ name: harmless, effect: deny, network: [10.0.0.0/8] }') });
    assert.equal(((await report())['loses'] as unknown[]).length, 1);
    const live = await report('--live');
    assert.deepEqual([live['loses'], live['compared_with']], [[], digest]);
    assert.equal((await replay('--live')).code, 0);
  });

  it('takes a route that is gone for a loss', async () => {
    await record({ id: 'req_1', principal: alice });
    candidate({
      'routes.yaml': (text) => text.replaceAll(/.*action: chat\.completions\.create.*\n/g, ''),
      'roles.yaml': (text) => text.replace('chat.completions.create, ', ''),
    });
    const { loses } = await report();
    assert.equal((loses as { after: { code: string } }[])[0]?.after.code, 'no_route');
  });

  it('fails where nothing was recorded, and says where it looked', async () => {
    candidate({});
    const { code, stdout, stderr } = await replay();
    assert.equal(code, 5);
    assert.match(stdout, /No decision was recorded since 2026-11-01/);
    assert.match(stderr, /Looked in data\/gateway\/decisions/);
    await record({ id: 'req_old', principal: alice, at: at - 90 * 86_400_000 });
    assert.equal((await report())['decisions'], 0);
  });

  it('refuses a candidate with a fault, a time that is none, and no candidate', async () => {
    candidate({ 'roles.yaml': (text) => text.replace('permits:', 'permts:') });
    assert.equal((await replay()).code, 3);
    candidate({});
    assert.equal(
      (await home.run(['policy', 'replay', '--candidate', 'next', '--since', 'yesterday'])).code,
      2,
    );
    assert.equal((await home.run(['policy', 'replay'])).code, 2);
  });

  it('writes no escape byte of a subject to the terminal', async () => {
    await record({ id: 'req_1', principal: person('\u001b[31mmallory', ['LLM.User']) });
    candidate({ 'rules.yaml': rules('{ name: none, effect: deny, actions: [chat.*] }') });
    const { stdout } = await replay();
    assert.match(stdout, /\?\[31mmallory/);
    assert.ok(!stdout.includes('\u001b'));
  });
});

describe('policy explain of a recorded request', () => {
  it('shows the values that were seen and what they led to, as long as the decision is kept', async () => {
    await record({ id: 'req_GUEST', principal: carol, refused: 'access_denied', body: { max_tokens: 9 } });
    mkdirSync(path('data/gateway/audit'), { recursive: true });
    const { line } = chainLine(chainStart, {
      event: 'request',
      at: new Date(at).toISOString(),
      request_id: 'req_GUEST',
      caller: '127.0.0.1',
      principal: carol.key,
      issuer: 'embedded',
      route: 'chat.completions',
      action: 'chat.completions.create',
      model: 'tiny-gpt2',
      policy: digest,
      decided_by: null,
      upstream: null,
      status: 403,
      code: 'access_denied',
      reason: 'no_known_role',
    });
    appendFileSync(path('data/gateway/audit/gateway.2026-11-22.jsonl'), `${line}\n`);
    const { stdout, code } = await home.run(['policy', 'explain', 'req_GUEST']);
    assert.equal(code, 6);
    assert.match(
      stdout,
      /✗ authorize +policies\/roles\.yaml:\d+ no role of roles\.yaml is held: the roles claimed are "LLM\.Guest"/,
    );
    assert.match(
      stdout,
      /What was seen\n {2}roles "LLM\.Guest"; no groups; scopes "LLM\.Access"\n {2}request stream false, max_tokens 9,/,
    );
    assert.match(stdout, /not recorded: email/);
    assert.ok(stdout.split('\n').length <= 26, stdout);
    const explained = JSON.parse((await home.run(['policy', 'explain', 'req_GUEST', '--json'])).stdout) as {
      seen: { roles: unknown };
    };
    assert.deepEqual(explained.seen.roles, ['LLM.Guest']);
    rmSync(path('data/gateway/decisions'), { recursive: true });
    const without = await home.run(['policy', 'explain', 'req_GUEST']);
    assert.equal(without.code, 6);
    assert.doesNotMatch(without.stdout, /What was seen/);
  });
});
