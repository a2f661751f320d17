// The requests of the AuthZEN working group's certification scenario for decision points, level by level, on its fixture.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startAccessGateway, type AccessGateway } from './authzen-gateway.ts';

const alice = { type: 'user', id: 'alice' };
const bob = { type: 'user', id: 'bob' };
const administrator = { ...bob, properties: { role: 'admin' } };
const one = { type: 'record', id: 'record-1' };
const two = { type: 'record', id: 'record-2' };
const active = { ...one, properties: { status: 'active' } };
const archived = { ...two, properties: { status: 'archived' } };
const read = { name: 'read' };
const write = { name: 'write' };
const whole = { subject: alice, action: read, resource: one };

let gateway: AccessGateway;
before(async () => {
  gateway = await startAccessGateway('policies-certification');
});
after(() => gateway.close());

async function decisions(body: object): Promise<unknown[]> {
  const { status, json } = await gateway.ask('evaluations', body);
  assert.equal(status, 200);
  assert.equal(json.decision, undefined);
  return json.evaluations.map((each: { decision: unknown }) => each.decision);
}

async function results(sought: string, body: object): Promise<unknown[]> {
  const { status, headers, json } = await gateway.ask(`search/${sought}`, body);
  assert.equal(status, 200);
  assert.equal(headers.get('content-type'), 'application/json');
  return json.results.map((each: { id?: string; name?: string }) => each.id ?? each.name);
}

describe('AuthZEN certification: basic', () => {
  const questions: readonly (readonly [string, object, boolean])[] = [
    ['rule 1', whole, true],
    ['rule 2', { ...whole, action: write }, true],
    ['rule 3', { ...whole, subject: bob }, true],
    ['rule 4', { ...whole, subject: bob, action: write }, false],
    ['context', { ...whole, context: { time: '2025-06-27T18:03-07:00', ip: '192.168.1.1' } }, true],
    ['rule 5', { subject: alice, action: write, resource: archived }, false],
    ['rule 6', { subject: administrator, action: write, resource: archived }, true],
    ['rule 7', { ...whole, action: { name: 'delete', properties: { soft: true } } }, true],
    ['rule 8', { ...whole, action: { name: 'delete', properties: { soft: false } } }, false],
    [
      'additional properties',
      {
        subject: { ...alice, properties: { department: 'Sales', role: 'manager' } },
        action: { ...read, properties: { method: 'GET' } },
        resource: { ...one, properties: { status: 'active', owner: 'bob' } },
      },
      true,
    ],
    ['unknown fields', { ...whole, foo: 'bar', futureField: { nested: true }, model: 7 }, true],
  ];
  for (const [what, request, expected] of questions) {
    it(`answers ${expected}: ${what}`, async () => {
      const { status, headers, json } = await gateway.ask('evaluation', request);
      assert.deepEqual([status, json], [200, { decision: expected }]);
      assert.equal(headers.get('content-type'), 'application/json');
    });
  }

  const malformed: readonly (readonly [string, unknown])[] = [
    ['no subject', { action: read, resource: one }],
    ['no action', { subject: alice, resource: one }],
    ['no resource', { subject: alice, action: read }],
    ['no subject type', { ...whole, subject: { id: 'alice' } }],
    ['no subject id', { ...whole, subject: { type: 'user' } }],
    ['no action name', { ...whole, action: {} }],
    ['no resource type', { ...whole, resource: { id: 'record-1' } }],
    ['no resource id', { ...whole, resource: { type: 'record' } }],
    ['malformed JSON', '{"subject":'],
    ['an empty body', ''],
    ['a subject that is text', { ...whole, subject: 'alice' }],
    ['an action named by a number', { ...whole, action: { name: 123 } }],
  ];
  for (const [what, request] of malformed) {
    it(`answers 400 to ${what}`, async () => {
      const { status, json } = await gateway.ask('evaluation', request);
      assert.deepEqual([status, json.code], [400, 'body_invalid']);
    });
  }
  it('answers 400 to another media type', async () => {
    const { status } = await gateway.ask('evaluation', whole, { 'content-type': 'text/plain' });
    assert.equal(status, 400);
  });

  it('sends the X-Request-ID of the request back, with answers and with refusals', async () => {
    for (const body of [whole, {}]) {
      const { headers } = await gateway.ask('evaluation', body, { 'x-request-id': 'bfe9eb29 and more' });
      assert.equal(headers.get('x-request-id'), 'bfe9eb29 and more');
    }
    const { headers } = await gateway.ask('evaluation', whole);
    assert.match(headers.get('x-request-id') ?? '', /^req_/);
  });

  it('answers the same question the same each time', async () => {
    for (let turn = 0; turn < 5; turn++)
      assert.deepEqual((await gateway.ask('evaluation', whole)).json, { decision: true });
  });
});

describe('AuthZEN certification: batch', () => {
  it('evaluates in the order of the request, with defaults (AuthZEN 1.0 §7.1.1)', async () => {
    assert.deepEqual(
      await decisions({ subject: alice, action: read, evaluations: [{ resource: one }, { resource: two }] }),
      [true, true],
    );
    assert.deepEqual(
      await decisions({ subject: bob, resource: one, evaluations: [{ action: read }, { action: write }] }),
      [true, false],
    );
    assert.deepEqual(
      await decisions({ evaluations: [whole, { subject: bob, action: write, resource: one }] }),
      [true, false],
    );
  });
  it('evaluates the properties of each', async () => {
    assert.deepEqual(
      await decisions({
        subject: alice,
        action: write,
        evaluations: [{ resource: active }, { resource: archived }],
      }),
      [true, false],
    );
    assert.deepEqual(
      await decisions({
        action: write,
        resource: archived,
        evaluations: [{ subject: alice }, { subject: administrator }],
      }),
      [false, true],
    );
  });
  it('takes a required member that an evaluation lacks from the default', async () => {
    const { type, ...rest } = active;
    assert.deepEqual(
      await decisions({
        subject: alice,
        action: write,
        resource: { type },
        evaluations: [{ resource: rest }, { resource: archived }],
      }),
      [true, false],
    );
  });
  it('takes a context for all, and one of its own for one', async () => {
    const context = { time: '2025-06-27T18:03-07:00' };
    const own = { ...context, source: 'batch-override' };
    assert.equal(
      (
        await decisions({
          subject: alice,
          action: read,
          context,
          evaluations: [{ resource: one }, { resource: two, context: own }],
        })
      ).length,
      2,
    );
  });
  it('answers false, with the error, to one that is not of the form (AuthZEN 1.0 §7.2.1)', async () => {
    const { status, json } = await gateway.ask('evaluations', {
      subject: alice,
      action: read,
      evaluations: [{ resource: one }, {}],
    });
    assert.equal(status, 200);
    assert.deepEqual(json.evaluations[0], { decision: true });
    assert.equal(json.evaluations[1].decision, false);
    assert.equal(json.evaluations[1].context.error.status, 400);
  });
  it('is a single evaluation without evaluations, or with none in the list', async () => {
    for (const body of [whole, { ...whole, evaluations: [] }])
      assert.deepEqual((await gateway.ask('evaluations', body)).json, { decision: true });
  });
});

describe('AuthZEN certification: search', () => {
  it('finds subjects (AuthZEN 1.0 §8.4)', async () => {
    const question = { subject: { type: 'user' }, action: read, resource: one };
    assert.deepEqual(await results('subject', question), ['alice', 'bob']);
    assert.deepEqual(await results('subject', { ...question, context: { ip: '192.0.2.1' } }), [
      'alice',
      'bob',
    ]);
    assert.deepEqual(await results('subject', { ...question, action: write, resource: archived }), ['bob']);
    assert.deepEqual(await results('subject', { ...question, subject: { type: 'spaceship' } }), []);
  });
  it('finds resources (AuthZEN 1.0 §8.5)', async () => {
    const question = { subject: alice, action: read, resource: { type: 'record' } };
    assert.deepEqual(await results('resource', question), ['record-1', 'record-2']);
    assert.deepEqual(await results('resource', { ...question, subject: administrator, action: write }), [
      'record-2',
    ]);
  });
  it('finds actions (AuthZEN 1.0 §8.6)', async () => {
    assert.deepEqual(await results('action', { subject: alice, resource: one }), ['read', 'write']);
    assert.deepEqual(await results('action', { subject: alice, resource: one, context: {} }), [
      'read',
      'write',
    ]);
    assert.deepEqual(await results('action', { subject: administrator, resource: archived }), [
      'read',
      'write',
    ]);
    assert.deepEqual(
      await results('action', { subject: { type: 'user', id: 'nonexistent-user' }, resource: one }),
      [],
    );
  });
  it('pages (AuthZEN 1.0 §8.2)', async () => {
    const question = { subject: { type: 'user' }, action: read, resource: one };
    const first = await gateway.ask('search/subject', { ...question, page: { limit: 1 } });
    assert.deepEqual(first.json.results, [alice]);
    assert.equal(first.json.page.count, 1);
    const second = await gateway.ask('search/subject', {
      ...question,
      page: { token: first.json.page.next_token, limit: 1 },
    });
    assert.deepEqual(second.json, { results: [bob], page: { next_token: '', count: 1 } });
    const draft = await gateway.ask('search/subject', {
      ...question,
      page: { next_token: first.json.page.next_token },
    });
    assert.deepEqual(draft.json.results, [bob]);
  });
  const malformed: readonly (readonly [string, object])[] = [
    ['subject', { subject: { type: 'user' }, resource: one }],
    ['subject', { subject: { type: 'user' }, action: read, resource: { type: 'record' } }],
    ['subject', { subject: { type: 'user' }, action: read, resource: one, page: { token: '1.x' } }],
    ['subject', { subject: { type: 'user' }, action: read, resource: one, page: { token: 7 } }],
    ['subject', { subject: { type: 'user' }, action: read, resource: one, page: { limit: -1 } }],
    ['subject', { subject: { type: 'user' }, action: read, resource: one, page: [] }],
    ['resource', { action: read, resource: { type: 'record' } }],
    ['resource', { subject: { type: 'user' }, action: read, resource: { type: 'record' } }],
    ['action', { subject: alice }],
  ];
  for (const [sought, request] of malformed) {
    it(`answers 400 to search/${sought} ${JSON.stringify(request)}`, async () => {
      const { status, json } = await gateway.ask(`search/${sought}`, request);
      assert.deepEqual([status, json.code], [400, 'body_invalid']);
    });
  }
  it('answers 400 to the page of another search', async () => {
    const question = { subject: { type: 'user' }, action: read, resource: one };
    const { json } = await gateway.ask('search/subject', { ...question, page: { limit: 1 } });
    const other = await gateway.ask('search/subject', {
      ...question,
      action: write,
      page: { token: json.page.next_token },
    });
    assert.deepEqual([other.status, other.json.code], [400, 'body_invalid']);
  });
});

describe('AuthZEN certification: discovery', () => {
  it('names the endpoints that there are (AuthZEN 1.0 §9.1.1)', async () => {
    const response = await fetch(`${gateway.url}/.well-known/authzen-configuration`, {
      headers: { 'x-request-id': 'mine' },
    });
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-type') ?? '', /^application\/json/);
    assert.equal(response.headers.get('x-request-id'), 'mine');
    assert.deepEqual(await response.json(), {
      policy_decision_point: gateway.url,
      access_evaluation_endpoint: `${gateway.url}/access/v1/evaluation`,
      access_evaluations_endpoint: `${gateway.url}/access/v1/evaluations`,
      search_subject_endpoint: `${gateway.url}/access/v1/search/subject`,
      search_resource_endpoint: `${gateway.url}/access/v1/search/resource`,
      search_action_endpoint: `${gateway.url}/access/v1/search/action`,
    });
  });
});
