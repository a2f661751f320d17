// Interleaved rounds: in each, every contestant is measured once, so that a noisy moment hits all of them; the order is
// turned from round to round.
import { cpuOf, memoryOf } from './processes.mjs';

/** Requests per second of the open loop, and its connections. */
export const calmRate = 1_000;
const calmConnections = 16;
export const connections = 32;
/** Of the body in bytes: 500. */
export const body = JSON.stringify({
  model: 'tiny-gpt2',
  messages: [{ role: 'user', content: 'x'.repeat(429) }],
  max_tokens: 40,
});
const streamBody = JSON.stringify({ ...JSON.parse(body), stream: true });

/**
 * One measurement: the run of the load with the processor time of the contestant beside it. A contestant may be several
 * processes (`pid` a list) on several ports.
 */
export async function measure({ name, part }, load, options) {
  const spent = () => [part.pid].flat().reduce((sum, pid) => sum + cpuOf(pid), 0);
  const before = spent();
  const result = await load.ask(
    { run: { port: part.port, headers: part.headers, pool: 'known', body, ...options } },
    'ran',
  );
  const cpu = spent() - before;
  if (Object.keys(result.statuses).join() !== '200')
    throw new Error(`${name} answered ${JSON.stringify(result.statuses)} instead of 200 alone`);
  return { ...result, cpu };
}

/** Serves requests that are not measured until a contestant is compiled; resolves with their number. */
export async function warm(contestant, load, plan) {
  const enough = plan.warmRequests ?? contestant.warmRequests * plan.warmShare;
  let served = 0;
  for (let tries = 0; served < enough && tries < 80; tries++)
    served += (await measure(contestant, load, { connections, durationMs: 250 })).count;
  if (contestant.everyTokenNew === true && plan.freshWarm > 0)
    await measure(contestant, load, { connections, pool: 'fresh', count: plan.freshWarm });
  return served;
}

/** Values of each round by name of the contestant. */
function sheet(contestants) {
  return new Map(contestants.map(({ name }) => [name, []]));
}

/** Turns a list by `by` places. */
export const turned = (list, by) => list.map((_, index) => list[(index + by) % list.length]);

/** Requests: as fast as answers come, then at a calm rate; of contestants with `everyTokenNew` only the first. */
export async function requestRounds(contestants, load, { plan, freshPerRound, onRound }) {
  const rows = sheet(contestants);
  for (let round = 0; round < plan.rounds; round++) {
    onRound(round);
    for (const contestant of turned(contestants, round)) {
      const fast = await measure(
        contestant,
        load,
        contestant.everyTokenNew === true
          ? { connections, pool: 'fresh', from: plan.freshWarm + round * freshPerRound, count: freshPerRound }
          : { connections, durationMs: plan.seconds * 1000 },
      );
      const rate = fast.count / fast.seconds;
      // Where the rate cannot be kept, the latency would be that of a queue.
      const calm =
        contestant.everyTokenNew === true || rate < calmRate * 1.3
          ? null
          : await measure(contestant, load, {
              connections: calmConnections,
              rate: calmRate,
              durationMs: plan.latencySeconds * 1000,
            });
      rows.get(contestant.name).push({
        cpu: fast.cpu / fast.count,
        rate,
        core: fast.cpu / 1e6 / fast.seconds,
        loadCore: fast.loadCore,
        p50: calm?.p50 ?? null,
        memory: memoryOf(contestant.part.pid),
        requests: fast.count + (calm?.count ?? 0),
      });
    }
  }
  return rows;
}

/** Streams: processor time per chunk and time to the first chunk, for each number of callers. */
export async function streamRounds(contestants, load, { plan, callers, onRound }) {
  const rows = sheet(contestants);
  for (const contestant of contestants)
    await measure(contestant, load, {
      body: streamBody,
      streams: callers,
      durationMs: plan.streamWarmSeconds * 1000,
    });
  for (let round = 0; round < plan.streamRounds; round++) {
    onRound(round);
    for (const contestant of turned(contestants, round)) {
      const result = await measure(contestant, load, {
        body: streamBody,
        streams: callers,
        durationMs: plan.streamSeconds * 1000,
      });
      rows.get(contestant.name).push({
        cpu: result.cpu / result.chunks,
        firstChunk: result.p50,
        core: result.cpu / 1e6 / result.seconds,
        memory: memoryOf(contestant.part.pid),
      });
    }
  }
  return rows;
}
