import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BatchItem } from 'node-llama-cpp';
import { createBatchComposer } from '../../model-server/engine/batch-composer.ts';

const item = (number: number, length = 1): BatchItem =>
  ({
    tokens: Array.from({ length }, () => 1),
    logits: [],
    evaluationPriority: number,
  }) as unknown as BatchItem; // As the library passes it.

describe('the batch composer', () => {
  it('sorts sequences by their number', () => {
    const { strategy } = createBatchComposer(() => 3);
    const batch = strategy({ items: [item(2), item(0), item(1)], size: 512 });
    assert.deepEqual(
      batch.map((entry) => entry.item.evaluationPriority),
      [0, 1, 2],
    );
  });

  it('waits for sequences that have not asked yet, but not for ever', () => {
    const { strategy } = createBatchComposer(() => 2);
    let turns = 0;
    while (strategy({ items: [item(0)], size: 512 }).length === 0) turns++;
    assert.ok(turns > 10 && turns < 1000);
    assert.equal(strategy({ items: [item(0), item(1)], size: 512 }).length, 2);
  });

  it('takes of each what it asks for: the step has bounded that', () => {
    const { strategy } = createBatchComposer(() => 2);
    const batch = strategy({ items: [item(1, 100), item(0)], size: 512 });
    assert.deepEqual(
      batch.map((entry) => entry.processAmount),
      [1, 100],
    );
  });

  it('counts and tells what it composed', () => {
    const composer = createBatchComposer(() => 1);
    const seen: (readonly number[])[] = [];
    composer.watch((priorities) => seen.push(priorities));
    composer.strategy({ items: [item(1), item(0)], size: 512 });
    composer.watch(null);
    composer.strategy({ items: [item(0)], size: 512 });
    assert.deepEqual(seen, [[0, 1]]);
    assert.deepEqual(composer.statistics, { batches: 2, items: 3 });
  });
});
