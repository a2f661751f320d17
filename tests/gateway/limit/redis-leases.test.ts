// Gateways that take units from a real Redis in advance: together they keep the quota, most requests ask nobody, and what is
// not used goes back.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { GatewayError } from '../../../core/errors.ts';
import {
  createLimitStore,
  type LimitRule,
  type LimitState,
  type LimitStore,
} from '../../../gateway/limit/store.ts';
import { startCountingProxy } from '../../support/counting-proxy.ts';
import { redisMissing, startRedis, type PrivateRedis } from '../../support/redis.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const log = pino({ level: 'silent' });
const requests: LimitRule = { name: 'requests-per-principal', quota: 600, windowMs: 3_600_000 };
const modelTokens: LimitRule = { name: 'tokens-per-principal', quota: 100_000, windowMs: 3_600_000 };

describe('gateways with leases', { skip: redisMissing ?? false }, () => {
  let redis: PrivateRedis;
  before(async () => {
    redis = await startRedis();
  });
  after(() => redis.close());

  const open = (leaseMs: number, url = redis.url): Promise<LimitStore> =>
    createLimitStore({ redisUrl: url, leaseMs, folder: '/nowhere', log });
  const take = async (store: LimitStore, key: string, rule = requests, units = 1): Promise<LimitState> => {
    const [state] = await store.reserve([{ rule, key, units, isHeld: true }]);
    assert.ok(state);
    return state;
  };
  const spent = async (key: string, rule = requests): Promise<number> => {
    const plain = await createLimitStore({ redisUrl: redis.url, folder: '/nowhere', log });
    const { permitted, remaining, endMs } = await take(plain, key, rule);
    if (permitted) await plain.adjust({ rule, key, endMs }, -1);
    await plain.close();
    return rule.quota - remaining - (permitted ? 1 : 0);
  };

  for (const seed of [1, 2, 3]) {
    it(`permit together no more than the quota, of requests and of model tokens, in schedule ${seed}`, async () => {
      const random = seededRandom(seed);
      const stores = await Promise.all([open(100), open(100), open(200)]);
      const key = `schedule ${seed}`;
      let permitted = 0;
      let reserved = 0;
      let highest = 0;
      const worker = async (store: LimitStore, pause: number): Promise<void> => {
        for (let refusals = 0; refusals < 20;) {
          const units = 1 + Math.floor(random() * 2_000);
          const [request, tokens] = await store.reserve([
            { rule: requests, key, units: 1, isHeld: false },
            { rule: modelTokens, key, units, isHeld: true },
          ]);
          if (request?.permitted === true) permitted++;
          if (tokens?.permitted !== true) {
            refusals++;
            await delay(random() * 5);
            continue;
          }
          reserved += units;
          highest = Math.max(highest, reserved);
          assert.ok(permitted <= requests.quota && reserved <= modelTokens.quota);
          await delay(random() * pause);
          const used = Math.floor(random() * 200);
          const difference = Math.min(used - units, 0);
          reserved += difference;
          await store.adjust({ rule: modelTokens, key, endMs: tokens.endMs }, difference);
        }
      };
      await Promise.all(
        stores.flatMap((store, index) =>
          Array.from({ length: 8 }, () => worker(store, index === 0 ? 1 : 10)),
        ),
      );
      await Promise.all(stores.map((store) => store.close()));
      assert.ok(permitted > 100 && highest > 10_000, `${permitted} permitted, ${highest} reserved at most`);
      // Everything that was not used is back, and nothing more.
      assert.equal(await spent(key, modelTokens), reserved);
      assert.ok((await spent(key)) >= permitted - 600 && (await spent(key)) <= requests.quota);
    });
  }

  it('use the whole quota where only one of them is asked', async () => {
    const store = await open(1_000);
    let permitted = 0;
    while ((await take(store, 'whole')).permitted) permitted++;
    assert.equal(permitted, requests.quota);
    await store.close();
  });

  it('ask Redis for few of many requests', async () => {
    const proxy = await startCountingProxy(redis.url);
    const store = await open(5_000, proxy.path);
    await take(store, 'teaches Redis the script');
    const before = proxy.roundTrips();
    let atOnce = 0;
    for (let count = 0; count < 500; count++) {
      const reserving = store.reserve([
        { rule: requests, key: 'often', units: 1, isHeld: false },
        { rule: modelTokens, key: 'often', units: 150, isHeld: true },
      ]);
      if (!(reserving instanceof Promise)) atOnce++;
      const states = await reserving;
      assert.ok(states.every(({ permitted }) => permitted));
      await store.adjust({ rule: modelTokens, key: 'often', endMs: states[1]?.endMs ?? 0 }, -100);
    }
    assert.ok(atOnce >= 425, `${atOnce} of 500 at once`);
    assert.ok(proxy.roundTrips() - before <= 75, `${proxy.roundTrips() - before} round trips`);
    await store.close();
    await proxy.close();
  });

  it('give back what they do not use, so that another may use it', async () => {
    const [idle, busy] = await Promise.all([open(100), open(100)]);
    for (let count = 0; count < 30; count++) await take(idle, 'shared');
    let permitted = 0;
    for (let attempt = 0; attempt < 2_000 && permitted < requests.quota - 30; attempt++) {
      if ((await take(busy, 'shared')).permitted) permitted++;
      else await delay(20);
    }
    assert.equal(permitted, requests.quota - 30);
    assert.equal((await take(idle, 'shared')).permitted, false);
    await Promise.all([idle.close(), busy.close()]);
  });

  it('lose at most a tenth of what remains when one of them dies', async () => {
    const [dying, other] = await Promise.all([open(10_000), open(10_000)]);
    for (let count = 0; count < 30; count++) await take(dying, 'crash');
    // It is not asked again and gives nothing back: its interval is ten seconds.
    let permitted = 30;
    while ((await take(other, 'crash')).permitted) permitted++;
    assert.ok(permitted <= requests.quota);
    assert.ok(permitted >= requests.quota * 0.9, `${permitted} permitted`);
    await Promise.all([dying.close(), other.close()]);
  });

  it('share the last units one by one', async () => {
    const stores = await Promise.all([open(10_000), open(10_000)]);
    const few = { ...requests, name: 'few', quota: 9 };
    const states = await Promise.all(
      Array.from({ length: 40 }, (_, count) => take(stores[count % 2] ?? assert.fail(), 'few', few)),
    );
    assert.equal(states.filter(({ permitted }) => permitted).length, 9);
    await Promise.all(stores.map((store) => store.close()));
  });

  it('go on with what they hold while Redis is down, then refuse, and answer when it is back', async () => {
    const own = await startRedis();
    const store = await open(10_000, own.url);
    for (let count = 0; count < 30; count++) await take(store, 'down');
    await own.kill();
    let permitted = 0;
    const refusal: unknown = await (async () => {
      for (;;) {
        if ((await take(store, 'down')).permitted) permitted++;
        assert.ok(permitted <= requests.quota / 10);
      }
    })().catch((error: unknown) => error);
    assert.ok(refusal instanceof GatewayError && refusal.code === 'limit_store_unavailable');
    await own.restart();
    for (let attempt = 0; attempt < 200; attempt++) {
      const state = await take(store, 'down').catch(() => null);
      if (state?.permitted === true) break;
      assert.ok(attempt < 199, 'the store does not come back');
      await delay(50);
    }
    await store.close();
    await own.close();
  });
});
