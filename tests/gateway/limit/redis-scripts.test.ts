// The script that counts, asked directly: what a renewal may do and what it may not.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
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
});
