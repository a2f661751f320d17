// `node bench/cold-tokens.mjs [--rate 2000] [--seconds 10] [--rounds 3]`: what access tokens cost that the gateway never saw:
// so many new ones a second, each used once. Needs `npm run build` and /proc. The event loop's delay is measured in the
// gateway, and beside it in the same gateway under the same rate of known tokens, which tells what the machine adds. By its own
// doing the loop is late for no longer than its thread had the processor.
import { parseArgs } from 'node:util';
import { accessTokens, signingKey } from './harness/access-tokens.mjs';
import { asGateway, cpuOf, endAll, startNodePart } from './harness/processes.mjs';

const { values } = parseArgs({
  options: {
    rate: { type: 'string', default: '2000' },
    seconds: { type: 'string', default: '10' },
    connections: { type: 'string', default: '32' },
    rounds: { type: 'string', default: '3' },
  },
});
const [rate, seconds, connections, rounds] = [
  values.rate,
  values.seconds,
  values.connections,
  values.rounds,
].map(Number);
const perRun = Math.ceil((rate * seconds) / rounds);
const body = JSON.stringify({
  model: 'tiny-gpt2',
  messages: [{ role: 'user', content: 'x'.repeat(429) }],
  max_tokens: 40,
});

async function main() {
  const signing = await signingKey();
  const load = await startNodePart('load.mjs', { jwks: signing.jwks });
  const gateway = await startNodePart(
    'contestants/watched-gateway.mjs',
    { upstreamPort: load.port, issuer: load.issuer },
    asGateway,
  );
  const keep = async (pool, count) =>
    load.ask(
      { keep: { pool, tokens: await accessTokens(count, { ...signing, issuer: load.issuer }) } },
      'keep',
    );
  await keep('known', 100);
  await keep('warm', 4_000);
  // A few more than are due: a run ends by the clock.
  for (let round = 0; round < rounds; round++) await keep(`new ${round}`, perRun + rate);
  const run = async (pool, options) => {
    const before = cpuOf(gateway.pid);
    await gateway.ask({ watch: true }, 'watch');
    const result = await load.ask(
      { run: { port: gateway.port, pool, body, connections, ...options } },
      'ran',
    );
    const delay = await gateway.ask({ watch: false }, 'watch');
    if (Object.keys(result.statuses).join() !== '200')
      throw new Error(`the gateway answered ${JSON.stringify(result.statuses)}`);
    return { cpu: (cpuOf(gateway.pid) - before) / result.count, delay, ...result };
  };
  await run('known', { count: 10_000 });
  await run('warm', { count: 4_000 });
  console.log(`${rate} requests/s, ${connections} connections, RS256 of 2048 bits; µs, ms\n`);
  console.log(
    '| access tokens | hit rate | CPU µs/request | requests | loop delay p50 ms | p99 | p99.9 | max | by its own doing p99 | max |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |',
  );
  for (let round = 0; round < rounds; round++) {
    for (const [name, pool, hits] of [
      ['known', 'known', '100 %'],
      ['new', `new ${round}`, '0 %'],
    ]) {
      const { cpu, delay, count } = await run(pool, { durationMs: (perRun / rate) * 1000, rate });
      const cells = [name, hits, cpu.toFixed(1), count];
      // The timer itself waits a millisecond: what is above that is delay.
      for (const each of ['p50', 'p99', 'p999', 'max']) cells.push(Math.max(0, delay[each] - 1).toFixed(2));
      cells.push(delay.own99.toFixed(2), delay.ownMax.toFixed(2));
      console.log(`| ${cells.join(' | ')} |`);
    }
  }
}

try {
  await main();
} catch (error) {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
} finally {
  endAll();
}
