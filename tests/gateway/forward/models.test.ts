import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { call, codeOf, startStubGateway } from './stub-gateway.ts';

const route = { kind: 'models', name: 'models', path: '/v1/models', action: 'models.list' } as const;
const url = 'http://127.0.0.1:9';

describe('the list of models', () => {
  it('has the shape of OpenAI and holds what the caller may use and an upstream serves', async () => {
    const gateway = await startStubGateway({
      url,
      route,
      models: ['tiny-gpt2', 'gpt2'],
      permitted: ['gpt2', 'retired'],
    });
    const answer = await call(gateway, { method: 'GET', path: '/v1/models' });
    const list = JSON.parse(answer.text);
    assert.equal(list.object, 'list');
    assert.deepEqual(
      list.data.map((model: { id: string }) => model.id),
      ['gpt2'],
    );
    assert.deepEqual(Object.keys(list.data[0]).sort(), ['created', 'id', 'object', 'owned_by']);
    assert.equal(list.data[0].object, 'model');
    assert.ok(Number.isInteger(list.data[0].created));
    assert.equal(answer.headers['x-ratelimit-remaining-requests'], '59');
    await gateway.close();
  });

  it('is empty for a caller who may use none', async () => {
    const gateway = await startStubGateway({ url, route, permitted: [] });
    assert.deepEqual(JSON.parse((await call(gateway, { method: 'GET' })).text), { object: 'list', data: [] });
    await gateway.close();
  });
});

describe('one model', () => {
  it('is answered when it is permitted', async () => {
    const gateway = await startStubGateway({ url, route, pathModel: 'tiny-gpt2' });
    assert.equal(JSON.parse((await call(gateway, { method: 'GET' })).text).id, 'tiny-gpt2');
    await gateway.close();
  });

  for (const [title, model] of [
    ['is unknown', 'gpt-9'],
    ['is known but not permitted', 'gpt2'],
    ['is permitted but not served', 'retired'],
  ] as const) {
    it(`is 404 model_not_found when it ${title}, all alike`, async () => {
      const gateway = await startStubGateway({
        url,
        route,
        models: ['tiny-gpt2', 'gpt2'],
        permitted: ['tiny-gpt2', 'retired'],
        pathModel: model,
      });
      const answer = await call(gateway, { method: 'GET' });
      assert.deepEqual([answer.status, codeOf(answer)], [404, 'model_not_found']);
      await gateway.close();
    });
  }
});
