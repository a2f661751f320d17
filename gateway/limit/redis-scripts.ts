// What Redis does in one step. A script is atomic: no other gateway sees a request counted against half of its limits,
// and one request costs one round trip, however many limits it has.
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';

/**
 * Counts against all keys, in their order, or refuses. ARGV has seven numbers for each key: units, quota, ms that a new
 * counter lives, 1 where the units are given back when a later key refuses, units to take in advance (of which it grants at
 * most a tenth of what remains, so that the last ones are shared one by one), and unspent units that come back with the end
 * of their window. Where the units are 0 that end names the window of a renewal, which is granted nothing once it is over.
 * Answers spent, ms left, 1 or 0 (permitted) and units granted for each key up to the first that refuses, then its clock.
 * Windows last a second or more, so half of one tells them apart.
 */
const reserveSource = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answers, refused = {}, 0
for i = 1, #KEYS do
  local back = tonumber(ARGV[i * 7 - 1])
  if back > 0 then
    local left = redis.call('PTTL', KEYS[i])
    if left > 0 and math.abs(now + left - tonumber(ARGV[i * 7])) <= 500 then
      redis.call('DECRBY', KEYS[i], math.min(back, tonumber(redis.call('GET', KEYS[i]))))
    end
  end
end
for i = 1, #KEYS do
  local at = (i - 1) * 7
  local units, quota, lasts = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local spent = tonumber(redis.call('GET', KEYS[i]) or 0)
  local left = redis.call('PTTL', KEYS[i])
  if left < 0 then left = lasts end
  if spent + units > quota then
    refused = i
    answers[i] = {spent, left, 0, 0}
    break
  end
  local extra = math.max(math.min(tonumber(ARGV[at + 5]), math.floor((quota - spent - units) / 10)), 0)
  if units == 0 and (spent == 0 or math.abs(now + left - tonumber(ARGV[at + 7])) > 500) then extra = 0 end
  answers[i] = {spent + units + extra, left, 1, units + extra}
end
for i = 1, #answers do
  local at = (i - 1) * 7
  local units, granted = tonumber(ARGV[at + 1]), answers[i][4]
  if refused > 0 and i < refused then
    answers[i] = {answers[i][1] - granted + units, answers[i][2], 1, units}
    granted = ARGV[at + 4] == '0' and units or 0
  end
  if granted > 0 then
    redis.call('INCRBY', KEYS[i], granted)
    if redis.call('PTTL', KEYS[i]) < 0 then redis.call('PEXPIRE', KEYS[i], ARGV[at + 3]) end
  end
end
answers[#answers + 1] = now
return answers`;

/**
 * Corrects one key: ARGV has the units (below zero: back), the ms of the clock of Redis at which their window ends, and the
 * ms that a new counter lives.
 */
const adjustSource = `
local units, left = tonumber(ARGV[1]), redis.call('PTTL', KEYS[1])
if units > 0 then
  redis.call('INCRBY', KEYS[1], ARGV[1])
  if left < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
  return 1
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if left < 0 or math.abs(now + left - tonumber(ARGV[2])) > 500 then return 0 end
local spent = tonumber(redis.call('GET', KEYS[1]) or 0)
redis.call('DECRBY', KEYS[1], math.min(spent, -units))
return 1`;

/** A script that Redis runs by its digest. */
export type RedisScript = (keys: readonly string[], values: readonly (string | number)[]) => Promise<unknown>;

/** The scripts, for one connection. */
export interface RedisScripts {
  readonly reserve: RedisScript;
  readonly adjust: RedisScript;
}

/** Prepares the scripts; the text is sent only to a Redis that does not know it, after its restart for example. */
export function redisScripts(client: Redis): RedisScripts {
  return { reserve: script(client, reserveSource), adjust: script(client, adjustSource) };
}

function script(client: Redis, source: string): RedisScript {
  const digest = createHash('sha1').update(source).digest('hex'); // The name that Redis itself gives to a script.
  return async (keys, values) => {
    try {
      return await client.evalsha(digest, keys.length, ...keys, ...values);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
      return client.eval(source, keys.length, ...keys, ...values);
    }
  };
}
