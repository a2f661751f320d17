// What a second worker brings: processor time per request of the whole process tree (primary and workers), and requests
// per second for each core that the gateway had. On a machine with few cores load and upstream take what the workers would
// use, so the plain ratio of requests per second says little: it is shown beside those that account for the load. One
// worker has a core, with its caches, to itself; two share theirs with the load. As many gateways of one worker, which
// know nothing of each other, share them just so: what workers cost each other is the difference to those.
// `--workers 2` (how many beside one), `--rounds 7`, `--seconds 2`. Runs on dist/ (`npm run build`).
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { policyEditor, raiseLimits } from './contestants/gateway-variants.mjs';
import { accessTokens, badAccessTokens, signingKey } from './harness/access-tokens.mjs';
import { checkGuard } from './harness/guard-check.mjs';
import { asGateway, endAll, freePort, startNodePart, startProgram } from './harness/processes.mjs';
import { body, connections, measure, turned, warm } from './harness/rounds.mjs';
import { median, ratio, spread } from './harness/statistics.mjs';

const here = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '2' },
  },
});
const workers = Number(values.workers);
const plan = {
  rounds: Number(values.rounds),
  seconds: Number(values.seconds),
  warmRequests: null,
  warmShare: 1,
};

/** The gateway as operators start it, with everything on and numbers of limits raised. */
async function startGateway(folder, { count, load, id = `${count}` }) {
  const policies = join(folder, `policies-${id}`);
  cpSync(join(here, 'policies'), policies, { recursive: true });
  rmSync(join(policies, 'tests'), { recursive: true, force: true });
  raiseLimits(policyEditor(policies));
  const [port, internalPort] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${load.port}`;
  const file = join(folder, `gateway-${id}.yaml`);
  const gateway = {
    listen: `127.0.0.1:${port}`,
    internal_listen: `127.0.0.1:${internalPort}`,
    workers: count,
    policies,
    data: join(folder, `data-${id}`),
    assertion_jwks: join(folder, `run-${id}`, 'gateway-jwks.json'),
    embedded_issuer: load.issuer,
    upstreams: {
      embedded: { kind: 'openai', url, models: ['tiny-gpt2'], assertion: 'model-server' },
      accounts: { kind: 'http', url, assertion: 'identity' },
    },
  };
  writeFileSync(file, JSON.stringify({ gateway }));
  const command = [join(here, 'dist/cli/main.js'), 'serve', 'gateway', '--config', file];
  const words = [process.execPath, ...asGateway.execArgv, ...command];
  // With workers the internal listener is the last that opens.
  const { pid, stop } = await startProgram(words, internalPort, { env: asGateway.env });
  const name = count === 1 ? 'one worker' : `${count} workers`;
  // Each worker has to see the tokens and compile what it runs.
  return {
    name,
    guards: true,
    guardsRequests: true,
    warmRequests: 30_000 * count,
    count,
    part: { pid, port, stop },
  };
}

/** As many gateways of one worker as the other has workers, each with its share of the connections. */
async function startApart(folder, load) {
  const apart = [];
  for (let index = 0; index < workers; index++)
    apart.push(await startGateway(folder, { count: 1, load, id: `apart-${index}` }));
  return {
    ...apart[0],
    name: `${workers} apart`,
    warmRequests: 30_000 * workers,
    count: workers,
    part: { pid: apart.map(({ part }) => part.pid), port: apart.map(({ part }) => part.port) },
  };
}

async function main() {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
  try {
    const key = await signingKey();
    const load = await startNodePart('load.mjs', { jwks: key.jwks });
    const tokens = await accessTokens(100, { privateKey: key.privateKey, issuer: load.issuer });
    await load.ask({ keep: { pool: 'known', tokens } }, 'keep');
    const bad = await badAccessTokens({ privateKey: key.privateKey, pem: key.pem, issuer: load.issuer });
    const gateways = [
      await startGateway(folder, { count: 1, load }),
      await startGateway(folder, { count: workers, load }),
    ];
    for (const gateway of gateways) await checkGuard(gateway, { body, valid: tokens[0], bad });
    gateways.push(await startApart(folder, load));
    for (const gateway of gateways) await warm(gateway, load, plan);
    const rows = gateways.map(() => []);
    for (let round = 0; round < plan.rounds; round++) {
      for (const gateway of turned(gateways, round)) {
        // While the other was measured this one rested, and workers gave back what they hold of limits: service has no such pauses.
        const all = connections * gateway.count; // As many callers for each worker.
        await measure(gateway, load, { connections: all, durationMs: 500 });
        const result = await measure(gateway, load, { connections: all, durationMs: plan.seconds * 1000 });
        const core = result.cpu / 1e6 / result.seconds;
        rows[gateways.indexOf(gateway)].push({
          cpu: result.cpu / result.count,
          rate: result.count / result.seconds,
          core,
          loadCore: result.loadCore,
          ratePerCore: result.count / result.seconds / core,
        });
      }
    }
    report(gateways, rows);
  } finally {
    endAll();
    rmSync(folder, { recursive: true, force: true });
  }
}

function report(gateways, rows) {
  const cell = (text) => String(text).padStart(15);
  console.log(
    `\nNode ${process.version}, ${plan.rounds} interleaved rounds of ${plan.seconds} s, ${connections} connections for each worker, 100 access tokens, medians\n`,
  );
  console.log(
    `${''.padEnd(12)}${['CPU µs/request', '(min-max)', 'requests/s', 'cores, gateway', 'cores, load'].map(cell).join('')}`,
  );
  for (const [index, { name }] of gateways.entries()) {
    const of = rows[index];
    const { min, max } = spread(of, 'cpu');
    const medianOf = (member) => median(of.map((row) => row[member]));
    const cells = [
      medianOf('cpu').toFixed(1),
      `(${min.toFixed(1)}-${max.toFixed(1)})`,
      medianOf('rate').toFixed(0),
      medianOf('core').toFixed(2),
      medianOf('loadCore').toFixed(2),
    ];
    console.log(`${name.padEnd(12)}${cells.map(cell).join('')}`);
  }
  const [one, several, apart] = rows;
  const plain = ratio(several, one, 'rate').median;
  const perRequest = ratio(several, one, 'cpu');
  const perCore = ratio(several, one, 'ratePerCore').median * workers;
  const beside = ratio(several, apart, 'cpu');
  const best = Math.min(...several.map(({ cpu }) => cpu)) / Math.min(...one.map(({ cpu }) => cpu));
  console.log(`
requests/s, as they are, with the load on the same cores:       ${plain.toFixed(2)} × one worker
CPU per request, primary and workers, to that of one worker:    ${perRequest.median.toFixed(2)} (least to least: ${best.toFixed(2)})
requests/s where ${workers} workers have ${workers} cores and the load has others: ${perCore.toFixed(2)} × one worker (least to least: ${(workers / best).toFixed(2)})
CPU per request, primary and workers, to gateways apart:        ${beside.median.toFixed(2)} (${beside.min.toFixed(2)}-${beside.max.toFixed(2)})
so, with the load's share of the caches accounted for as well:  ${(workers / beside.median).toFixed(2)} × one worker

The third line is requests/s divided by the cores that the gateway really had, times ${workers}: what load and upstream take of the
machine's time is not counted against it, what they take of its caches is. The last one counts what workers cost each other
alone: messages, counters and the primary. Half a second before each round is not counted.`);
}

await main();
