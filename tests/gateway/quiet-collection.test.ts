// The collection in a silence: once in each, never while anybody is served.
import assert from 'node:assert/strict';
import { setTimeout as passed } from 'node:timers/promises';
import { PerformanceObserver, constants } from 'node:perf_hooks';
import { describe, it, type TestContext } from 'node:test';
import { collectWhenQuiet } from '../../gateway/quiet-collection.ts';

interface Watched {
  active: number;
  begun: number;
  heap: number;
  collections: number;
  /** Seconds pass. */
  readonly pass: (seconds: number) => void;
  readonly end: () => void;
}

const mebibyte = 1_048_576;

/** A gateway whose heap shrinks to 30 MiB with each collection. */
function watched(test: TestContext): Watched {
  test.mock.timers.enable({ apis: ['setInterval'] });
  const state = { active: 0, begun: 0, heap: 80, collections: 0 };
  const end = collectWhenQuiet(
    { active: () => state.active, begun: () => state.begun },
    {
      collect: () => {
        state.collections++;
        state.heap = 30;
      },
      heapBytes: () => state.heap * mebibyte,
    },
  );
  const pass = (seconds: number): void => test.mock.timers.tick(seconds * 1_000);
  return Object.assign(state, { pass, end });
}

/** What an entry of kind `gc` says. */
interface Collection {
  readonly kind: number;
}

describe('the collection in a silence', () => {
  it('comes once, after two minutes, however long the silence is', (test) => {
    const gateway = watched(test);
    gateway.pass(119);
    assert.equal(gateway.collections, 0);
    gateway.pass(1);
    assert.equal(gateway.collections, 1);
    gateway.pass(600);
    assert.equal(gateway.collections, 1);
  });

  it('does not come while requests begin', (test) => {
    const gateway = watched(test);
    for (let times = 0; times < 10; times++) {
      gateway.begun++;
      gateway.pass(119);
    }
    assert.equal(gateway.collections, 0);
  });

  it('does not come while one is under way, a stream of minutes included', (test) => {
    const gateway = watched(test);
    gateway.begun = 1;
    gateway.active = 1;
    gateway.pass(600);
    assert.equal(gateway.collections, 0);
    gateway.active = 0;
    gateway.pass(120);
    assert.equal(gateway.collections, 1);
  });

  it('comes in a later silence only when the heap has grown by 16 MiB', (test) => {
    const gateway = watched(test);
    gateway.pass(120);
    gateway.begun++;
    gateway.heap = 45;
    gateway.pass(600);
    assert.equal(gateway.collections, 1);
    gateway.heap = 46;
    gateway.pass(1);
    assert.equal(gateway.collections, 2);
  });

  it('does not come after the end', (test) => {
    const gateway = watched(test);
    gateway.end();
    gateway.pass(600);
    assert.equal(gateway.collections, 0);
  });

  it("is V8's own of the whole heap, and leaves no gc() behind", async (test) => {
    const kinds = new Set<number | undefined>();
    const observer = new PerformanceObserver((list) => {
      for (const { detail } of list.getEntries() as readonly { readonly detail?: Collection }[])
        kinds.add(detail?.kind);
    });
    observer.observe({ entryTypes: ['gc'] });
    test.mock.timers.enable({ apis: ['setInterval'] });
    const heapBytes = (): number => 80 * mebibyte;
    const end = collectWhenQuiet({ active: () => 0, begun: () => 0 }, { heapBytes });
    test.mock.timers.tick(120_000);
    end();
    test.mock.timers.reset();
    await passed(50);
    observer.disconnect();
    assert.ok(kinds.has(constants.NODE_PERFORMANCE_GC_MAJOR));
    assert.equal(Reflect.get(globalThis, 'gc'), undefined);
  });
});
