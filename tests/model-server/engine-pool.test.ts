import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createEnginePool } from '../../model-server/engine/engine-pool.ts';
import { EngineLost, type EngineProcess } from '../../model-server/engine/engine-process.ts';
import type { ModelCard } from '../../model-server/engine/messages.ts';

const card = { context: 512 } as ModelCard; // Only whether there is one matters here.
const ids = (length: number, first = 0): number[] => Array.from({ length }, (_, index) => first + index);

describe('the engines of a model', () => {
  const open = (count: number, sequences: number) => {
    const isReady = Array.from({ length: count }, () => true);
    const engines = isReady.map(
      (_, number) =>
        ({
          card: () => (isReady[number] === true ? card : null),
          restarts: () => number,
          statistics: () => ({ batches: 1, items: number }),
          processId: () => (isReady[number] === true ? 100 + number : null),
        }) as unknown as EngineProcess, // What the choice asks of an engine.
    );
    const pool = createEnginePool(engines, sequences, () => undefined);
    const seat = (owner: string | null = null, promptIds = ids(4)) => pool.seat({ owner, promptIds });
    const numberOf = (taken: { engine: EngineProcess }): number => engines.indexOf(taken.engine);
    return { pool, seat, numberOf, isReady };
  };

  it('share completions evenly', () => {
    const { seat, numberOf } = open(2, 4);
    assert.deepEqual(
      Array.from({ length: 6 }, () => numberOf(seat())),
      [0, 1, 0, 1, 0, 1],
    );
  });

  it('take one where a sequence has been given back, once', () => {
    const { seat, numberOf } = open(2, 4);
    const taken = Array.from({ length: 4 }, () => seat());
    taken[1]!.leave();
    taken[1]!.leave();
    assert.deepEqual([numberOf(seat()), numberOf(seat()), numberOf(seat())], [1, 0, 1]);
  });

  it('never take more than they have sequences', () => {
    const { seat } = open(2, 2);
    for (let count = 0; count < 4; count++) seat();
    assert.throws(() => seat(), EngineLost);
  });

  it('take the prompt of a principal where its beginning has been read, unless much runs there', () => {
    const { seat, numberOf } = open(2, 8);
    const held = seat('bob');
    seat('alice', ids(200)).leave();
    held.leave();
    assert.equal(numberOf(seat('bob', ids(200))), 0);
    assert.equal(numberOf(seat('alice', [...ids(190), 7])), 1);
    assert.equal(numberOf(seat('alice', ids(200))), 1);
    assert.equal(numberOf(seat('alice', ids(200))), 1);
    assert.equal(numberOf(seat('alice', [...ids(100), 7])), 0);
  });

  it('do not follow a prompt that belongs to nobody or to another', () => {
    const { seat, numberOf } = open(2, 8);
    const held = seat('bob');
    seat(null, ids(200)).leave();
    seat('alice', ids(200)).leave();
    held.leave();
    assert.equal(numberOf(seat(null, ids(200))), 0);
    assert.equal(numberOf(seat('carol', ids(200))), 1);
  });

  it('go on without one that died', () => {
    const { pool, seat, numberOf, isReady } = open(2, 2);
    assert.equal(pool.places(), 4);
    isReady[0] = false;
    assert.deepEqual([pool.places(), pool.ready(), pool.card(), pool.processIds()], [2, 1, card, [101]]);
    assert.deepEqual([numberOf(seat()), numberOf(seat())], [1, 1]);
    assert.throws(() => seat(), EngineLost);
  });

  it('refuse at once when all have died', () => {
    const { pool, seat, isReady } = open(2, 2);
    isReady.fill(false);
    assert.equal(pool.card(), null);
    assert.throws(() => seat(), EngineLost);
    assert.throws(() => pool.idlest(), EngineLost);
    assert.equal(pool.places(), 4, 'those who wait must be told');
  });

  it('count together', () => {
    const { pool } = open(3, 1);
    assert.deepEqual([pool.restarts(), pool.statistics(), pool.size], [3, { batches: 3, items: 3 }, 3]);
  });
});
