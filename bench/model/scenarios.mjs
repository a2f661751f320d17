// What is measured, one round at a time: within a round every contestant does the same work, one after the other, so that
// a noisy moment of the machine hits neighbours alike and ratios are taken within the round.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../harness/processes.mjs';
import { createAccess } from './access.mjs';
import { load } from './load.mjs';
import { summarise } from './streams.mjs';

const promptWords = 24;
const longWords = 200;
const prefixWords = 160;

/**
 * Each: `contestants` it compares and `round(bench, plan)`, which resolves with samples `{ contestant, streams, … }`.
 * `bench.get(name)` gives a contestant or null when it is not there; `plan` says how much work a round is.
 */
export const scenarios = {
  /** 1, 8 and 32 streams that start together. */
  streams: {
    contestants: ['ours', 'gateway + ours', 'in process', 'node default', 'llama-server'],
    round: async (bench, plan) => {
      const samples = [];
      for (const streams of plan.counts)
        for (const contestant of bench.contestants) {
          // One stream alone is too short a work for a clock of 10 ms: three, one after the other.
          const times = streams === 1 ? 3 : 1;
          const work = {
            prompts: () => bench.prompts(streams, promptWords),
            newTokens: plan.newTokens,
            times,
          };
          samples.push({ ...(await measured(contestant, work)), streams });
        }
      return samples;
    },
  },

  /** The service that tutorials build, on all cores, beside ours on one thread. */
  python: {
    contestants: ['ours', 'python service'],
    round: async (bench, plan) => {
      const samples = [];
      for (const streams of [1, 8])
        for (const contestant of bench.contestants) {
          const work = { prompts: () => bench.prompts(streams, promptWords), newTokens: plan.newTokens };
          samples.push({ ...(await measured(contestant, work)), streams });
        }
      return samples;
    },
  },

  /** The same work with llama.cpp's kernels for another processor (`model_server.models.<name>.cpu_kernels`). */
  kernels: {
    contestants: ['ours', 'ours, other kernels', 'node default', 'llama-server'],
    round: async (bench, plan) => scenarios.streams.round(bench, plan),
  },

  /** The most streams on one engine process, and on two that share the streams. */
  engines: {
    contestants: ['ours', 'ours, two engines'],
    round: async (bench, plan) => {
      const samples = [];
      const streams = Math.max(...plan.counts);
      for (const contestant of bench.contestants)
        samples.push(
          await measured(contestant, {
            prompts: () => bench.prompts(streams, promptWords),
            newTokens: plan.newTokens,
          }),
        );
      return samples;
    },
  },

  /** Long prompts that join a running batch: what they cost those who are already reading is the gap's p99. */
  joining: {
    contestants: ['ours', 'llama-server'],
    round: async (bench, plan) => {
      const samples = [];
      for (const contestant of bench.contestants)
        samples.push(
          await measured(contestant, {
            prompts: () => bench.prompts(plan.joining, longWords),
            newTokens: plan.newTokens,
            spacingMs: 150,
          }),
        );
      return samples;
    },
  },

  /** Two requests of one person that begin with the same text: the second needs to read only what is new. */
  prefix: {
    contestants: ['ours', 'llama-server'],
    round: async (bench) => {
      const samples = [];
      for (const contestant of bench.contestants) {
        const [prefix] = bench.prompts(1, prefixWords);
        for (const contestantPart of ['first', 'again']) {
          const prompts = () => [`${prefix} ${bench.prompts(1, 8)[0]}`];
          const sample = await measured(contestant, { prompts, newTokens: 4 });
          samples.push({ ...sample, contestant: `${contestant.name}, ${contestantPart}` });
        }
      }
      return samples;
    },
  },

  /** From nothing to the first text, as `sallyport serve model-server` starts it. */
  cold: {
    contestants: [],
    round: async (bench) => {
      const firstTextP50Ms = await coldStartMs(bench.file);
      return [{ contestant: 'ours', streams: 1, firstTextP50Ms }];
    },
  },
};

async function measured(contestant, { prompts, newTokens, times = 1, spacingMs = 0 }) {
  const streams = [];
  const before = contestant.usage();
  for (let time = 0; time < times; time++)
    streams.push(...(await contestant.run(prompts(), newTokens, spacingMs)));
  const after = contestant.usage();
  const usage = before && after && { ...after, cpuSeconds: after.cpuSeconds - before.cpuSeconds };
  return { contestant: contestant.name, ...summarise(streams, usage) };
}

async function coldStartMs(file) {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
  const access = await createAccess(folder);
  const port = await freePort();
  const config = join(folder, 'sallyport.yaml');
  // JSON is YAML.
  const section = {
    listen: `127.0.0.1:${port}`,
    gateway_jwks: access.jwksFiles,
    threads: 1,
    models: { 'tiny-gpt2': { path: file } },
  };
  writeFileSync(config, JSON.stringify({ model_server: section }));
  const headers = await access.assertions(1);
  const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
  const startedAt = performance.now();
  const child = spawn(process.execPath, [program, 'serve', 'model-server', '--config', config], {
    cwd: folder,
    stdio: 'ignore',
  });
  try {
    const url = `http://127.0.0.1:${port}/v1/completions`;
    for (let tries = 0; tries < 3000 && child.exitCode === null; tries++) {
      const streams = await load({ url, prompts: ['The door'], maxTokens: 1, headers }).catch(() => null);
      if (streams !== null) return streams[0].texts[0] - startedAt;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error('the model server does not start');
  } finally {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  }
}
