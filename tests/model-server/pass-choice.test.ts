import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createPassChoice } from '../../model-server/engine/pass-choice.ts';

/** A machine on which one pass costs `joint(count)` and a pass of a single sequence 10. */
const machine = (joint: (count: number) => number) => {
  let spent = 0;
  const passes = createPassChoice(() => spent);
  const step = (count: number, { isPure = true, extra = 0 } = {}): boolean => {
    const isSplit = passes.isSplit(count, isPure);
    spent += (isSplit ? 10 * count : joint(count)) + extra;
    return isSplit;
  };
  /** What a long run of equal steps settles on. */
  const settled = (count: number): boolean => {
    for (let index = 0; index < 20; index++) step(count);
    return step(count);
  };
  return { step, settled };
};

const slowPair = (count: number): number => (count === 1 ? 10 : 40 + count);

describe('one pass or one each', () => {
  it('is one each where that costs less, and one where it does not', () => {
    const { settled } = machine(slowPair);
    assert.deepEqual([2, 3, 4, 5, 6, 8, 16].map(settled), [true, true, true, false, false, false, false]);
  });

  it('is one everywhere as soon as it is cheaper for two', () => {
    const { settled, step } = machine((count) => 10 + count);
    assert.equal(settled(2), false);
    assert.deepEqual(
      [3, 4, 8, 16].map((count) => step(count)),
      [false, false, false, false],
    );
  });

  it('is one for a single sequence, and for very many, untried', () => {
    const { step } = machine(() => 1e9);
    for (let index = 0; index < 20; index++)
      assert.deepEqual([step(1), step(17), step(64)], [false, false, false]);
  });

  it('is not led astray by other work that adds to some steps', () => {
    const { step } = machine(slowPair);
    for (let index = 0; index < 20; index++) step(2, { extra: index % 3 === 0 ? 0 : 500 });
    assert.equal(step(2), true);
  });

  it('does not learn from steps in which a prompt is read, but uses there what it has learnt', () => {
    const { step, settled } = machine(slowPair);
    for (let index = 0; index < 20; index++) assert.equal(step(2, { isPure: false, extra: 300 }), false);
    assert.equal(settled(2), true);
    assert.equal(step(2, { isPure: false, extra: 300 }), true);
  });

  it('tries both ways in turn, and then no more', () => {
    const { step } = machine(slowPair);
    const ways = Array.from({ length: 12 }, () => step(3));
    assert.deepEqual(ways, [false, true, false, true, false, true, false, true, true, true, true, true]);
  });
});
