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

/**
 * Counts a failure: KEYS are counts and ends of windows, by address; ARGV has the address and the ms of a window. Answers its
 * failures and the ms left. What has ended goes meanwhile, and both keys with the last window.
 */
const failSource = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 100)) do
  redis.call('ZREM', KEYS[1], ended)
  redis.call('ZREM', KEYS[2], ended)
end
local ends = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or 0)
if ends <= now then
  ends = now + tonumber(ARGV[2])
  redis.call('ZADD', KEYS[2], ends, ARGV[1])
  redis.call('ZREM', KEYS[1], ARGV[1])
end
local spent = tonumber(redis.call('ZINCRBY', KEYS[1], 1, ARGV[1]))
for i = 1, 2 do
  if redis.call('PTTL', KEYS[i]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
end
return {spent, ends - now}`;

/** The same keys; ARGV has one address. Answers its failures in the open window, and the ms left. */
const failuresOfSource = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or 0)
if ends <= now then return {0, 0} end
return {tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0), ends - now}`;

/**
 * The same keys; ARGV has a number of failures and the greatest length of the list. Answers 1 when all are listed, else 0,
 * then the addresses that have failed as often, each followed by the ms left of its window.
 */
const failuresSource = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local longest = tonumber(ARGV[2])
local found = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '+inf', 'LIMIT', 0, longest + 1)
local answer = {1}
if #found > longest then answer[1] = 0 end
for i = 1, math.min(#found, longest) do
  local left = tonumber(redis.call('ZSCORE', KEYS[2], found[i]) or 0) - now
  if left > 0 then
    answer[#answer + 1] = found[i]
    answer[#answer + 1] = left
  end
end
return answer`;

/** A script that Redis runs by its digest. */
export type RedisScript = (keys: readonly string[], values: readonly (string | number)[]) => Promise<unknown>;

/** The scripts, for one connection. */
export interface RedisScripts {
  readonly reserve: RedisScript;
  readonly adjust: RedisScript;
  readonly fail: RedisScript;
  readonly failuresOf: RedisScript;
  readonly failures: RedisScript;
}

/** Prepares the scripts; the text is sent only to a Redis that does not know it, after its restart for example. */
export function redisScripts(client: Redis): RedisScripts {
  return {
    reserve: script(client, reserveSource),
    adjust: script(client, adjustSource),
    fail: script(client, failSource),
    failuresOf: script(client, failuresOfSource),
    failures: script(client, failuresSource),
  };
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
