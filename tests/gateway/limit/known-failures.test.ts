// Which addresses have failed too often elsewhere, on a clock of the test: no request asks for it, nothing that is too old is
// believed, and what cannot be known refuses.
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import {
  followFailures,
  type FailureList,
  type KnownFailures,
} from '../../../gateway/limit/known-failures.ts';
import type { LimitRule, LimitState } from '../../../gateway/limit/store.ts';

const rule: LimitRule = { name: 'failed_authentications', quota: 5, windowMs: 60_000 };
const nobody: FailureList = { isWhole: true, reached: [] };
const stateAfter = (spent: number): LimitState => ({
  permitted: spent < rule.quota,
  remaining: Math.max(rule.quota - spent, 0),
  resetMs: 30_000,
  endMs: 0,
});

/** Shared counters that answer when the test says so. */
function start() {
  const clock = { nowMs: 5_000 };
  const lists: { rule: LimitRule; answer: (list: FailureList) => void; fail: () => void }[] = [];
  const ones: string[] = [];
  const known: KnownFailures = followFailures(
    {
      list: (of) =>
        new Promise((resolve, reject) => {
          lists.push({ rule: of, answer: resolve, fail: () => reject(new Error('down')) });
        }),
      one: (_rule, key) => {
        ones.push(key);
        return Promise.resolve(stateAfter(key === 'name of worst' ? 9 : 0));
      },
    },
    { nameOf: (key) => `name of ${key}`, now: () => clock.nowMs },
  );
  return {
    clock,
    lists,
    ones,
    known,
    /** Looks at an address and answers the question that comes of it. */
    followed: async (list: FailureList, of = rule): Promise<LimitState> => {
      const looking = known.peek(of, 'first');
      lists.at(-1)?.answer(list);
      return looking;
    },
  };
}

describe('failures that other processes count', () => {
  let gateway = start();
  const fresh = (): typeof gateway => {
    gateway.known.close();
    return (gateway = start());
  };
  afterEach(() => gateway.known.close());

  it('are asked for once, by whoever comes first, and by no request after that', async () => {
    const { known, lists, ones } = fresh();
    const waiting = [known.peek(rule, 'one'), known.peek(rule, 'another')];
    assert.ok(waiting.every((each) => each instanceof Promise));
    lists[0]?.answer({ isWhole: true, reached: [{ key: 'name of bad', leftMs: 20_000 }] });
    for (const state of await Promise.all(waiting)) assert.equal(state.permitted, true);
    for (const key of ['one', 'two', 'three']) {
      const state = known.peek(rule, key);
      assert.ok(!(state instanceof Promise) && state.permitted);
    }
    const refused = known.peek(rule, 'bad');
    assert.ok(!(refused instanceof Promise) && !refused.permitted && refused.resetMs === 20_000);
    assert.deepEqual([lists.length, ones.length], [1, 0]);
  });

  it('are not believed when they are more than a second old', async () => {
    const { clock, known, lists, followed } = fresh();
    await followed(nobody);
    clock.nowMs += 1_000;
    assert.ok(!(known.peek(rule, 'one') instanceof Promise));
    clock.nowMs += 1;
    const looking = known.peek(rule, 'one');
    assert.ok(looking instanceof Promise);
    lists[1]?.answer({ isWhole: true, reached: [{ key: 'name of one', leftMs: 10 }] });
    assert.equal((await looking).permitted, false);
  });

  it('refuse everybody when nobody answers and what is known is too old', async () => {
    const { clock, known, lists, followed } = fresh();
    await followed(nobody);
    clock.nowMs += 2_000;
    const looking = known.peek(rule, 'one');
    lists[1]?.fail();
    await assert.rejects(async () => looking, /down/);
    const again = known.peek(rule, 'one');
    lists[2]?.answer(nobody);
    assert.equal((await again).permitted, true);
  });

  it('are asked for one address where the answer took too long', async () => {
    const { clock, known, lists, ones } = fresh();
    const looking = known.peek(rule, 'worst');
    clock.nowMs += 1_500;
    lists[0]?.answer(nobody);
    assert.equal((await looking).permitted, false);
    assert.deepEqual(ones, ['name of worst']);
  });

  it('end with their window', async () => {
    const { clock, known, followed } = fresh();
    await followed({ isWhole: true, reached: [{ key: 'name of bad', leftMs: 300 }] });
    clock.nowMs += 299;
    assert.equal((await known.peek(rule, 'bad')).permitted, false);
    clock.nowMs += 1;
    assert.equal((await known.peek(rule, 'bad')).permitted, true);
  });

  it('count at once where they happen here', async () => {
    const { known, followed } = fresh();
    await followed(nobody);
    known.counted(rule, 'own', stateAfter(4));
    assert.equal((await known.peek(rule, 'own')).permitted, true);
    known.counted(rule, 'own', stateAfter(5));
    const refused = known.peek(rule, 'own');
    assert.ok(!(refused instanceof Promise) && !refused.permitted && refused.resetMs === 30_000);
  });

  it('are asked for address by address where more have failed than are listed', async () => {
    const { known, followed, ones } = fresh();
    await followed({ isWhole: false, reached: [{ key: 'name of bad', leftMs: 300 }] });
    ones.length = 0;
    assert.equal((await known.peek(rule, 'bad')).permitted, false);
    assert.equal((await known.peek(rule, 'worst')).permitted, false);
    assert.equal((await known.peek(rule, 'good')).permitted, true);
    assert.deepEqual(ones, ['name of worst', 'name of good']);
  });

  it('are asked for anew by a reload that changes the rule, and by no other', async () => {
    const { known, lists, followed } = fresh();
    await followed(nobody);
    assert.ok(!(known.peek({ ...rule }, 'one') instanceof Promise));
    const stricter = { ...rule, quota: 2 };
    const looking = known.peek(stricter, 'one');
    assert.ok(looking instanceof Promise);
    assert.deepEqual(
      lists.map(({ rule: { quota } }) => quota),
      [5, 2],
    );
    lists.at(-1)?.answer({ isWhole: true, reached: [{ key: 'name of one', leftMs: 10 }] });
    assert.equal((await looking).permitted, false);
  });

  it('are not taken for those of another rule when the answer comes late', async () => {
    const { known, lists, ones } = fresh();
    const old = known.peek(rule, 'worst');
    const current = known.peek({ ...rule, quota: 2 }, 'one');
    lists[0]?.answer(nobody);
    assert.equal((await old).permitted, false);
    assert.deepEqual(ones, ['name of worst']);
    lists[1]?.answer({ isWhole: true, reached: [{ key: 'name of one', leftMs: 10 }] });
    assert.equal((await current).permitted, false);
  });
});
