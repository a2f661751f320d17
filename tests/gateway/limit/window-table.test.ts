// Counters in memory: exact, dropped when their windows have ended, bounded whatever keys come.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createWindowTable } from '../../../gateway/limit/window-table.ts';

describe('a table of windows', () => {
  let nowMs = 1_000_000;
  const now = (): number => nowMs;
  const table = (keysPerShard?: number): ReturnType<typeof createWindowTable> =>
    createWindowTable({ windowMs: 60_000, now, ...(keysPerShard === undefined ? {} : { keysPerShard }) });

  it('counts within the quota and nothing beyond it', () => {
    const counts = table();
    assert.deepEqual(counts.add('a', 3, 5), {
      spent: 3,
      counted: true,
      endMs: nowMs + 60_000,
      resetMs: 60_000,
    });
    assert.deepEqual(counts.add('a', 3, 5), {
      spent: 3,
      counted: false,
      endMs: nowMs + 60_000,
      resetMs: 60_000,
    });
    assert.equal(counts.add('a', 2, 5).counted, true);
    assert.equal(counts.add('b', 5, 5).counted, true);
  });

  it('never admits more than the quota in one window, wherever in a span it began', () => {
    for (const startMs of [0, 1, 30_000, 59_999]) {
      const counts = table();
      nowMs += startMs;
      const { endMs } = counts.add('a', 1, 10);
      let admitted = 1;
      for (; nowMs < endMs; nowMs += 500) if (counts.add('a', 1, 10).counted) admitted++;
      assert.equal(admitted, 10);
      nowMs = endMs;
      const next = counts.add('a', 1, 10);
      assert.deepEqual([next.spent, next.endMs], [1, endMs + 60_000]);
    }
  });

  it('holds nothing of windows that have ended', () => {
    const counts = table();
    for (let key = 0; key < 10_000; key++) counts.add(`k${key}`, 1, 5);
    assert.equal(counts.size(), 10_000);
    nowMs += 60_000;
    counts.forgetEnded();
    nowMs += 60_000;
    counts.forgetEnded();
    assert.equal(counts.size(), 0);
  });

  it('is bounded: further keys share counters, which refuse early and never late', () => {
    const counts = table(16);
    let admitted = 0;
    for (let key = 0; key < 100_000; key++) if (counts.add(`flood ${key}`, 1, 3).counted) admitted++;
    assert.ok(counts.size() <= 8 * (16 + 64));
    assert.ok(admitted <= 3 * counts.size());
    // Whoever had a counter keeps it, also into the next span, and nobody is admitted more often than the quota.
    nowMs += 60_000 - 1;
    for (let key = 0; key < 200; key++) {
      let mine = 0;
      for (let attempt = 0; attempt < 5; attempt++) if (counts.add(`flood ${key}`, 1, 3).counted) mine++;
      assert.ok(mine <= 2, 'one was counted above');
    }
    nowMs += 60_001;
    assert.equal(counts.add('flood 99999', 1, 3).counted, true, 'a new window');
  });

  it('is bounded in bytes: long keys are counted by their digest, apart', () => {
    const counts = table();
    const long = 'x'.repeat(10_000);
    assert.equal(counts.add(`${long}a`, 1, 1).counted, true);
    assert.equal(counts.add(`${long}a`, 1, 1).counted, false);
    assert.equal(counts.add(`${long}b`, 1, 1).counted, true);
    assert.equal(counts.peek(`${long}a`)?.spent, 1);
  });

  it('takes 32 bytes for each place: 4 MiB for 100,000 keys, 16 MiB for as many as a span holds', () => {
    const counts = table();
    for (let key = 0; key < 100_000; key++) counts.add(`${key} ${'x'.repeat(600)}`, 1, 5);
    assert.equal(counts.size(), 100_000);
    assert.ok(counts.bytes() < 4.5 * 1_048_576, `${counts.bytes()}`);
    for (let key = 0; key < 400_000; key++) counts.add(`others ${key}`, 1, 5);
    assert.ok(counts.size() <= 8 * (32_768 + 64));
    assert.ok(counts.bytes() < 16.5 * 1_048_576, `${counts.bytes()}`);
    nowMs += 60_000;
    counts.forgetEnded();
    nowMs += 60_000;
    counts.forgetEnded();
    assert.ok(counts.bytes() < 10_000, 'and nothing once the windows have ended');
  });

  it('finds every key again after each growth, the counts unchanged', () => {
    const counts = table();
    for (let key = 0; key < 30_000; key++) {
      counts.add(`k${key}`, (key % 7) + 1, 100);
      if ((key & (key - 1)) !== 0) continue; // At powers of two and a few more: shards grow all the time.
      for (let earlier = 0; earlier <= key; earlier += 1 + (key >> 6))
        assert.equal(counts.peek(`k${earlier}`)?.spent, (earlier % 7) + 1);
    }
    for (let key = 0; key < 30_000; key++) assert.equal(counts.peek(`k${key}`)?.spent, (key % 7) + 1);
    assert.equal(counts.peek('k30000'), null);
  });

  it('gives back into the very window only, and counts a surplus in any', () => {
    const counts = table();
    const { endMs } = counts.add('a', 5, 5);
    counts.adjust('a', -3, endMs);
    assert.equal(counts.peek('a')?.spent, 2);
    counts.adjust('a', -3, endMs + 1);
    assert.equal(counts.peek('a')?.spent, 2);
    counts.adjust('a', -30, endMs);
    assert.equal(counts.peek('a')?.spent, 0);
    nowMs += 60_000;
    counts.adjust('a', -1, endMs);
    assert.equal(counts.peek('a'), null);
    counts.adjust('a', 9, endMs);
    assert.equal(counts.add('a', 1, 5).counted, false);
  });

  it('refuses what is larger than the quota and begins no window for it', () => {
    const counts = table();
    assert.equal(counts.add('a', 6, 5).counted, false);
    assert.equal(counts.add('a', 5, 5).counted, true);
  });

  it('tells long keys apart, and finds each again, after 100,000 others too', () => {
    const counts = table();
    const keyOf = (index: number): string => `https://issuer.example.test/tenant/v2.0 subject-${index}`;
    for (let index = 0; index < 100_000; index++) counts.add(keyOf(index), 1, 10);
    assert.equal(counts.size(), 100_000);
    for (let index = 0; index < 100_000; index += 997) {
      assert.equal(counts.peek(keyOf(index))?.spent, 1);
      assert.equal(counts.add(keyOf(index), 1, 10).spent, 2);
    }
    assert.equal(counts.size(), 100_000);
  });
});
