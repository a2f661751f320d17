// The gateway as a decision point: who may ask, what it refuses, whom it never takes for somebody else, what it records.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startAccessGateway, type AccessGateway } from '../../conformance/authzen-gateway.ts';

const roles = `roles:
  LLM.User: { permits: [models.list, chat.completions.create], models: [tiny-gpt2] }
  LLM.Admin: { inherits: [LLM.User], permits: [admin.*], models: ['*'] }
  Access.Evaluator: { permits: [access.evaluate, access.search] }
  Access.Auditor: { inherits: [Access.Evaluator], permits: [access.explain] }
  Reader: { permits: [read], resources: ['document:public-*'] }
  Everything: { permits: ['*'], resources: ['document:*'] }
assignments:
  - { role: LLM.User, subjects: [assigned] }
`;
const rules = `rules:
  - { name: frozen, effect: deny, when: 'has(resource.properties.frozen) && resource.properties.frozen == true' }
  - { name: from-the-lab, effect: deny, network: [10.9.0.0/16] }
  - { name: everybody-called-alice, effect: permit, actions: [chat.completions.create, read], when: 'principal.subject == "alice"' }
  - { name: from-a-team, effect: deny, models: ['*'], when: '"x-team" in request.headers && request.headers["x-team"] == "blocked"' }
  - { name: viewers, effect: permit, actions: [read], resources: ['paper:*'], when: 'subject.type == "principal" ? related("viewer", "paper:" + resource.id) : subject.type == "user" && related("viewer", "paper:" + resource.id, "user:" + subject.id)' }
  - { name: careless-viewers, effect: permit, actions: [write], resources: ['paper:*'], when: 'related("viewer", "paper:" + resource.id)' }
  - { name: own-documents, effect: permit, actions: [write], resources: ['document:*'], when: 'resource.properties.owner == subject.id' }
  - { name: deletion-needs-a-second-factor, effect: permit, actions: [delete], resources: ['document:*'], roles: [LLM.User], require: { acr: [mfa], amr: [otp], max_age: 5m } }
`;
const access = `subject_types:
  user: { subjects: { known: { roles: [Reader], properties: { plan: free } }, super: { roles: [Everything] } } }
  employee: { roles_property: roles }
resource_types:
  paper: { actions: [read, write], resources: { '1': {}, '2': {} } }
  document: { actions: [read, write, delete], resources: { fixed: { owner: somebody } } }
`;

const relations = `types:
  user: {}
  team: { member: [user, team#member] }
  paper: { viewer: [user, team#member] }
tuples: ['team:red#member@user:rosa', 'paper:1#viewer@team:red#member', 'paper:2#viewer@user:paul']
`;

let gateway: AccessGateway;
before(async () => {
  gateway = await startAccessGateway(null, {
    'roles.yaml': roles,
    'rules.yaml': rules,
    'access.yaml': access,
    'relations.yaml': relations,
  });
});
after(() => gateway.close());

const claims = (more: object = {}): object => ({
  iss: gateway.issuer.issuer,
  client_id: '5a11b0a7-0000-4000-8000-000000000001',
  scp: 'LLM.Access',
  ...more,
});
const person = (id: string, more: object = {}): object => ({
  type: 'principal',
  id,
  properties: claims(more),
});
const user = (id: string, properties: object = {}): object => ({ type: 'user', id, properties });
const document = (id: string, properties: object = {}): object => ({ type: 'document', id, properties });
const model = { type: 'model', id: 'tiny-gpt2' };
const chat = { name: 'chat.completions.create' };
const read = { name: 'read' };
const question = { subject: user('known'), action: read, resource: document('public-1') };

async function decided(body: object): Promise<unknown> {
  const { status, json } = await gateway.ask('evaluation', body);
  assert.equal(status, 200, JSON.stringify(json));
  return json.decision;
}

async function askAs(principal: object | null, path: string, body: unknown = question): Promise<Response> {
  const authorization =
    principal === null ? {} : { authorization: `Bearer ${await gateway.mint({ ...principal })}` };
  return fetch(`${gateway.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...authorization },
    body: JSON.stringify(body),
  });
}

const endpoints = [
  '/access/v1/evaluation',
  '/access/v1/evaluations',
  '/access/v1/search/subject',
  '/access/v1/search/resource',
  '/access/v1/search/action',
];

describe('who may ask', () => {
  for (const endpoint of endpoints) {
    it(`nobody without a credential: ${endpoint}`, async () => {
      const response = await askAs(null, endpoint);
      assert.equal(response.status, 401);
      assert.match(response.headers.get('www-authenticate') ?? '', /^Bearer/);
      assert.equal(((await response.json()) as { code: string }).code, 'missing_credentials');
    });
    it(`not users, not administrators: ${endpoint}`, async () => {
      for (const role of ['LLM.User', 'LLM.Admin', 'Reader']) {
        const response = await askAs({ roles: [role] }, endpoint);
        assert.equal(response.status, 403);
        assert.equal(((await response.json()) as { code: string }).code, 'access_denied');
      }
    });
  }
  it('nobody with an access token that is bad', async () => {
    const response = await askAs({ roles: ['Access.Evaluator'], aud: 'api://another' }, endpoints[0]!);
    assert.equal(response.status, 401);
  });
  it('answers POST only, and nothing beside its endpoints', async () => {
    const get = await fetch(`${gateway.url}${endpoints[0]}`);
    assert.equal(get.status, 405);
    assert.equal((await askAs({ roles: ['Access.Evaluator'] }, '/access/v1/search/everything')).status, 404);
  });
});

describe('what it refuses', () => {
  const deep = (levels: number): string => `{"context":{"a":${'['.repeat(levels)}${']'.repeat(levels)}}}`;
  const long = JSON.stringify({ ...question, context: { list: Array.from({ length: 2_000 }, () => 1) } });
  const refusals: readonly (readonly [string, string, number, string])[] = [
    ['a member twice', '{"subject":{"type":"user","type":"principal","id":"x"}}', 400, 'body_invalid'],
    ['nesting without end', deep(5_000), 400, 'body_invalid'],
    ['nesting beyond the bound', deep(40), 400, 'body_invalid'],
    ['a list at the top', '[]', 400, 'body_invalid'],
    ['null', 'null', 400, 'body_invalid'],
    ['__proto__', '{"__proto__":{"decision":true}}', 400, 'body_invalid'],
    ['a list that is too long for a rule', long, 400, 'body_invalid'],
    ['a body beyond the limit', `{"a":"${'x'.repeat(70_000)}"}`, 413, 'body_too_large'],
    [
      'an id beyond the limit',
      JSON.stringify({ ...question, resource: document('x'.repeat(2_000)) }),
      400,
      'body_invalid',
    ],
    ['an empty id', JSON.stringify({ ...question, subject: user('') }), 400, 'body_invalid'],
    [
      'properties that are a list',
      JSON.stringify({ ...question, subject: { type: 'user', id: 'a', properties: [] } }),
      400,
      'body_invalid',
    ],
    ['a context that is text', JSON.stringify({ ...question, context: 'now' }), 400, 'body_invalid'],
    ['a context that is null', JSON.stringify({ ...question, context: null }), 400, 'body_invalid'],
    [
      'an address that is no text',
      JSON.stringify({ ...question, context: { ip_address: 7 } }),
      400,
      'body_invalid',
    ],
  ];
  for (const [what, body, status, code] of refusals) {
    it(what, async () => {
      const answer = await gateway.ask('evaluation', body);
      assert.deepEqual([answer.status, answer.json.code], [status, code]);
      assert.equal(answer.headers.get('content-type'), 'application/problem+json');
      assert.equal(await decided(question), true);
    });
  }
  const batches: readonly (readonly [string, object])[] = [
    ['evaluations that are no list', { evaluations: { 1: question } }],
    ['more evaluations than the limit', { evaluations: Array.from({ length: 101 }, () => ({})) }],
    ['an unknown semantic', { evaluations: [question], options: { evaluations_semantic: 'first' } }],
    ['a semantic that is a number', { evaluations: [question], options: { evaluations_semantic: 1 } }],
    ['options that are text', { evaluations: [question], options: 'execute_all' }],
  ];
  for (const [what, body] of batches) {
    it(what, async () => {
      const { status, json } = await gateway.ask('evaluations', body);
      assert.deepEqual([status, json.code], [400, 'body_invalid']);
    });
  }
  it('a body with a content coding', async () => {
    const { status } = await gateway.ask('evaluation', question, { 'content-encoding': 'gzip' });
    assert.equal(status, 400);
  });
  it('does not send back a request id that is too long', async () => {
    const { headers } = await gateway.ask('evaluation', question, { 'x-request-id': 'x'.repeat(300) });
    assert.match(headers.get('x-request-id') ?? '', /^req_/);
  });
});

describe('evaluations', () => {
  const yes = { resource: document('public-1') };
  const no = { resource: document('secret') };
  const broken = { resource: 'public-1' };
  const of = async (semantic: string, evaluations: object[]): Promise<unknown[]> => {
    const { json } = await gateway.ask('evaluations', {
      ...question,
      evaluations,
      options: { evaluations_semantic: semantic, another_option: 'value' },
    });
    return json.evaluations.map((each: { decision: unknown }) => each.decision);
  };
  it('execute_all answers every one', async () => {
    assert.deepEqual(await of('execute_all', [yes, no, broken, yes]), [true, false, false, true]);
  });
  it('deny_on_first_deny ends with the first denial or failure', async () => {
    assert.deepEqual(await of('deny_on_first_deny', [yes, no, yes]), [true, false]);
    assert.deepEqual(await of('deny_on_first_deny', [yes, broken, yes]), [true, false]);
  });
  it('permit_on_first_permit ends with the first permit', async () => {
    assert.deepEqual(await of('permit_on_first_permit', [no, broken, yes, no]), [false, false, true]);
  });
  it('a default that is not of the form harms nobody who does not use it', async () => {
    const { json } = await gateway.ask('evaluations', { ...question, resource: {}, evaluations: [yes, {}] });
    assert.equal(json.evaluations[0].decision, true);
    assert.equal(json.evaluations[1].context.error.status, 400);
  });
  it('a hundred questions are answered', async () => {
    const evaluations = Array.from({ length: 100 }, () => yes);
    assert.deepEqual(new Set(await of('execute_all', evaluations)), new Set([true]));
  });
});

describe('what is not known is denied', () => {
  const unknown: readonly (readonly [string, () => object])[] = [
    ['a type of resources', () => ({ ...question, resource: { type: 'paper', id: 'public-1' } })],
    ['an action', () => ({ ...question, action: { name: 'print' } })],
    [
      'an action of the type by a role that permits everything',
      () => ({ ...question, subject: user('super'), action: { name: 'print' } }),
    ],
    ['a type of subjects', () => ({ ...question, subject: { type: 'robot', id: 'known' } })],
    ['a subject', () => ({ ...question, subject: user('unknown') })],
    ['a resource outside the role', () => ({ ...question, resource: document('secret') })],
    [
      'a resource whose id only looks like the pattern',
      () => ({ ...question, resource: document('Public-1') }),
    ],
    ['a type in another case', () => ({ ...question, resource: { type: 'Document', id: 'public-1' } })],
    [
      'a member of Object',
      () => ({
        ...question,
        resource: { type: 'constructor', id: 'public-1' },
        subject: { type: 'toString', id: 'known' },
      }),
    ],
    [
      'an action of the gateway on a resource of others',
      () => ({ ...question, subject: user('super'), action: chat }),
    ],
    ['an action of others on a model', () => ({ subject: person('alice'), action: read, resource: model })],
  ];
  for (const [what, body] of unknown) it(what, async () => assert.equal(await decided(body()), false));
});

describe('a subject of another service is never taken for a principal', () => {
  it('an assignment to a subject is not for one of the same id', async () => {
    assert.equal(await decided({ subject: person('assigned'), action: chat, resource: model }), true);
    assert.equal(await decided({ subject: user('assigned'), action: chat, resource: model }), false);
    assert.equal(
      await decided({ subject: { type: 'principal', id: 'assigned' }, action: chat, resource: model }),
      false,
    );
  });
  it('a permit rule for a principal is not for one of the same id, nor for resources that it does not name', async () => {
    assert.equal(await decided({ subject: person('alice'), action: chat, resource: model }), true);
    assert.equal(await decided({ subject: user('alice'), action: chat, resource: model }), false);
    assert.equal(
      await decided({ subject: user('alice'), action: read, resource: document('secret') }),
      false,
    );
    assert.equal(
      await decided({ subject: person('alice'), action: read, resource: document('secret') }),
      false,
    );
  });
  const spoofs: readonly (readonly [string, () => object])[] = [
    ['an issuer that is not trusted', () => person('assigned', { iss: 'https://issuer.test' })],
    ['an issuer that is no text', () => person('assigned', { iss: [gateway.issuer.issuer] })],
    ['claims of somebody else', () => person('assigned', { sub: 'mallory' })],
    ['claims of a client that is not listed', () => person('assigned', { client_id: 'mallory' })],
    ['claims that lack the scope', () => person('assigned', { scp: 'openid' })],
    ['claims that have expired', () => person('assigned', { exp: 1_600_000_000 })],
    ['claims for another audience', () => person('assigned', { aud: 'api://another' })],
    ['claims of an ID token', () => person('assigned', { at_hash: 'x' })],
  ];
  for (const [what, subject] of spoofs) {
    it(`not with ${what}`, async () =>
      assert.equal(await decided({ subject: subject(), action: chat, resource: model }), false));
  }
  it('roles that a service states count only where access.yaml says so, and never a role beyond its resources', async () => {
    const stated = { roles: ['Everything', 'LLM.User', 'Access.Evaluator'] };
    assert.equal(await decided({ ...question, subject: user('unknown', stated) }), false);
    assert.equal(
      await decided({ ...question, subject: { type: 'employee', id: 'e', properties: stated } }),
      true,
    );
    assert.equal(
      await decided({
        subject: { type: 'employee', id: 'e', properties: stated },
        action: chat,
        resource: model,
      }),
      false,
    );
  });
  it('what the operator wrote overrules what a service states', async () => {
    const write = { subject: user('u'), action: { name: 'write' } };
    assert.equal(await decided({ ...write, resource: document('d', { owner: 'u' }) }), true);
    assert.equal(await decided({ ...write, resource: document('fixed', { owner: 'u' }) }), false);
  });
});

describe('rules hold for other services', () => {
  it('a deny rule without resources denies them, too', async () => {
    assert.equal(await decided({ ...question, resource: document('public-1', { frozen: true }) }), false);
    assert.equal(await decided({ ...question, context: { ip_address: '10.9.1.1' } }), false);
    assert.equal(await decided({ ...question, context: { ip_address: '10.8.1.1' } }), true);
  });
  it('a rule that fails permits nothing', async () => {
    assert.equal(
      await decided({ subject: user('u'), action: { name: 'write' }, resource: document('d') }),
      false,
    );
  });
  it('a property that every object has is not there', async () => {
    assert.equal(
      await decided({
        subject: user('u'),
        action: { name: 'write' },
        resource: document('d', { constructor: 'u' }),
      }),
      false,
    );
  });
  it('a lacking sign-in is told (RFC 9470)', async () => {
    const body = {
      subject: person('p', { roles: ['LLM.User'] }),
      action: { name: 'delete' },
      resource: document('d'),
    };
    assert.deepEqual((await gateway.ask('evaluation', body)).json, {
      decision: false,
      context: {
        reason: 'insufficient_user_authentication',
        acr_values: 'mfa',
        amr_values: 'otp',
        max_age: 300,
      },
    });
    const now = Math.floor(Date.now() / 1_000);
    const signedIn = person('p', { roles: ['LLM.User'], acr: 'mfa', amr: ['otp'], auth_time: now });
    assert.equal(await decided({ ...body, subject: signedIn }), true);
  });
});

describe('relations of other services', () => {
  const paper = (id: string): object => ({ type: 'paper', id });
  it('are asked about subjects and about principals', async () => {
    for (const [subject, id, expected] of [
      [user('rosa'), '1', true],
      [user('rosa'), '2', false],
      [user('paul'), '2', true],
      [person('rosa'), '1', true],
      [person('paul'), '1', false],
      [{ type: 'employee', id: 'rosa' }, '1', false],
      [user('rosa#member'), '1', false],
      [user('*'), '1', false],
    ] as const)
      assert.equal(
        await decided({ subject, action: read, resource: paper(id) }),
        expected,
        JSON.stringify([subject, id]),
      );
  });
  it('are found by a search', async () => {
    const { json } = await gateway.ask('search/resource', {
      subject: user('rosa'),
      action: read,
      resource: { type: 'paper' },
    });
    assert.deepEqual(json.results, [paper('1')]);
  });
  it('a subject that the rule does not name is related to nothing', async () => {
    const write = { action: { name: 'write' }, resource: paper('1') };
    assert.equal(await decided({ ...write, subject: person('rosa') }), true);
    assert.equal(await decided({ ...write, subject: user('rosa') }), false);
  });
});

describe('header fields of the request that is asked about', () => {
  const about = (headers: unknown): object => ({
    subject: person('assigned'),
    action: chat,
    resource: model,
    context: { headers },
  });
  it('are seen by rules', async () => {
    assert.equal(await decided(about({ 'X-Team': 'blocked' })), false);
    assert.equal(await decided(about({ 'X-Team': 'other' })), true);
  });
  for (const headers of ['x-team', { 'x-team': 7 }, null]) {
    it(`are texts by name: 400 to ${JSON.stringify(headers)}`, async () => {
      assert.equal((await gateway.ask('evaluation', about(headers))).status, 400);
    });
  }
});

describe('reasons', () => {
  it('are for those who may know them', async () => {
    const denied = { ...question, resource: document('secret') };
    assert.deepEqual((await gateway.ask('evaluation', denied)).json, { decision: false });
    const auditor = await askAs({ roles: ['Access.Auditor'] }, endpoints[0]!, denied);
    assert.deepEqual(await auditor.json(), {
      decision: false,
      context: {
        id: 'action_not_permitted',
        reason_admin: { en: 'default: action_not_permitted' },
        reason_user: { en: 'The policies do not permit this.' },
      },
    });
    const permitted = await askAs({ roles: ['Access.Auditor'] }, endpoints[0]!);
    assert.deepEqual(await permitted.json(), {
      decision: true,
      context: { id: 'role_permits', reason_admin: { en: 'roles.Reader: role_permits (roles.yaml:6)' } },
    });
  });
});

describe('searches of what is here', () => {
  it('finds the models and the actions of a principal', async () => {
    const subject = person('p', { roles: ['LLM.User'] });
    const found = async (sought: string, body: object): Promise<unknown> =>
      (await gateway.ask(`search/${sought}`, body)).json.results;
    assert.deepEqual(await found('resource', { subject, action: chat, resource: { type: 'model' } }), [
      model,
    ]);
    assert.deepEqual(
      await found('resource', { subject: user('p'), action: chat, resource: { type: 'model' } }),
      [],
    );
    assert.deepEqual(await found('action', { subject, resource: model }), [
      { name: 'models.list' },
      { name: 'chat.completions.create' },
    ]);
    assert.deepEqual(await found('action', { subject, resource: { type: 'gateway', id: 'sallyport' } }), [
      { name: 'models.list' },
      { name: 'accounts.register' },
      { name: 'accounts.token' },
    ]);
    assert.deepEqual(
      await found('subject', { subject: { type: 'principal' }, action: chat, resource: model }),
      [],
    );
  });
});

/** The record of a request, by the id that the asking service gave it. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a parsed line, asserted by the tests.
async function auditedAs(id: string): Promise<any> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const lines = readdirSync(gateway.auditFolder).flatMap((name) =>
      readFileSync(join(gateway.auditFolder, name), 'utf8').split('\n'),
    );
    const found = lines.find((line) => line.includes(`"${id}"`));
    if (found !== undefined || Date.now() > deadline) return JSON.parse(found ?? '{}');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe('the audit record', () => {
  it('says who asked about whom and what was answered, and no properties', async () => {
    const subject = user('known', { secret: 'do-not-write-this' });
    await gateway.ask(
      'evaluations',
      { ...question, subject, evaluations: [{}, { resource: document('secret') }] },
      {
        'x-request-id': 'audited-one',
      },
    );
    await gateway.ask('evaluation', { ...question, subject: 7 });
    const record = await auditedAs('audited-one');
    assert.ok(!JSON.stringify(record).includes('do-not-write-this'));
    assert.match(record.principal, /asking-service$/);
    assert.deepEqual(
      [record.route, record.action, record.code, record.client_request_id],
      ['access.evaluations', 'access.evaluate', 'ok', 'audited-one'],
    );
    assert.deepEqual(record.asked, [
      {
        subject: 'user:known',
        action: 'read',
        resource: 'document:public-1',
        permitted: true,
        code: 'role_permits',
      },
      {
        subject: 'user:known',
        action: 'read',
        resource: 'document:secret',
        permitted: false,
        code: 'action_not_permitted',
      },
    ]);
  });

  it('says what was searched, and how much was found', async () => {
    const sought = { ...question, resource: { type: 'document', id: 'ignored' } };
    await gateway.ask('search/resource', sought, { 'x-request-id': 'searched-one' });
    const record = await auditedAs('searched-one');
    assert.deepEqual(record.asked, [
      { subject: 'user:known', action: 'read', resource: 'document:*', found: 0 },
    ]);
  });
});
