// The three stores keep one promise: never more than the limit, whatever comes at once, and a refusal costs nothing.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { GatewayError } from '../../../core/errors.ts';
import { createBudgetStore } from '../../../gateway/limit/budget-store.ts';
import {
  createLimitStore,
  type LimitRule,
  type LimitState,
  type LimitStore,
} from '../../../gateway/limit/store.ts';
import { redisMissing, startRedis, type PrivateRedis } from '../../support/redis.ts';

const log = pino({ level: 'silent' });
const folder = mkdtempSync(join(tmpdir(), 'limit-store-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const rule: LimitRule = { name: 'requests-per-principal', quota: 10, windowMs: 60_000 };

/** One claim of one limit. */
async function take(store: LimitStore, of: LimitRule, key: string, units = 1): Promise<LimitState> {
  const [state] = await store.reserve([{ rule: of, key, units, isHeld: true }]);
  assert.ok(state);
  return state;
}

async function permittedOf(store: LimitStore, attempts: number, key: string, of = rule): Promise<number> {
  const states = await Promise.all(Array.from({ length: attempts }, () => take(store, of, key)));
  return states.filter(({ permitted }) => permitted).length;
}

const unavailable = (error: unknown): boolean =>
  error instanceof GatewayError && error.code === 'limit_store_unavailable' && error.retryAfterSeconds === 1;

function keepsThePromise(open: () => LimitStore): void {
  it('permits exactly the limit of 100 parallel requests', async () => {
    assert.equal(await permittedOf(open(), 100, 'parallel'), 10);
  });

  it('counts every principal and every limit for itself', async () => {
    const store = open();
    assert.equal(await permittedOf(store, 15, 'alice'), 10);
    assert.equal(await permittedOf(store, 15, 'bob'), 10);
    assert.equal(await permittedOf(store, 15, 'alice', { ...rule, name: 'another' }), 10);
  });

  it('tells what remains and when the window resets', async () => {
    const state = await take(open(), rule, 'remaining');
    assert.equal(state.remaining, 9);
    assert.ok(state.resetMs > 50_000 && state.resetMs <= 60_000);
  });

  it('does not extend the wait by refusing', async () => {
    const store = open();
    const short = { name: 'short', quota: 1, windowMs: 1_000 };
    assert.equal((await take(store, short, 'eager')).permitted, true);
    const first = await take(store, short, 'eager');
    assert.equal(first.permitted, false);
    await delay(300);
    const second = await take(store, short, 'eager');
    assert.equal(second.permitted, false);
    assert.ok(second.resetMs < first.resetMs);
    await delay(second.resetMs + 50);
    assert.equal((await take(store, short, 'eager')).permitted, true);
  });

  it('keeps the count when a reload changes the number of requests', async () => {
    const store = open();
    await permittedOf(store, 8, 'reloaded');
    assert.equal(await permittedOf(store, 10, 'reloaded', { ...rule, quota: 12 }), 4);
    assert.equal((await take(store, { ...rule, quota: 5 }, 'reloaded')).permitted, false);
  });

  it('looks without counting', async () => {
    const store = open();
    const failures = { name: 'failures', quota: 2, windowMs: 60_000 };
    const { permitted, remaining, resetMs } = await store.peek(failures, 'looked-at');
    assert.deepEqual({ permitted, remaining, resetMs }, { permitted: true, remaining: 2, resetMs: 60_000 });
    await store.countFailure(failures, 'looked-at');
    assert.equal((await store.peek(failures, 'looked-at')).permitted, true);
    await store.countFailure(failures, 'looked-at');
    assert.equal((await store.peek(failures, 'looked-at')).permitted, false);
    assert.equal((await store.peek(failures, 'looked-at')).remaining, 0);
  });

  it('does not count what it refuses', async () => {
    const store = open();
    assert.equal((await take(store, rule, 'modest', 7)).remaining, 3);
    const refused = await take(store, rule, 'modest', 4);
    assert.deepEqual([refused.permitted, refused.remaining], [false, 3]);
    assert.equal((await take(store, rule, 'modest', 3)).permitted, true);
    assert.equal((await take(store, rule, 'modest')).permitted, false);
  });

  it('gives back and adds, and never grants more than the limit for what was given back', async () => {
    const store = open();
    const { endMs } = await take(store, rule, 'adjusted', 7);
    await store.adjust({ rule, key: 'adjusted', endMs }, -5);
    assert.equal((await take(store, rule, 'adjusted', 1)).remaining, 7);
    await store.adjust({ rule, key: 'adjusted', endMs }, 9);
    assert.equal((await take(store, rule, 'adjusted', 1)).permitted, false);
    const overpaid = await take(store, rule, 'overpaid');
    await store.adjust({ rule, key: 'overpaid', endMs: overpaid.endMs }, -1_000);
    assert.equal(await permittedOf(store, 20, 'overpaid'), 10);
  });

  it('gives nothing back into another window, nor into none', async () => {
    const store = open();
    const short = { name: 'short', quota: 5, windowMs: 1_000 };
    const first = await take(store, short, 'late', 5);
    await delay(first.resetMs + 50);
    await store.adjust({ rule: short, key: 'late', endMs: first.endMs }, -5);
    assert.equal((await take(store, short, 'late', 1)).remaining, 4, 'into none');
    await store.adjust({ rule: short, key: 'late', endMs: first.endMs }, -5);
    assert.equal((await take(store, short, 'late', 1)).remaining, 3, 'into the next');
  });

  it('counts what was used beyond a reservation even when its window is over', async () => {
    const store = open();
    const short = { name: 'short', quota: 5, windowMs: 1_000 };
    const first = await take(store, short, 'more', 1);
    await delay(first.resetMs + 50);
    await store.adjust({ rule: short, key: 'more', endMs: first.endMs }, 4);
    assert.equal((await take(store, short, 'more', 1)).remaining, 0);
  });

  it('counts a request against all its limits or refuses it by the first without room, which later ones never see', async () => {
    const store = open();
    const requests = { name: 'all-requests', quota: 4, windowMs: 60_000 };
    const wide = { name: 'all-wide', quota: 100, windowMs: 60_000 };
    const narrow = { name: 'all-narrow', quota: 10, windowMs: 60_000 };
    const later = { name: 'all-later', quota: 100, windowMs: 60_000 };
    const ask = async (key: string): Promise<readonly (readonly [boolean, number])[]> => {
      const states = await store.reserve([
        { rule: requests, key, units: 1, isHeld: false },
        { rule: wide, key, units: 6, isHeld: true },
        { rule: narrow, key, units: 6, isHeld: true },
        { rule: later, key, units: 6, isHeld: true },
      ]);
      return states.map(({ permitted, remaining }) => [permitted, remaining]);
    };
    assert.deepEqual(await ask('all'), [
      [true, 3],
      [true, 94],
      [true, 4],
      [true, 94],
    ]);
    assert.deepEqual((await ask('all')).at(-1), [false, 4]);
    // The request stays counted, what it held of the wide limit does not, and the later one was not asked.
    assert.equal((await take(store, requests, 'all')).remaining, 1);
    assert.equal((await take(store, wide, 'all')).remaining, 93);
    assert.equal((await take(store, later, 'all')).remaining, 93);
  });

  it('keeps the order where windows and periods mix', async () => {
    const store = open();
    const window = { name: 'mixed-window', quota: 10, windowMs: 60_000 };
    const monthly: LimitRule = { name: 'mixed', quota: 5, windowMs: 31 * 86_400_000, period: 'month' };
    const reserve = (): Promise<readonly LimitState[]> =>
      Promise.resolve(
        store.reserve([
          { rule: window, key: 'mixed', units: 3, isHeld: true },
          { rule: monthly, key: 'mixed', units: 3, isHeld: true },
          { rule: { ...window, name: 'mixed-last' }, key: 'mixed', units: 3, isHeld: true },
        ]),
      );
    assert.deepEqual(
      (await reserve()).map(({ remaining }) => remaining),
      [7, 2, 7],
    );
    assert.deepEqual(
      (await reserve()).map(({ permitted }) => permitted),
      [true, false],
    );
    // What the refused request held comes back beside its answer.
    for (let attempt = 0; ; attempt++) {
      const { remaining, endMs } = await take(store, window, 'mixed');
      await store.adjust({ rule: window, key: 'mixed', endMs }, -1);
      if (remaining === 6) break;
      assert.ok(attempt < 100);
      await delay(10);
    }
    assert.equal((await take(store, { ...window, name: 'mixed-last' }, 'mixed')).remaining, 6);
  });

  it('counts a period of the calendar to its end, exactly under parallel requests', async () => {
    const store = open();
    const monthly: LimitRule = { name: 'monthly', quota: 10, windowMs: 31 * 86_400_000, period: 'month' };
    assert.equal(await permittedOf(store, 40, 'budget', monthly), 10);
    const now = new Date();
    const end = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1);
    const { permitted, resetMs } = await take(store, monthly, 'budget');
    assert.equal(permitted, false);
    assert.ok(Math.abs(Date.now() + resetMs - end) < 5_000);
    assert.equal((await take(store, monthly, 'somebody else')).remaining, 9);
  });

  it('is not confused by keys that look like other things', async () => {
    const store = open();
    for (const key of ['__proto__', 'constructor', '', 'a\r\nDEL x', '*', 'x'.repeat(10_000), 'ключ']) {
      assert.equal((await take(store, rule, key)).remaining, 9, key.slice(0, 20));
    }
  });
}

describe('the limit store in process memory', () => {
  let store: LimitStore;
  before(async () => {
    store = await createLimitStore({ redisUrl: null, folder, log });
  });
  after(() => store.close());

  keepsThePromise(() => store);

  it('says what it is and that it is well', () => {
    assert.equal(store.kind, 'process');
    assert.equal(store.problem(), null);
  });
});

describe('quotas of a period without Redis', () => {
  const monthly: LimitRule = { name: 'kept', quota: 10, windowMs: 31 * 86_400_000, period: 'month' };

  it('are kept over a restart, and shared by the processes of one gateway', async () => {
    const [one, other] = [
      await createLimitStore({ redisUrl: null, folder, log }),
      await createLimitStore({ redisUrl: null, folder, log }),
    ];
    await take(one, monthly, 'alice', 6);
    assert.equal((await take(other, monthly, 'alice', 3)).remaining, 1);
    await Promise.all([one.close(), other.close()]);
    const restarted = await createLimitStore({ redisUrl: null, folder, log });
    assert.equal((await take(restarted, monthly, 'alice', 2)).permitted, false);
    await restarted.close();
  });

  it('begin anew with the next period, and forget the last one', () => {
    let nowMs = Date.parse('2026-01-31T23:59:59Z');
    const budgets = createBudgetStore(join(folder, 'moved.sqlite'), () => nowMs);
    const rule = { ...monthly, period: 'month' as const };
    assert.equal(budgets.consume(rule, 'alice', 11).permitted, false);
    nowMs = Date.parse('2026-02-01T00:00:00Z');
    assert.equal(budgets.consume(rule, 'alice', 1).remaining, 9);
    budgets.close();
  });

  it('refuse everything while the file cannot be used, and say so', async () => {
    const store = await createLimitStore({ redisUrl: null, folder: join(folder, 'missing'), log });
    await assert.rejects(take(store, monthly, 'alice'), unavailable);
    assert.match(store.problem() ?? '', /quotas/);
    assert.equal((await take(store, rule, 'alice')).permitted, true, 'windows are not in the file');
    await store.close();
  });

  it('hold no subject in the file', async () => {
    const store = await createLimitStore({ redisUrl: null, folder, log });
    await take(store, monthly, 'https://issuer somebody-special');
    await store.close();
    assert.ok(!readFileSync(join(folder, 'budgets.sqlite')).includes('somebody-special'));
  });
});

describe('the limit store in Redis', { skip: redisMissing ?? false }, () => {
  let redis: PrivateRedis;
  let store: LimitStore;
  before(async () => {
    redis = await startRedis();
    store = await createLimitStore({ redisUrl: redis.url, folder, log });
  });
  after(async () => {
    redis.resume();
    await store.close();
    await redis.close();
  });

  keepsThePromise(() => store);

  it('shares its counts between gateways', async () => {
    const other = await createLimitStore({ redisUrl: redis.url, folder, log });
    try {
      const [here, there] = await Promise.all([
        permittedOf(store, 50, 'shared'),
        permittedOf(other, 50, 'shared'),
      ]);
      assert.equal(here + there, 10);
    } finally {
      await other.close();
    }
  });

  it('refuses while Redis hangs, soon, and answers when it is back', async () => {
    redis.hang();
    const started = performance.now();
    await assert.rejects(async () => store.consume(rule, 'hung'), unavailable);
    await assert.rejects(async () => store.countFailure(rule, 'hung'), unavailable);
    await assert.rejects(take(store, rule, 'hung'), unavailable);
    await assert.rejects(async () => store.peek(rule, 'hung'), unavailable);
    assert.ok(performance.now() - started < 5_000, 'a hung Redis must not hang the gateway');
    assert.match(store.problem() ?? '', /Redis/);
    redis.resume();
    await untilWell(store);
    assert.equal((await take(store, rule, 'back')).permitted, true);
  });

  it('refuses while Redis is gone and answers when it is back', async () => {
    await redis.kill();
    await assert.rejects(take(store, rule, 'gone'), unavailable);
    // Which of the two is said depends on whether the closed connection or the unanswered command was noticed first.
    assert.match(store.problem() ?? '', /Redis (is not reachable|does not answer in time)/);
    await redis.restart();
    await untilWell(store);
    assert.equal((await take(store, rule, 'gone')).permitted, true);
    assert.equal(store.problem(), null);
  });

  it('starts without Redis and refuses', async () => {
    const lonely = await createLimitStore({ redisUrl: '/nowhere/redis.sock', folder, log });
    try {
      assert.match(lonely.problem() ?? '', /Redis is not reachable/);
      await assert.rejects(take(lonely, rule, 'lonely'), unavailable);
    } finally {
      await lonely.close();
    }
  });

  async function untilWell(of: LimitStore): Promise<void> {
    for (let attempt = 0; attempt < 100; attempt++) {
      if (
        await take(of, { ...rule, name: 'probe', quota: 1_000 }, 'probe').then(
          () => true,
          () => false,
        )
      )
        return;
      await delay(50);
    }
    assert.fail('the store does not come back');
  }
});

describe('the limit store in Redis with leases', { skip: redisMissing ?? false }, () => {
  let redis: PrivateRedis;
  let store: LimitStore;
  before(async () => {
    redis = await startRedis();
    store = await createLimitStore({ redisUrl: redis.url, leaseMs: 300, folder, log });
  });
  after(async () => {
    await store.close();
    await redis.close();
  });

  keepsThePromise(() => store);
});

describe('the limit store in the cluster primary', () => {
  it('permits exactly the limit of 100 parallel requests to two workers', async () => {
    const primary = fork(join(import.meta.dirname, 'cluster-primary.ts'), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const [told] = (await once(primary, 'message')) as [
      { permitted: number[]; kinds: string[]; failures: number },
    ];
    await once(primary, 'exit');
    assert.deepEqual(told.kinds, ['cluster', 'cluster']);
    assert.equal(
      told.permitted.reduce((sum, part) => sum + part),
      10,
    );
    assert.equal(told.failures, 0);
  });
});
