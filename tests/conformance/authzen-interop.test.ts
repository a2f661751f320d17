// OpenID's AuthZEN interop scenarios: every vector through the real endpoints of a started gateway, compared as the working
// group's own runners compare (tests/conformance/authzen/README.md).
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startAccessGateway, vectorsIn, type AccessGateway } from './authzen-gateway.ts';

/** What a vector asks, in one line. */
const titleOf = (request: object): string => JSON.stringify(request).replaceAll('"', '').slice(0, 250);

describe('AuthZEN interop: Todo and API gateways', () => {
  let gateway: AccessGateway;
  before(async () => {
    gateway = await startAccessGateway('policies-todo');
  });
  after(() => gateway.close());

  const todo = vectorsIn('todo.json');
  const routes = vectorsIn('api-gateway.json');
  it('has the vectors that were published', () => {
    assert.deepEqual(
      [todo['evaluation']?.length, todo['evaluations']?.length, routes['evaluation']?.length],
      [40, 3, 25],
    );
  });
  for (const [index, { request, expected }] of [
    ...(todo['evaluation'] ?? []),
    ...(routes['evaluation'] ?? []),
  ].entries()) {
    it(`${index + 1}: answers ${String(expected)} to ${titleOf(request)}`, async () => {
      const { status, json } = await gateway.ask('evaluation', request);
      assert.deepEqual({ status, json }, { status: 200, json: { decision: expected } });
    });
  }
  for (const [index, { request, expected }] of (todo['evaluations'] ?? []).entries()) {
    it(`boxcarred ${index + 1}: answers ${titleOf(request)}`, async () => {
      const { status, json } = await gateway.ask('evaluations', request);
      assert.deepEqual({ status, json }, { status: 200, json: { evaluations: expected } });
    });
  }
});

describe('AuthZEN interop: search', () => {
  let gateway: AccessGateway;
  before(async () => {
    gateway = await startAccessGateway('policies-search');
  });
  after(() => gateway.close());

  const vectors = vectorsIn('search.json');
  it('has the vectors that were published', () => {
    assert.deepEqual(
      ['subject', 'resource', 'action'].map((sought) => vectors[sought]?.length),
      [60, 18, 74],
    );
  });
  for (const sought of ['subject', 'resource', 'action'] as const) {
    for (const { request, expected } of vectors[sought] ?? []) {
      it(`search/${sought} ${titleOf(request)}`, async () => {
        const { status, json } = await gateway.ask(`search/${sought}`, request);
        assert.deepEqual({ status, json }, { status: 200, json: expected });
      });
    }
  }

  it('finds nothing for whom and what nobody knows', async () => {
    const user = { type: 'user', id: 'zoe' };
    const record = { type: 'record', id: '999' };
    for (const [sought, request] of [
      ['subject', { subject: { type: 'user' }, action: { name: 'view' }, resource: record }],
      ['subject', { subject: { type: 'user' }, action: { name: 'fly' }, resource: { ...record, id: '101' } }],
      ['resource', { subject: user, action: { name: 'view' }, resource: { type: 'record' } }],
      ['action', { subject: { type: 'user', id: 'erin' }, resource: { type: 'record', id: '118' } }],
    ] as const) {
      const { status, json } = await gateway.ask(`search/${sought}`, request);
      assert.deepEqual({ status, json }, { status: 200, json: { results: [] } });
    }
  });
});
