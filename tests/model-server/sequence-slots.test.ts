import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createSequenceSlots, type KeptSequence } from '../../model-server/engine/sequence-slots.ts';

/** A sequence without llama.cpp: it holds ids, and notes what was done to it. */
class NotedSequence implements KeptSequence {
  contextTokens: number[] = [];
  needsCheckpoints = false;
  readonly done: string[] = [];
  async clearHistory(): Promise<void> {
    this.done.push('cleared');
    this.contextTokens = [];
  }
  async eraseContextTokenRanges([range]: { start: number; end: number }[]): Promise<void> {
    this.done.push(`cut at ${range?.start ?? '?'}`);
    this.contextTokens = this.contextTokens.slice(0, range?.start);
  }
}

const ids = (length: number, first = 0): number[] => Array.from({ length }, (_, index) => first + index);

const open = (count: number, keepMs = 1000) => {
  const clock = { ms: 0 };
  const sequences = Array.from({ length: count }, () => new NotedSequence());
  const slots = createSequenceSlots(sequences, keepMs, () => clock.ms);
  const take = (owner: string | null, promptIds: number[], maxTokens = 1) =>
    slots.take({ owner, promptIds, maxTokens });
  /** A whole completion; returns the number of its sequence and how much of the prompt was there. */
  const complete = async (owner: string | null, promptIds: number[], maxTokens = 1) => {
    const { slot, cachedTokens } = await take(owner, promptIds, maxTokens);
    assert.deepEqual(slot.sequence.contextTokens, promptIds.slice(0, cachedTokens));
    slot.sequence.contextTokens = [...promptIds];
    slots.giveBack(slot, owner);
    clock.ms++;
    return [slot.number, cachedTokens];
  };
  return { clock, sequences, slots, take, complete };
};

describe('which sequence a completion gets', () => {
  it('is the lowest free one, without gaps', async () => {
    const { take, slots } = open(4);
    const taken = await Promise.all([take('a', ids(4)), take('b', ids(4)), take('c', ids(4))]);
    assert.deepEqual(
      taken.map(({ slot }) => slot.number),
      [0, 1, 2],
    );
    slots.giveBack(taken[1].slot, null);
    assert.equal((await take('d', ids(4))).slot.number, 1);
  });

  it("holds the beginning of the same principal's prompt that is the same, and nothing after it", async () => {
    const { complete, sequences } = open(2);
    assert.deepEqual(await complete('alice', ids(40)), [0, 0]);
    assert.deepEqual(await complete('alice', [...ids(30), 900, 901, 902]), [0, 30]);
    assert.deepEqual(sequences[0]!.done, ['cut at 30']);
  });

  it('leaves one id of a repeated prompt to compute', async () => {
    const { complete } = open(1);
    await complete('alice', ids(40));
    assert.deepEqual(await complete('alice', ids(40)), [0, 39]);
    assert.deepEqual(await complete('alice', ids(20)), [0, 19]);
  });

  it('is empty for another principal with the same prompt', async () => {
    const { complete, sequences } = open(1);
    await complete('alice', ids(40));
    assert.deepEqual(await complete('bob', ids(40)), [0, 0]);
    assert.deepEqual(sequences[0]!.done, ['cleared']);
  });

  it('is empty for nobody in particular, and keeps nothing of theirs', async () => {
    const { complete } = open(1);
    await complete(null, ids(40));
    assert.deepEqual(await complete(null, ids(40)), [0, 0]);
    assert.deepEqual(await complete('alice', ids(40)), [0, 0]);
    assert.deepEqual(await complete(null, ids(40)), [0, 0]);
  });

  it("never is another principal's while there is an empty one", async () => {
    const { complete } = open(3);
    await complete('alice', ids(40));
    await complete('bob', ids(40));
    await complete('carol', ids(40));
    assert.deepEqual(await complete('bob', ids(40)), [1, 39]);
    assert.deepEqual(await complete('dave', ids(40)), [0, 0]); // The one that was used least lately.
    assert.deepEqual(await complete('alice', ids(40)), [2, 0]);
  });

  it('keeps nothing of a completion that failed', async () => {
    const { take, slots, complete } = open(1);
    const { slot } = await take('alice', ids(40));
    slot.sequence.contextTokens = ids(40);
    slots.giveBack(slot, null);
    assert.deepEqual(await complete('alice', ids(40)), [0, 0]);
  });

  it('does not build on a beginning of a few ids', async () => {
    const { complete } = open(1);
    await complete('alice', ids(40));
    assert.deepEqual(await complete('alice', [...ids(10), ...ids(30, 500)]), [0, 0]);
  });

  it('does not stand alone in every batch to save a few ids, but does to save many', async () => {
    const { take, slots, complete } = open(4);
    const busy = await Promise.all([
      take('x', ids(2)),
      take('y', ids(2)),
      take('z', ids(2)),
      take('a', ids(300)),
    ]);
    busy[3].slot.sequence.contextTokens = ids(300);
    slots.giveBack(busy[3].slot, 'a');
    slots.giveBack(busy[2].slot, null);
    slots.giveBack(busy[1].slot, null);
    assert.deepEqual(await complete('a', ids(300), 100), [1, 0]);
    const first = await complete('a', ids(300), 20);
    assert.ok(first[1] === 299);
  });

  it('is empty for the same principal after a while, asked for or not', async () => {
    const { complete, clock, slots, sequences } = open(2, 1000);
    await complete('alice', ids(40));
    clock.ms += 1000;
    assert.deepEqual(await complete('alice', ids(40)), [1, 0]);
    clock.ms += 2000;
    slots.expire();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(
      sequences.map(({ contextTokens }) => contextTokens),
      [[], []],
    );
  });

  it('is always empty when nothing is kept, or when a state cannot be cut', async () => {
    const off = open(1, 0);
    await off.complete('alice', ids(40));
    assert.deepEqual(await off.complete('alice', ids(40)), [0, 0]);
    const recurrent = open(1);
    recurrent.sequences[0]!.needsCheckpoints = true;
    await recurrent.complete('alice', ids(40));
    assert.deepEqual(await recurrent.complete('alice', ids(40)), [0, 0]);
  });

  it('waits until it has been emptied', async () => {
    const { take, slots, sequences } = open(1);
    const { slot } = await take('alice', ids(40));
    let finish = (): void => undefined;
    sequences[0]!.clearHistory = () => new Promise((resolve) => (finish = resolve));
    slots.giveBack(slot, null);
    let isTaken = false;
    const next = take('bob', ids(40)).then(() => (isTaken = true));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(isTaken, false);
    finish();
    await next;
  });

  it('fails when there is none, and when one cannot be emptied, which is tried again', async () => {
    const { take, complete, sequences } = open(1);
    await complete('alice', ids(40));
    const clear = sequences[0]!.clearHistory.bind(sequences[0]);
    sequences[0]!.clearHistory = () => Promise.reject(new Error('broken'));
    await assert.rejects(take('bob', ids(40)), /broken/);
    sequences[0]!.clearHistory = clear;
    await assert.rejects(take('bob', ids(40)), /broken/);
    await take('bob', ids(40));
    await assert.rejects(take('carol', ids(40)), /no free sequence/);
  });
});
