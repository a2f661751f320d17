// Leases keep the bound of the shared counters whatever happens: schedules from a seeded generator on a clock of the test,
// with answers that are late, lost, and over the end of windows. The same against a real Redis: redis-leases.test.ts.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLeases, type Grant, type Leases, type SharedCounters } from '../../../gateway/limit/leases.ts';
import type { LimitRule, LimitState } from '../../../gateway/limit/store.ts';
import { createWindowTables, takeFrom } from '../../../gateway/limit/window-tables.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const requests: LimitRule = { name: 'requests', quota: 200, windowMs: 10_000 };
const modelTokens: LimitRule = { name: 'model-tokens', quota: 5_000, windowMs: 10_000 };

interface Outcome {
  readonly ledger: Ledger;
  readonly permitted: number;
  readonly messages: number;
  readonly renewals: number;
}

/** A clock and things to do at moments of it; a gateway's own clock starts anywhere. */
function simulation(random: () => number) {
  let nowMs = 1_000_000;
  const due: { atMs: number; act: () => void }[] = [];
  return {
    now: () => nowMs,
    at: (atMs: number, act: () => void) => void due.push({ atMs, act }),
    /** A wait of 0 to 20 ms, sometimes of seconds. */
    latency: () => (random() < 0.02 ? random() * 3_000 : random() * 20),
    async run(untilMs: number) {
      for (;;) {
        due.sort((left, right) => left.atMs - right.atMs);
        const next = due.shift();
        if (next === undefined || next.atMs > untilMs) return;
        nowMs = Math.max(nowMs, next.atMs);
        next.act();
        await new Promise((resolve) => setImmediate(resolve)); // Lets everything that waited for it go on.
      }
    },
  };
}

type Simulation = ReturnType<typeof simulation>;

/** Shared counters at some distance: what is asked arrives later, in order, and so does the answer, or it is lost. */
function distant(
  { now, at, latency }: Simulation,
  tables: ReturnType<typeof createWindowTables>,
  random: () => number,
): SharedCounters & { messages: number; renewals: number } {
  let arrivesMs = 0;
  let answersMs = 0;
  const counters = {
    messages: 0,
    renewals: 0,
    take: (asks: Parameters<SharedCounters['take']>[0]) => {
      counters.messages++;
      const isRenewal = asks[0]?.claim.units === 0;
      return new Promise<readonly Grant[]>((resolve, reject) => {
        arrivesMs = Math.max(arrivesMs, now() + latency());
        at(arrivesMs, () => {
          const grants = takeFrom(tables, asks);
          if (isRenewal && grants[0]?.granted !== 0) counters.renewals++;
          const isLost = random() < 0.01;
          answersMs = Math.max(answersMs, now() + latency());
          at(answersMs, () => (isLost ? reject(new Error('lost')) : resolve(grants)));
        });
      });
    },
    adjust: ({ rule, key, endMs }: Parameters<SharedCounters['adjust']>[0], units: number) =>
      new Promise<void>((resolve) => {
        arrivesMs = Math.max(arrivesMs, now() + latency());
        at(arrivesMs, () => {
          tables.of(rule).adjust(key, units, endMs);
          resolve();
        });
      }),
  };
  return counters;
}

/** What was permitted in each window, by the end of the window on the shared clock. */
class Ledger {
  readonly units = new Map<string, number>();
  highest = 0;

  add(rule: LimitRule, { endMs }: LimitState, units: number): void {
    const window = `${rule.name}@${Math.round(endMs)}`;
    const sum = (this.units.get(window) ?? 0) + units;
    this.units.set(window, sum);
    this.highest = Math.max(this.highest, sum / rule.quota);
    assert.ok(sum <= rule.quota, `${sum} of ${rule.quota} permitted in ${window}`);
  }
}

async function schedule(seed: number): Promise<Outcome> {
  const random = seededRandom(seed);
  const holdMs = seed % 3 === 0 ? 3_600_000 : 1_000; // With the first, leases are given back and never renewed.
  const world = simulation(random);
  const tables = createWindowTables(world.now);
  const ledger = new Ledger();
  const gateways = Array.from({ length: 2 + Math.floor(random() * 3) }, () => {
    const shared = distant(world, tables, random);
    const offsetMs = random() * 1e6;
    // Crystals of servers differ by less than a hundred parts in a million.
    const pace = 1 + (random() - 0.5) * 2e-4;
    const leases: Leases = createLeases(shared, {
      holdMs, // The schedule below looks far more often than the timer, which runs in real time.
      now: () => offsetMs + world.now() * pace,
    });
    return { shared, leases };
  });
  let permitted = 0;
  let messages = 0;
  let renewals = 0;
  const endMs = world.now() + 60_000;
  const load = 20 + random() * 200;
  const ask = async ({ leases }: (typeof gateways)[number]): Promise<void> => {
    const units = 1 + Math.floor(random() * 120);
    const reserving = leases.reserve([
      { rule: requests, key: 'alice', units: 1, isHeld: false },
      { rule: modelTokens, key: 'alice', units, isHeld: true },
    ]);
    if (!(reserving instanceof Promise))
      for (const { endMs: windowEndMs } of reserving)
        assert.ok(world.now() < windowEndMs, 'spent after the end of its window');
    const [request, tokens] = await reserving;
    if (request?.permitted === true) ledger.add(requests, request, 1);
    if (tokens?.permitted !== true) return;
    permitted++;
    ledger.add(modelTokens, tokens, units);
    const used = Math.floor(random() * (units + 1));
    world.at(world.now() + random() * 4_000, () => {
      ledger.add(modelTokens, tokens, used - units);
      void Promise.resolve(
        leases.adjust({ rule: modelTokens, key: 'alice', endMs: tokens.endMs }, used - units),
      );
    });
  };
  const next = (): void => {
    if (world.now() >= endMs) return;
    const gateway = gateways[Math.floor(random() ** 2 * gateways.length)];
    if (gateway !== undefined) void ask(gateway).catch(lostOnly);
    if (random() < 0.03) void gateway?.leases.review();
    world.at(world.now() + random() * (2_000 / load), next);
  };
  next();
  await world.run(endMs + 10_000);
  for (const { leases, shared } of gateways) {
    messages += shared.messages;
    renewals += shared.renewals;
    void leases.close();
  }
  tables.close();
  return { ledger, permitted, messages, renewals };
}

/** An answer that was lost refuses the request; anything else is a fault. */
function lostOnly(error: unknown): void {
  if (!(error instanceof Error) || error.message !== 'lost') throw error;
}

describe('leases', () => {
  for (let seed = 1; seed <= 12; seed++) {
    it(`never permit more than the quota in any window, in schedule ${seed}`, async () => {
      const { ledger, permitted, messages, renewals } = await schedule(seed);
      assert.ok(ledger.units.size > 6 && ledger.highest > 0.5, 'the schedule tries the bound');
      assert.ok(seed % 3 === 0 ? renewals === 0 : renewals > 0, `${renewals} renewals`);
      assert.ok(permitted > 300 && messages > 0, `${permitted} permitted`);
    });
  }
});

describe('a lease that is used steadily', () => {
  const rule: LimitRule = { name: 'requests', quota: 100_000, windowMs: 30_000 };
  /** One gateway on a clock of the test, beside counters that answer in the next turn. */
  const start = (): {
    readonly clock: { nowMs: number };
    readonly tables: ReturnType<typeof createWindowTables>;
    readonly leases: Leases;
    readonly asked: number[];
    readonly use: (requests: number) => Promise<void>;
    readonly late: (() => void)[];
    isLate: boolean;
  } => {
    const clock = { nowMs: 1_000_000 };
    const tables = createWindowTables(() => clock.nowMs);
    const asked: number[] = [];
    const late: (() => void)[] = [];
    const leases = createLeases(
      {
        take: (asks) =>
          new Promise((resolve) => {
            asked.push(...asks.map(({ claim }) => claim.units));
            const answer = (): void => resolve(takeFrom(tables, asks));
            if (gateway.isLate) late.push(answer);
            else setImmediate(answer);
          }),
        adjust: ({ rule: of, key, endMs }, units) => {
          tables.of(of).adjust(key, units, endMs);
          return Promise.resolve();
        },
      },
      { holdMs: 1_000, now: () => clock.nowMs },
    );
    const use = async (count: number): Promise<void> => {
      for (let index = 0; index < count; index++)
        await leases.reserve([{ rule, key: 'alice', units: 1, isHeld: false }]);
    };
    const gateway = { clock, tables, leases, asked, use, late, isLate: false };
    return gateway;
  };
  const ended = async ({ leases, tables }: ReturnType<typeof start>): Promise<void> => {
    await leases.close();
    tables.close();
  };

  it('is renewed before it runs out, and then no request asks', async () => {
    const gateway = start();
    for (let look = 0; look < 3; look++) {
      await gateway.use(100);
      await gateway.leases.review();
    }
    gateway.asked.length = 0;
    for (let look = 0; look < 10; look++) {
      gateway.clock.nowMs += 1_000;
      await gateway.use(100);
      await gateway.leases.review();
    }
    assert.ok(
      gateway.asked.every((units) => units === 0) && gateway.asked.length <= 10,
      gateway.asked.join(),
    );
    // All that is counted is spent or held, and what is held is about what is used between two looks.
    const spent = gateway.tables.of(rule).peek('alice')?.spent ?? 0;
    assert.ok(spent >= 1_300 && spent <= 1_500, `${spent} counted for 1300 requests`);
    await ended(gateway);
    assert.equal(gateway.tables.of(rule).peek('alice')?.spent, 1_300);
  });

  it('is not renewed for a caller who comes now and then', async () => {
    const gateway = start();
    await gateway.use(2);
    gateway.asked.length = 0;
    for (let look = 0; look < 5; look++) await gateway.leases.review();
    assert.deepEqual(gateway.asked, []);
    await ended(gateway);
    assert.equal(gateway.tables.of(rule).peek('alice')?.spent, 2);
  });

  it('begins no window when its renewal comes after the end of the last one', async () => {
    const gateway = start();
    await gateway.use(100);
    await gateway.leases.review();
    await gateway.use(150);
    gateway.isLate = true;
    const reviewing = gateway.leases.review();
    assert.equal(gateway.late.length, 1);
    gateway.clock.nowMs += 40_000;
    for (const answer of gateway.late.splice(0)) answer();
    await reviewing;
    assert.equal(gateway.tables.of(rule).peek('alice'), null);
    await ended(gateway);
  });

  it('gives a renewal back that was granted in a window which is over here', async () => {
    const gateway = start();
    await gateway.use(100);
    await gateway.leases.review();
    await gateway.use(150);
    gateway.clock.nowMs += 27_000;
    gateway.isLate = true;
    const reviewing = gateway.leases.review();
    const held = gateway.tables.of(rule).peek('alice')?.spent ?? 0;
    assert.equal(gateway.late.length, 1);
    for (const answer of gateway.late.splice(0)) answer();
    assert.ok((gateway.tables.of(rule).peek('alice')?.spent ?? 0) > held, 'granted in time');
    gateway.clock.nowMs += 2_990; // And heard of when the window is over here, but not there.
    await reviewing;
    assert.equal(gateway.tables.of(rule).peek('alice')?.spent, held);
    await ended(gateway);
  });
});
