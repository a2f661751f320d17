// A memory with bounds in which nobody who comes regularly is pushed out by others who do.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KeptInUse } from '../../gateway/kept-in-use.ts';

function memoryOf(
  maxEntries: number,
  maxBytes = 1_000,
): { memory: KeptInUse<number>; pass: (ms: number) => void } {
  let nowMs = 1_000_000;
  const memory = new KeptInUse<number>({ maxEntries, maxBytes }, () => nowMs);
  return { memory, pass: (ms) => (nowMs += ms) };
}

describe('what is kept in use', () => {
  it('has room for another one until as many are kept as may be', () => {
    const { memory } = memoryOf(2);
    for (const [at, key] of ['alice', 'bob'].entries()) {
      assert.equal(memory.hasRoom(1), true);
      memory.set(key, at, 1);
    }
    assert.equal(memory.hasRoom(1), false);
    assert.deepEqual([memory.get('alice'), memory.get('bob'), memory.get('carol')], [0, 1, undefined]);
  });

  it('has no room for more bytes than may be', () => {
    const { memory } = memoryOf(100, 1_000);
    memory.set('alice', 1, 600);
    assert.equal(memory.hasRoom(400), true);
    assert.equal(memory.hasRoom(401), false);
  });

  it('has room again when one has not been used for a while, and that one goes', () => {
    const { memory, pass } = memoryOf(2);
    memory.set('alice', 1, 1);
    memory.set('bob', 2, 1);
    pass(3_000);
    memory.get('alice');
    pass(3_000);
    assert.equal(memory.hasRoom(1), true);
    memory.set('carol', 3, 1);
    assert.deepEqual([memory.get('alice'), memory.get('bob'), memory.get('carol')], [1, undefined, 3]);
    assert.equal(memory.hasRoom(1), false);
    assert.equal(memory.size, 2);
  });

  it('has room after the clock was set back by long, since nobody knows then when they were used', () => {
    const { memory, pass } = memoryOf(1);
    memory.set('alice', 1, 1);
    assert.equal(memory.hasRoom(1), false);
    pass(-3_600_000);
    assert.equal(memory.hasRoom(1), true);
  });

  it('serves most of those who come in turn, where more come than it holds', () => {
    const { memory, pass } = memoryOf(80);
    let found = 0;
    for (let round = 0; round < 10; round++) {
      for (let caller = 0; caller < 100; caller++) {
        pass(1);
        if (memory.get(`caller ${caller}`) !== undefined) found++;
        else if (memory.hasRoom(1)) memory.set(`caller ${caller}`, caller, 1);
      }
    }
    assert.equal(found, 9 * 80);
  });

  it('forgets what is deleted', () => {
    const { memory } = memoryOf(1);
    memory.set('alice', 1, 1);
    memory.delete('alice');
    assert.equal(memory.get('alice'), undefined);
    assert.equal(memory.hasRoom(1), true);
  });
});
