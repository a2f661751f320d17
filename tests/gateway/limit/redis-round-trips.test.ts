// How often a gateway asks Redis: counted on the wire, by a proxy before a real Redis.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import {
  createLimitStore,
  type LimitRule,
  type LimitState,
  type LimitStore,
} from '../../../gateway/limit/store.ts';
import { startCountingProxy, type CountingProxy } from '../../support/counting-proxy.ts';
import { redisMissing, startRedis, type PrivateRedis } from '../../support/redis.ts';

const requests: LimitRule = { name: 'requests-per-principal', quota: 600, windowMs: 60_000 };
const modelTokens: LimitRule = { name: 'tokens-per-principal', quota: 100_000, windowMs: 60_000 };
const monthly: LimitRule = {
  name: 'per-month',
  quota: 1_000_000,
  windowMs: 31 * 86_400_000,
  period: 'month',
};

describe('a request with three limits in Redis', { skip: redisMissing ?? false }, () => {
  let redis: PrivateRedis;
  let proxy: CountingProxy;
  let store: LimitStore;
  before(async () => {
    redis = await startRedis();
    proxy = await startCountingProxy(redis.url);
    store = await createLimitStore({
      redisUrl: proxy.path,
      folder: '/nowhere',
      log: pino({ level: 'silent' }),
    });
    await reserve('first'); // Teaches Redis the script.
  });
  after(async () => {
    await store.close();
    await proxy.close();
    await redis.close();
  });

  const reserve = (key: string): Promise<readonly LimitState[]> =>
    Promise.resolve(
      store.reserve([
        { rule: requests, key, units: 1, isHeld: false },
        { rule: modelTokens, key, units: 300, isHeld: true },
        { rule: monthly, key, units: 300, isHeld: true },
      ]),
    );

  it('costs one round trip', async () => {
    const before = proxy.roundTrips();
    for (let count = 0; count < 20; count++) {
      const states = await reserve('alice');
      assert.deepEqual(
        states.map(({ permitted }) => permitted),
        [true, true, true],
      );
    }
    assert.equal(proxy.roundTrips() - before, 20);
  });

  it('shares its round trip with those that come with it', async () => {
    const before = proxy.roundTrips();
    const states = await Promise.all(Array.from({ length: 100 }, (_, number) => reserve(`person ${number}`)));
    assert.ok(states.every((each) => each.length === 3 && each.every(({ permitted }) => permitted)));
    // One write of 100 commands; a busy machine may deliver it in pieces.
    assert.ok(proxy.roundTrips() - before <= 10, `${proxy.roundTrips() - before} round trips`);
  });

  it('settles its model tokens and those of others in one round trip, for which nobody waits', async () => {
    const held = await Promise.all(Array.from({ length: 50 }, (_, number) => reserve(`settled ${number}`)));
    const before = proxy.roundTrips();
    await Promise.all(
      held.flatMap((states, number) =>
        [modelTokens, monthly].map(async (rule, index) =>
          store.adjust({ rule, key: `settled ${number}`, endMs: states[index + 1]?.endMs ?? 0 }, -290),
        ),
      ),
    );
    assert.ok(proxy.roundTrips() - before <= 10);
    const [, spent] = await reserve('settled 7');
    assert.equal(spent?.remaining, 100_000 - 10 - 300);
  });

  it('names no person on the wire', () => {
    assert.ok(!proxy.sent().includes('alice') && !proxy.sent().includes('person'));
    assert.ok(proxy.sent().includes('sallyport:limit:tokens-per-principal:60000:'));
  });
});
