// A part that is loaded with its first request: once, for every request that waits, and again after a failure.
import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import type { GatewayError } from '../../core/errors.ts';
import { loadedWithFirst } from '../../gateway/loaded-with-first.ts';

// Passed on as they are.
const request = {} as unknown as IncomingMessage;
const response = {} as unknown as ServerResponse;
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('a part that is loaded with its first request', () => {
  it('is not loaded before, and once for all that wait', async () => {
    let loads = 0;
    const answered: unknown[] = [];
    const handler = loadedWithFirst(
      async () => {
        loads++;
        await settled();
        return (...both) => void answered.push(both);
      },
      () => assert.fail('nothing is refused'),
    );
    assert.equal(loads, 0);
    handler(request, response);
    handler(request, response);
    assert.equal(answered.length, 0);
    await settled();
    await settled();
    assert.equal(answered.length, 2);
    handler(request, response);
    assert.deepEqual(answered, [
      [request, response],
      [request, response],
      [request, response],
    ]);
    assert.equal(loads, 1);
  });

  it('refuses with internal_error while it cannot be loaded, and tries again', async () => {
    const refusals: GatewayError[] = [];
    let loads = 0;
    let answered = 0;
    const handler = loadedWithFirst(
      () =>
        ++loads === 1
          ? Promise.reject(new Error('no'))
          : Promise.resolve(() => {
              answered += 1;
            }),
      (_request, _response, refusal) => void refusals.push(refusal),
    );
    handler(request, response);
    await settled();
    assert.deepEqual(
      refusals.map(({ code }) => code),
      ['internal_error'],
    );
    handler(request, response);
    await settled();
    assert.equal(answered, 1);
    assert.equal(refusals.length, 1);
  });
});
