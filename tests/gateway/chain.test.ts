// A chain, of requests under way: each leaves from any place, once, and takes no other with it.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Chain } from '../../gateway/chain.ts';
import { RequestSignal } from '../../gateway/end-signal.ts';
import { newOutcome } from '../../gateway/exchange.ts';
import { RunningRequest } from '../../gateway/running-request.ts';

const request = (): RunningRequest => new RunningRequest(new RequestSignal(), newOutcome());

function joined(count: number): { running: Chain<RunningRequest>; requests: readonly RunningRequest[] } {
  const running = new Chain<RunningRequest>();
  const requests = Array.from({ length: count }, request);
  for (const each of requests) running.join(each);
  return { running, requests };
}

const members = (running: Chain<RunningRequest>): Set<RunningRequest> => new Set(running.all());

describe('the requests under way', () => {
  it('are all there until they leave, in whatever order', () => {
    for (const order of ['012', '021', '102', '120', '201', '210']) {
      const { running, requests } = joined(3);
      const left = new Set(requests);
      for (const place of order) {
        const leaving = requests[Number(place)] ?? assert.fail();
        running.leave(leaving);
        left.delete(leaving);
        assert.deepEqual(members(running), left, order);
        assert.equal(running.size, left.size, order);
      }
    }
  });

  it('stand in the order in which they came, also after some have left and come again', () => {
    const { running, requests } = joined(4);
    const [first = assert.fail(), second, third = assert.fail(), fourth] = requests;
    assert.deepEqual(running.all(), requests);
    assert.equal(running.oldest, first);
    running.leave(first);
    running.leave(third);
    running.join(third);
    assert.deepEqual(running.all(), [second, fourth, third]);
    assert.equal(running.oldest, second);
    assert.equal(running.joined, 5);
  });

  it('leave once: a second time takes no other with it', () => {
    for (const place of [0, 1, 2]) {
      const { running, requests } = joined(3);
      const leaving = requests[place] ?? assert.fail();
      running.leave(leaving);
      running.leave(leaving);
      assert.equal(running.size, 2);
      assert.equal(members(running).has(leaving), false);
      assert.equal(members(running).size, 2);
    }
  });

  it('do not leave where they never were', () => {
    const { running } = joined(2);
    running.leave(request());
    assert.equal(running.size, 2);
    const empty = new Chain<RunningRequest>();
    empty.leave(request());
    assert.equal(empty.size, 0);
  });

  it('keep no link to those that still run', () => {
    const { running, requests } = joined(3);
    const [, middle = assert.fail()] = requests;
    running.leave(middle);
    assert.deepEqual([middle.previous, middle.next], [null, null]);
  });

  it('may leave while they are ended one after the other', () => {
    const { running, requests } = joined(5);
    let ended = 0;
    for (const each of requests)
      each.signal.addEventListener('abort', () => {
        ended++;
        for (const other of requests) running.leave(other);
      });
    for (const { signal } of running.all()) signal.abort();
    assert.equal(ended, 5);
    assert.deepEqual([running.size, running.all()], [0, []]);
  });
});
