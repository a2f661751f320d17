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
): SharedCounters & { messages: number } {
  let arrivesMs = 0;
  let answersMs = 0;
  const counters = {
    messages: 0,
    take: (asks: Parameters<SharedCounters['take']>[0]) => {
      counters.messages++;
      return new Promise<readonly Grant[]>((resolve, reject) => {
        arrivesMs = Math.max(arrivesMs, now() + latency());
        at(arrivesMs, () => {
          const grants = takeFrom(tables, asks);
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

async function schedule(seed: number): Promise<{ ledger: Ledger; permitted: number; messages: number }> {
  const random = seededRandom(seed);
  const world = simulation(random);
  const tables = createWindowTables(world.now);
  const ledger = new Ledger();
  const gateways = Array.from({ length: 2 + Math.floor(random() * 3) }, () => {
    const shared = distant(world, tables, random);
    const offsetMs = random() * 1e6;
    // Crystals of servers differ by less than a hundred parts in a million.
    const pace = 1 + (random() - 0.5) * 2e-4;
    const leases: Leases = createLeases(shared, {
      holdMs: 3_600_000, // What is unused is returned by the schedule below.
      now: () => offsetMs + world.now() * pace,
    });
    return { shared, leases };
  });
  let permitted = 0;
  let messages = 0;
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
    if (random() < 0.01) void gateway?.leases.returnUnused();
    world.at(world.now() + random() * (2_000 / load), next);
  };
  next();
  await world.run(endMs + 10_000);
  for (const { leases, shared } of gateways) {
    messages += shared.messages;
    void leases.close();
  }
  tables.close();
  return { ledger, permitted, messages };
}

/** An answer that was lost refuses the request; anything else is a fault. */
function lostOnly(error: unknown): void {
  if (!(error instanceof Error) || error.message !== 'lost') throw error;
}

describe('leases', () => {
  for (let seed = 1; seed <= 12; seed++) {
    it(`never permit more than the quota in any window, in schedule ${seed}`, async () => {
      const { ledger, permitted, messages } = await schedule(seed);
      assert.ok(ledger.units.size > 6 && ledger.highest > 0.5, 'the schedule tries the bound');
      assert.ok(permitted > 300 && messages > 0, `${permitted} permitted`);
    });
  }
});
