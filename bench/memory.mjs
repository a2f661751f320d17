// `node bench/memory.mjs [--requests 1000000] [--tokens 100000] [--node=FLAGS]`: what one gateway process holds after a
// million requests with 100,000 distinct access tokens, as the operating system counts it. Needs `npm run build` and
// /proc. The tokens come in turn, so that each comes again after all others did. docs/decisions/0017-memory.md says what
// bounds what.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { accessTokens, signingKey } from './harness/access-tokens.mjs';
import { asGateway, cpuOf, endAll, startNodePart } from './harness/processes.mjs';

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '1000000' },
    tokens: { type: 'string', default: '100000' },
    node: { type: 'string' },
    connections: { type: 'string', default: '32' },
    snapshot: { type: 'string' },
  },
});
const [requests, distinct, connections] = [values.requests, values.tokens, values.connections].map(Number);
const body = JSON.stringify({
  model: 'tiny-gpt2',
  messages: [{ role: 'user', content: 'x'.repeat(429) }],
  max_tokens: 40,
});

/** Resident and proportional MiB, and the most that was ever resident. What others map too (Node itself) counts in part for the proportional one. */
function memoryOf(pid) {
  const mebibytes = (file, name) =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/${file}`, 'latin1'))[1]) /
    1024;
  return {
    rss: mebibytes('smaps_rollup', 'Rss'),
    pss: mebibytes('smaps_rollup', 'Pss'),
    most: mebibytes('status', 'VmHWM'),
  };
}

function tell(when, pid, micros = null) {
  const { rss, pss, most } = memoryOf(pid);
  const cells = [when, rss.toFixed(1), pss.toFixed(1), most.toFixed(1), micros?.toFixed(1) ?? ''];
  console.log(`| ${cells.join(' | ')} |`);
}

async function main() {
  const signing = await signingKey('ES256');
  // Started as `sallyport serve gateway` is, unless other flags are asked for.
  const load = await startNodePart('load.mjs', { jwks: signing.jwks });
  const gateway = await startNodePart(
    'contestants/watched-gateway.mjs',
    { upstreamPort: load.port, issuer: load.issuer, algorithms: ['ES256'] },
    {
      ...asGateway,
      ...(values.node === undefined
        ? {}
        : { execArgv: values.node.split(' ').filter((flag) => flag !== '') }),
    },
  );
  console.log(
    '| requests | RSS MiB | PSS MiB | highest RSS MiB | CPU µs/request |\n| --- | --- | --- | --- | --- |',
  );
  tell('0', gateway.pid);
  // In parts, since what crosses to another process is in memory three times.
  const parts = Math.ceil(distinct / 10_000);
  for (let part = 0; part < parts; part++) {
    const count = Math.floor((distinct * (part + 1)) / parts) - Math.floor((distinct * part) / parts);
    const tokens = await accessTokens(count, { ...signing, issuer: load.issuer });
    await load.ask({ keep: { pool: part, tokens } }, 'keep');
  }
  for (let answered = 0; answered < requests;) {
    const before = { cpu: cpuOf(gateway.pid), answered };
    for (let part = 0; part < parts && answered < requests; part++) {
      const count = Math.min(Math.floor(distinct / parts), requests - answered);
      const { statuses } = await load.ask(
        { run: { port: gateway.port, pool: part, count, body, connections } },
        'ran',
      );
      if (Object.keys(statuses).join() !== '200')
        throw new Error(`the gateway answered ${JSON.stringify(statuses)}`);
      answered += count;
    }
    tell(answered, gateway.pid, (cpuOf(gateway.pid) - before.cpu) / (answered - before.answered));
  }
  console.log(
    `\nheap, MiB: ${JSON.stringify(await gateway.ask({ heap: values.snapshot ?? true }, 'heap'))}\n`,
  );
  // In a silence V8 gives back what a rush left (gateway/quiet-collection.ts).
  await new Promise((resolve) => setTimeout(resolve, 140_000));
  tell('140 s later', gateway.pid);
}

try {
  await main();
} catch (error) {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
} finally {
  endAll();
}
