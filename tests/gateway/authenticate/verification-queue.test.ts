// Signatures under way are few, those that wait are bounded, and each has its turn.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VerificationQueue } from '../../../gateway/authenticate/verification-queue.ts';
import { assertRefused } from './authentication-under-test.ts';

/** Tasks that end when the test says so, and how many of them run. */
function tasks() {
  const ends: (() => void)[] = [];
  const state = { running: 0, most: 0, order: [] as number[] };
  return {
    state,
    ends,
    task: (number: number) => async (): Promise<number> => {
      state.order.push(number);
      state.running++;
      state.most = Math.max(state.most, state.running);
      await new Promise<void>((resolve) => ends.push(resolve));
      state.running--;
      return number;
    },
  };
}

describe('the queue of verifications', () => {
  it('runs a bounded number at a time, in their order', async () => {
    const queue = new VerificationQueue({ maxUnderWay: 3, maxWaiting: 5_000 });
    const { state, ends, task } = tasks();
    const all = Array.from({ length: 3_000 }, (_, number) => queue.run(task(number)));
    assert.equal(queue.waiting, 2_997);
    for (let ended = 0; ended < 3_000; ended++) {
      while (ends.length === 0) await new Promise((resolve) => setImmediate(resolve));
      ends.shift()?.();
    }
    const numbers = Array.from({ length: 3_000 }, (_, number) => number);
    assert.deepEqual(await Promise.all(all), numbers);
    assert.deepEqual(state.order, numbers);
    assert.equal(state.most, 3);
    assert.equal(queue.waiting, 0);
  });

  it('refuses what is beyond its bound, at once, and admits again when there is room', async () => {
    const queue = new VerificationQueue({ maxUnderWay: 1, maxWaiting: 2 });
    const { ends, task } = tasks();
    const admitted = [queue.run(task(0)), queue.run(task(1)), queue.run(task(2))];
    for (let more = 0; more < 1_000; more++)
      await assertRefused(() => queue.run(task(3)), 'server_is_overloaded', 'verification_queue');
    assert.equal(queue.waiting, 2);
    ends.shift()?.();
    await admitted[0];
    const next = queue.run(task(4));
    for (let ended = 0; ended < 3; ended++) {
      while (ends.length === 0) await new Promise((resolve) => setImmediate(resolve));
      ends.shift()?.();
    }
    assert.deepEqual(await Promise.all([...admitted, next]), [0, 1, 2, 4]);
  });

  it('goes on after a task that failed', async () => {
    const queue = new VerificationQueue({ maxUnderWay: 1, maxWaiting: 10 });
    const failing = queue.run(() => Promise.reject(new Error('no')));
    const next = queue.run(() => Promise.resolve('yes'));
    await assert.rejects(failing, /no/);
    assert.equal(await next, 'yes');
    assert.equal(await queue.run(() => Promise.resolve('again')), 'again');
  });
});
