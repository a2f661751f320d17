// The collection in a silence: once in each, never while anybody is served.
import assert from 'node:assert/strict';
import { setTimeout as passed } from 'node:timers/promises';
import { PerformanceObserver, constants } from 'node:perf_hooks';
import { describe, it, type TestContext } from 'node:test';
import { collectWhenQuiet } from '../../gateway/quiet-collection.ts';

interface Watched {
  active: number;
  begun: number;
  collections: number;
  readonly turn: () => void;
  readonly end: () => void;
}

/** What an entry of kind `gc` says. */
interface Collection {
  readonly kind: number;
  readonly flags: number;
}

function watched(test: TestContext): Watched {
  test.mock.timers.enable({ apis: ['setInterval'] });
  const state = { active: 0, begun: 0, collections: 0 };
  const end = collectWhenQuiet(
    { active: () => state.active, begun: () => state.begun },
    { collect: () => state.collections++, intervalMs: 1_000 },
  );
  return Object.assign(state, { turn: () => test.mock.timers.tick(1_000), end });
}

describe('the collection in a silence', () => {
  it('comes once, however long the silence is', (test) => {
    const gateway = watched(test);
    for (let turn = 0; turn < 5; turn++) gateway.turn();
    assert.equal(gateway.collections, 1);
  });

  it('does not come while requests begin', (test) => {
    const gateway = watched(test);
    for (let turn = 0; turn < 5; turn++) {
      gateway.begun++;
      gateway.turn();
    }
    assert.equal(gateway.collections, 0);
  });

  it('does not come while one is under way, a stream of minutes included', (test) => {
    const gateway = watched(test);
    gateway.begun = 1;
    gateway.active = 1;
    for (let turn = 0; turn < 5; turn++) gateway.turn();
    assert.equal(gateway.collections, 0);
    gateway.active = 0;
    gateway.turn();
    assert.equal(gateway.collections, 1);
  });

  it('comes again in the next silence', (test) => {
    const gateway = watched(test);
    gateway.turn();
    gateway.begun++;
    gateway.turn();
    assert.equal(gateway.collections, 1);
    gateway.turn();
    gateway.turn();
    assert.equal(gateway.collections, 2);
  });

  it('does not come after the end', (test) => {
    const gateway = watched(test);
    gateway.end();
    gateway.turn();
    assert.equal(gateway.collections, 0);
  });

  it("is V8's own of the young generation, and leaves no gc() behind", async () => {
    const asked = new Set<number | undefined>();
    const observer = new PerformanceObserver((list) => {
      for (const { detail } of list.getEntries() as readonly { readonly detail?: Collection }[])
        if (detail?.flags === constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) asked.add(detail.kind);
    });
    observer.observe({ entryTypes: ['gc'] });
    const end = collectWhenQuiet({ active: () => 0, begun: () => 0 }, { intervalMs: 1 });
    const deadline = performance.now() + 10_000;
    while (asked.size === 0 && performance.now() < deadline) await passed(10);
    end();
    observer.disconnect();
    assert.deepEqual([...asked], [constants.NODE_PERFORMANCE_GC_MINOR]);
    assert.equal(Reflect.get(globalThis, 'gc'), undefined);
  });
});
