import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createSteps, type Participant, type Steps } from '../../model-server/engine/steps.ts';

const immediate = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
/** A begin is one immediate away, and what follows from it another. */
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 4; turn++) await immediate();
};

describe('the turnstile before every batch', () => {
  const open = (
    options: { batchSize?: number; promptChunk?: number } = {},
  ): { steps: Steps; begun: number[] } => {
    const begun: number[] = [];
    const steps: Steps = createSteps({
      batchSize: 512,
      promptChunk: 128,
      ...options,
      onStep: () => void begun.push(steps.expected()),
    });
    return { steps, begun };
  };
  /** Asks for one step and notes what it got. */
  const ask = (participant: Participant, wanted: number): { amount: number | null } => {
    const asked: { amount: number | null } = { amount: null };
    void participant.next(wanted).then((amount) => (asked.amount = amount));
    return asked;
  };
  const askAll = async (steps: Steps, wanted: readonly number[]): Promise<(number | null)[]> => {
    const asked = wanted.map((one) => ask(steps.enter(), one));
    await settle();
    return asked.map(({ amount }) => amount);
  };

  it('lets nobody through before all have come', async () => {
    const { steps, begun } = open();
    const [one, other] = [steps.enter(), steps.enter()];
    const first = ask(one, 1);
    await settle();
    assert.equal(first.amount, null);
    const second = ask(other, 1);
    await settle();
    assert.deepEqual([first.amount, second.amount, begun], [1, 1, [2]]);
  });

  it('never begins within the promise turns of the last to come', async () => {
    const { steps } = open();
    const asked = ask(steps.enter(), 1);
    for (let turn = 0; turn < 100; turn++) await Promise.resolve();
    assert.equal(asked.amount, null);
    await settle();
    assert.equal(asked.amount, 1);
  });

  it('goes on without whoever leaves, whether waiting or not', async () => {
    const { steps } = open();
    const [one, gone, away] = [steps.enter(), steps.enter(), steps.enter()];
    const first = ask(one, 1);
    const second = ask(gone, 1);
    gone.leave();
    gone.leave();
    await settle();
    assert.equal(first.amount, null);
    away.leave();
    await settle();
    assert.deepEqual([first.amount, second.amount], [1, null]);
  });

  it('waits for somebody who enters after the others have come', async () => {
    const { steps, begun } = open();
    const first = ask(steps.enter(), 1);
    const late = steps.enter();
    await settle();
    assert.equal(first.amount, null);
    ask(late, 1);
    await settle();
    assert.deepEqual(begun, [2]);
  });

  it('says when the last has left', () => {
    const { steps, begun } = open();
    steps.enter().leave();
    assert.equal(begun.length, 1);
  });

  it('bounds what prompts read while others generate', async () => {
    const { steps } = open();
    assert.deepEqual(await askAll(steps, [1, 500, 1]), [1, 128, 1]);
  });

  it('fills the batch with prompts when nobody generates, and never beyond its size', async () => {
    assert.deepEqual(await askAll(open().steps, [400, 400, 400]), [400, 112, null]);
    assert.deepEqual(await askAll(open({ batchSize: 64 }).steps, [...Array<number>(40).fill(1), 100]), [
      ...Array<number>(40).fill(1),
      24,
    ]);
  });

  it('reads the earlier prompt to its end first', async () => {
    const { steps } = open();
    const [generating, early, late] = [steps.enter(), steps.enter(), steps.enter()];
    ask(generating, 1);
    const second = ask(late, 300);
    const first = ask(early, 300);
    await settle();
    assert.deepEqual([first.amount, second.amount], [128, null]);
    ask(generating, 1);
    const rest = ask(early, 172);
    await settle();
    assert.deepEqual([rest.amount, second.amount], [128, null]);
  });

  it('takes a short prompt along at once, beside a long one', async () => {
    const { steps } = open();
    assert.deepEqual(await askAll(steps, [1, 500, 20]), [1, 108, 20]);
  });

  it('does not let short prompts keep a long one waiting', async () => {
    const { steps } = open();
    const amounts = await askAll(steps, [1, 500, ...Array<number>(10).fill(32)]);
    assert.equal(amounts[1], 64);
    assert.equal(amounts.slice(2).filter((amount) => amount === 32).length, 2);
  });
});
