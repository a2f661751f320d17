// The model server beside llama.cpp's own server, node-llama-cpp's default batching and the same generation in process.
//   npm run bench -- --only model [--short …], or node bench/model.mjs after a build
// It judges ratios within a round and never fails on time: docs/performance-model-server.md.
//   --short            the shipped tiny model alone, seconds
//   --scenarios a,b    some of: streams, engines, joining, prefix, trained, cold; python and kernels only when they are named
//   --without a,b      leaves contestants out
//   --kernels NAME     whose kernels the scenario `kernels` compares with llama.cpp's choice (alderlake)
//   --counts 1,8,32    streams that start together
//   --rounds N, --new-tokens N, --padded (vocabulary of 50,272)
//   --json FILE        writes the samples; --report FILE… only prints the tables of such files, taken together
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { endAll } from './harness/processes.mjs';
import { createWorkbench, llamaServerPath, pythonPath } from './model/contestants.mjs';
import { gpt2File } from './model/gpt2-file.mjs';
import { createPrompts } from './model/prompts.mjs';
import { reportOf } from './model/report.mjs';
import { scenarios } from './model/scenarios.mjs';

const tinyFile = fileURLToPath(new URL('../models/tiny-gpt2.gguf', import.meta.url));
const context = 512;
const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string' }, // `npm run bench -- --only model` hands its words on.
    short: { type: 'boolean', default: false },
    scenarios: { type: 'string', default: 'streams,engines,joining,prefix,trained,cold' },
    without: { type: 'string', default: '' },
    counts: { type: 'string', default: '1,8,32' },
    rounds: { type: 'string' },
    'new-tokens': { type: 'string' },
    kernels: { type: 'string', default: 'alderlake' },
    padded: { type: 'boolean', default: false },
    json: { type: 'string' },
    report: { type: 'boolean', default: false },
  },
});
const counts = flags.short ? [1, 4] : flags.counts.split(',').map(Number);
const rounds = Number(flags.rounds ?? (flags.short ? 1 : 3));
const without = new Set(flags.without.split(','));

/** What a scenario runs on: GPT-2's shape, except where the trained model is the point. */
function planOf(name) {
  const isTiny = flags.short || name === 'trained' || name === 'cold';
  return {
    scenario: name === 'trained' ? scenarios.streams : scenarios[name],
    model: isTiny ? 'trained' : 'gpt2',
    file: isTiny ? tinyFile : gpt2File({ padded: flags.padded }),
    counts: name === 'trained' && !flags.short ? [8] : counts,
    newTokens: Number(flags['new-tokens'] ?? newTokensOf(name, isTiny)),
    joining: flags.short ? 4 : 16,
  };
}

function newTokensOf(name, isTiny) {
  if (flags.short) return 24;
  if (name === 'python') return 50;
  return isTiny ? 256 : 64;
}

const warm = new Set();

/** Why a contestant is not there, or undefined. */
function absenceOf(name) {
  if (without.has(name)) return 'left out';
  if (name === 'llama-server' && llamaServerPath() === null)
    return 'not installed (node bench/model/build-llama-server.mjs, or SALLYPORT_BENCH_LLAMA_SERVER=path)';
  if (name === 'python service' && pythonPath() === null)
    return 'no Python with its packages (docs/performance-model-server.md, SALLYPORT_BENCH_PYTHON=path)';
  return undefined;
}

/** Those of a scenario that are there, each after some work that is not measured: the first pays for compiling. */
async function contestantsOf(workbench, plan, warmUp) {
  const contestants = [];
  for (const name of plan.scenario.contestants) {
    const absence = absenceOf(name);
    if (absence !== undefined) {
      process.stderr.write(`${name}: skipped: ${absence}\n`);
      continue;
    }
    const contestant = await workbench.get(name);
    if (!warm.has(contestant)) await contestant.run(warmUp, plan.newTokens);
    warm.add(contestant);
    contestants.push(contestant);
  }
  return contestants;
}

async function main() {
  const samples = [];
  const workbenches = new Map();
  const prompts = createPrompts();
  try {
    for (const name of flags.scenarios.split(',')) {
      const plan = planOf(name);
      if (plan.scenario === undefined) throw new Error(`there is no scenario ${name}`);
      if (!workbenches.has(plan.file)) {
        const sequences = Math.max(flags.short ? 4 : 16, ...counts);
        workbenches.set(
          plan.file,
          await createWorkbench({ file: plan.file, context, sequences, kernels: flags.kernels }),
        );
      }
      const workbench = workbenches.get(plan.file);
      const contestants = await contestantsOf(workbench, plan, prompts(Math.min(8, Math.max(...counts))));
      for (let round = 0; round < rounds; round++) {
        // Another one goes first in each round.
        const rotated = contestants.map((_, index) => contestants[(index + round) % contestants.length]);
        const bench = { file: plan.file, prompts, contestants: rotated };
        for (const sample of await plan.scenario.round(bench, plan))
          samples.push({ scenario: name, model: plan.model, round: `${process.pid}.${round}`, ...sample });
        process.stderr.write(`${name}: round ${round + 1} of ${rounds}, load ${loadavg()[0].toFixed(1)}\n`);
      }
    }
  } finally {
    for (const workbench of workbenches.values()) await workbench.close();
  }
  return samples;
}

try {
  const isReport = flags.report;
  const samples = isReport
    ? positionals.flatMap((file) => JSON.parse(readFileSync(file, 'utf8')).samples)
    : await main();
  if (!isReport)
    console.log(
      `\nNode ${process.version}, ${cpus()[0]?.model}, ${availableParallelism()} cores, one thread per engine`,
    );
  console.log(reportOf(samples));
  if (flags.json !== undefined) {
    const machine = { processor: cpus()[0]?.model, cores: availableParallelism(), node: process.version };
    writeFileSync(flags.json, JSON.stringify({ machine, date: new Date().toISOString(), samples }, null, 1));
  }
  process.exit(0); // Connections that are kept open would hold the process.
} catch (error) {
  console.error(`bench: ${error.stack}`);
  endAll();
  process.exit(1);
}
