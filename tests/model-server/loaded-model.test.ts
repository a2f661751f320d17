// The model as the engine child runs it, with real inference but without the child.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { BatchItem } from 'node-llama-cpp';
import { createBatchComposer, type BatchComposer } from '../../model-server/engine/batch-composer.ts';
import { loadModel, type LoadedModel, type LoadHooks } from '../../model-server/engine/loaded-model.ts';
import { modelPath } from './start.ts';

const load = (sequences: number, hooks: LoadHooks = {}): Promise<LoadedModel> =>
  loadModel(
    {
      modelPath,
      context: null,
      sequences,
      threads: 1,
      promptChunk: 64,
      keepPrefixMs: 0,
      cpuKernels: null,
      gpu: 'off',
    },
    hooks,
  );

const ids = (length: number): number[] => Array.from({ length }, (_, index) => 300 + index);

/** Starts a completion, and says what is known of it while it runs. */
const begin = (model: LoadedModel, promptIds: readonly number[], maxTokens: number) => {
  const leaving = new AbortController();
  const state = { texts: 0, firstInBatch: 0, isDone: false };
  const batchesBefore = model.statistics.batches;
  const sampling = {
    temperature: 1,
    topP: 1,
    topK: 40,
    seed: 7,
    presencePenalty: 0,
    frequencyPenalty: 0,
    logitBias: [],
  };
  const call = {
    owner: null,
    signal: leaving.signal,
    onText: () => {
      state.texts++;
      if (state.texts === 1) state.firstInBatch = model.statistics.batches - batchesBefore;
    },
  };
  const done = model
    .generate({ promptIds, maxTokens, sampling, stop: [], isReproducible: false }, call)
    .finally(() => {
      state.isDone = true;
    });
  return { state, done, leave: () => leaving.abort() };
};

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
};

describe('completions of one engine', () => {
  let model: LoadedModel;
  before(async () => {
    model = await load(32);
  });

  it('join the running batch within one step', async () => {
    const long = begin(model, ids(10), 300);
    await until(() => long.state.texts > 5);
    for (let round = 0; round < 5; round++) {
      const short = begin(model, ids(8 + round), 3);
      await short.done;
      assert.ok(short.state.firstInBatch <= 1, `joined after ${short.state.firstInBatch} batches`);
    }
    assert.equal(long.state.isDone, false);
    long.leave();
    await long.done;
  });

  it('are over when they are over, however many go on', async () => {
    const others = Array.from({ length: 6 }, () => begin(model, ids(10), 400));
    await until(() => others.every(({ state }) => state.texts > 3));
    for (let round = 0; round < 8; round++) await begin(model, ids(20), 4).done;
    assert.ok(others.every(({ state }) => !state.isDone));
    for (const other of others) other.leave();
    await Promise.all(others.map(({ done }) => done));
  });

  it('go on while a long prompt is read, a bounded piece at a time', async () => {
    const running = begin(model, ids(10), 300);
    await until(() => running.state.texts > 3);
    const before = running.state.texts;
    const long = begin(model, ids(400), 2);
    await until(() => long.state.texts > 0);
    assert.ok(running.state.texts - before >= 6, 'a piece of 64 ids per step makes seven steps');
    assert.equal(long.state.firstInBatch, 7);
    running.leave();
    await Promise.all([running.done, long.done]);
  });

  it('end within one step when their caller leaves, also while their prompt is read', async () => {
    const running = begin(model, ids(10), 300);
    await until(() => running.state.texts > 3);
    const long = begin(model, ids(480), 2);
    long.leave();
    const { completionTokens, ending } = await long.done;
    assert.deepEqual([completionTokens, ending], [0, 'aborted']);
    running.leave();
    await running.done;
  });

  it('are treated alike: of 32 begun together the slowest has 0.9 of what the fastest has', async () => {
    const all = Array.from({ length: 32 }, () => begin(model, ids(12), 60));
    await until(() => all.some(({ state }) => state.isDone));
    const texts = all.map(({ state }) => state.texts);
    assert.ok(Math.min(...texts) >= 0.9 * Math.max(...texts), texts.join(' '));
    await Promise.all(all.map(({ done }) => done));
  });

  it('share every batch', async () => {
    const before = { ...model.statistics };
    await Promise.all(Array.from({ length: 16 }, () => begin(model, ids(8), 30).done));
    const batches = model.statistics.batches - before.batches;
    const items = model.statistics.items - before.items;
    assert.equal(items / batches, 16);
  });
});

describe('the self-test at the start', () => {
  /** A composer whose strategy is changed on its way to node-llama-cpp, as an upgrade might do. */
  const broken =
    (change: (composer: BatchComposer) => BatchComposer['strategy']) =>
    (expected: () => number): BatchComposer => {
      const composer = createBatchComposer(expected);
      return { ...composer, strategy: change(composer) };
    };
  const clamped = (lowest: number, highest: number) =>
    broken(({ strategy }) => ({ items, size }) => {
      const cut = (priority: number): BatchItem['evaluationPriority'] =>
        Math.min(highest, Math.max(lowest, priority)) as BatchItem['evaluationPriority'];
      const originals = new Map(
        items.map((item) => [{ ...item, evaluationPriority: cut(item.evaluationPriority) }, item]),
      );
      return strategy({ items: [...originals.keys()], size }).map(({ item, processAmount }) => ({
        item: originals.get(item) ?? item,
        processAmount,
      }));
    });
  const unsorted = (expected: () => number): BatchComposer => {
    const composer = createBatchComposer(expected);
    let listener: ((priorities: readonly number[]) => void) | null = null;
    return {
      ...composer,
      watch: (next) => void (listener = next),
      strategy: ({ items }) => {
        const reversed = [...items].sort((one, other) => other.evaluationPriority - one.evaluationPriority);
        listener?.(reversed.map((item) => item.evaluationPriority));
        return reversed.map((item) => ({ item, processAmount: item.tokens.length }));
      },
    };
  };
  const oneByOne = broken(
    ({ strategy }) =>
      ({ items, size }) =>
        strategy({ items: items.slice(0, 1), size }),
  );

  const faults: readonly [title: string, createComposer: LoadHooks['createComposer']][] = [
    ['batches are not sorted', unsorted],
    ['sequences are decoded one by one', oneByOne],
    ['the priority is raised to its documented least, 1', clamped(1, Infinity)],
    ['the priority is cut to its documented most, 5', clamped(-Infinity, 5)],
    ['the priority is dropped', clamped(5, 5)],
  ];
  for (const [title, createComposer] of faults) {
    it(`refuses to serve when ${title}`, async () => {
      await assert.rejects(
        load(8, createComposer === undefined ? {} : { createComposer }),
        /^Error: batch self-test: /,
      );
    });
  }

  it('passes with one sequence, where there is nothing to sort', async () => {
    await load(1);
  });
});
