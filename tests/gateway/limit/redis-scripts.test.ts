// The script that counts, asked directly: what a renewal may do and what it may not.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { redisScripts, type RedisScripts } from '../../../gateway/limit/redis-scripts.ts';
import { redisMissing, startRedis, type PrivateRedis } from '../../support/redis.ts';

describe('the script of limits in Redis', { skip: redisMissing ?? false }, () => {
  let redis: PrivateRedis;
  let client: Redis;
  let scripts: RedisScripts;
  before(async () => {
    redis = await startRedis();
    client = new Redis(redis.url);
    scripts = redisScripts(client);
  });
  after(async () => {
    client.disconnect();
    await redis.close();
  });

  /** Units, quota, life, held, in advance, back, end of the window. */
  const reserve = async (key: string, units: number, extra: number, endMs: number): Promise<number[]> => {
    const answer = await scripts.reserve([key], [units, 100, 60_000, 0, extra, 0, endMs]);
    assert.ok(Array.isArray(answer));
    const [[spent, left, permitted, granted], nowMs] = answer as [[number, number, number, number], number];
    return [spent, permitted, granted, nowMs + left];
  };

  it('renews a lease with a tenth of what remains, in its own window', async () => {
    const [, , , endMs = 0] = await reserve('renewed', 10, 0, 0);
    assert.deepEqual((await reserve('renewed', 0, 50, endMs)).slice(0, 3), [19, 1, 9]);
    assert.equal(await client.get('renewed'), '19');
  });

  it('renews nothing of another window, and changes nothing there', async () => {
    const [, , , endMs = 0] = await reserve('other', 10, 0, 0);
    assert.equal((await reserve('other', 0, 50, endMs - 60_000))[2], 0);
    assert.equal(await client.get('other'), '10');
  });

  it('begins no window for a renewal', async () => {
    assert.equal((await reserve('none', 0, 50, Date.now() + 60_000))[2], 0);
    assert.equal(await client.exists('none'), 0);
  });

  it('renews nothing where the quota is used up', async () => {
    const [, , , endMs = 0] = await reserve('used', 100, 0, 0);
    assert.equal((await reserve('used', 0, 50, endMs))[2], 0);
    assert.equal((await reserve('used', 1, 0, 0))[1], 0);
    assert.equal(await client.get('used'), '100');
  });

  const fail = async (address: string, windowMs = 60_000): Promise<unknown> => {
    const answer = await scripts.fail(['counts', 'ends'], [address, windowMs]);
    assert.ok(Array.isArray(answer));
    return answer[0];
  };
  const failures = (quota: number, longest = 10): Promise<unknown> =>
    scripts.failures(['counts', 'ends'], [quota, longest]);

  it('counts failures by address, and lists who has reached any quota', async () => {
    for (let count = 1; count <= 7; count++) assert.equal(await fail('often'), count);
    assert.equal(await fail('once'), 1);
    const [isWhole, ...listed] = (await failures(5)) as [number, ...unknown[]];
    assert.deepEqual([isWhole, listed.length, listed[0]], [1, 2, 'often']);
    // A stricter rule counts what was counted under the looser one.
    assert.equal(((await failures(1)) as unknown[]).length, 5);
    assert.deepEqual(await failures(8), [1]);
    const [spent, left] = (await scripts.failuresOf(['counts', 'ends'], ['often'])) as number[];
    assert.ok(spent === 7 && (left ?? 0) > 0 && (left ?? 0) <= 60_000);
    assert.deepEqual(await scripts.failuresOf(['counts', 'ends'], ['never']), [0, 0]);
  });

  it('says when the list is longer than it may be', async () => {
    assert.equal(((await failures(1, 1)) as unknown[])[0], 0);
    assert.equal(((await failures(1, 2)) as unknown[])[0], 1);
  });

  it('begins a new window after the last one, and forgets what has ended', async () => {
    for (let count = 0; count < 3; count++) await scripts.fail(['c', 'e'], ['short', 300]);
    assert.equal(((await scripts.failures(['c', 'e'], [3, 10])) as unknown[])[1], 'short');
    await client.persist('c');
    await client.persist('e');
    while (((await scripts.failures(['c', 'e'], [3, 10])) as unknown[]).length > 1) await delay(50);
    await scripts.fail(['c', 'e'], ['another', 300]);
    assert.equal(await client.zscore('e', 'short'), null);
    assert.equal(await client.zscore('c', 'short'), null);
    assert.equal(((await scripts.fail(['c', 'e'], ['short', 300])) as unknown[])[0], 1);
    // Nothing outlives the last window.
    assert.ok((await client.pttl('c')) > 0 && (await client.pttl('e')) <= 300);
  });
});
