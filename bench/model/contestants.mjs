// Starts what is compared, each in processes of its own, and knows how to ask each for completions and for its CPU time.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  canReadProcesses,
  cpuOf,
  freePort,
  memoryOf,
  startNodePart,
  startProgram,
} from '../harness/processes.mjs';
import { createAccess } from './access.mjs';
import { cacheFolder, gpt2Vocabulary } from './gpt2-file.mjs';
import { load } from './load.mjs';

/** Where llama.cpp's own server is, or null. */
export function llamaServerPath() {
  const path =
    process.env.SALLYPORT_BENCH_LLAMA_SERVER || join(cacheFolder(), 'llama-server', 'llama-server');
  return existsSync(path) ? path : null;
}

/** A Python that has what the service needs, or null. */
export function pythonPath() {
  const path = process.env.SALLYPORT_BENCH_PYTHON || 'python3';
  const modules = 'import bcrypt, fastapi, jwt, multipart, torch, transformers, uvicorn';
  return spawnSync(path, ['-c', modules], { stdio: 'ignore' }).status === 0 ? path : null;
}

/**
 * A bench with one model file. A contestant is `{ name, run(prompts, maxTokens, spacingMs) → streams, usage() }` and is
 * started when it is first asked for; an idle one costs nothing.
 */
export async function createWorkbench({ file, context, sequences, kernels }) {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
  const access = await createAccess(folder);
  const children = [];
  const started = new Map();
  let server;

  const part = async (name, options) => {
    const child = await startNodePart(`model/contestants/${name}.mjs`, options);
    children.push(child);
    return child;
  };

  const overHttp = ({ url, children: processes, headers = () => [], members = {} }) => ({
    run: async (prompts, maxTokens, spacingMs = 0) =>
      load({
        url: `${url}/v1/completions`,
        prompts,
        maxTokens,
        spacingMs,
        headers: await headers(prompts.length),
        members,
      }),
    usage: () => usageOf(processes),
  });

  const modelServer = async (model = {}) => {
    const settings = { context, sequences, ...model };
    const child = await part('model-server', { file, jwks: access.jwksFiles, model: settings });
    return { url: child.url, children: [child], headers: access.assertions };
  };

  const starters = {
    ours: async () => {
      server = await modelServer();
      return overHttp(server);
    },
    'ours, two engines': async () => overHttp(await modelServer({ engines: 2, sequences: sequences / 2 })),
    'ours, other kernels': async () => overHttp(await modelServer({ cpu_kernels: kernels })),
    // The same model server process as `ours`, so that nothing but the gateway differs.
    'gateway + ours': async () => {
      await get('ours');
      const { url: upstream, children: behind } = server;
      const issuer = await access.startIssuer();
      const options = { folder, jwks: access.gatewayJwks, issuer, upstream };
      const child = await part('gateway', options);
      const guarded = overHttp({ url: child.url, children: [child, ...behind], headers: access.bearers });
      await untilGuarding(child.url, () => guarded.run(['a door'], 1));
      return guarded;
    },
    'in process': async () => {
      const child = await part('in-process', { file, context, sequences });
      return {
        run: (prompts, maxTokens) => child.ask({ generate: { prompts, maxTokens } }, 'generate'),
        usage: () => usageOf([child]),
      };
    },
    'node default': async () => {
      const child = await part('node-default', { file, context, sequences });
      return overHttp({ url: child.url, children: [child] });
    },
    'llama-server': async () => overHttp(await startLlamaServer()),
    'python service': startPythonService,
  };

  /** Answers are whole, so that its first text is its last. */
  async function startPythonService() {
    const port = await freePort();
    const program = fileURLToPath(new URL('contestants/python_service.py', import.meta.url));
    const words = [pythonPath(), program, '--port', String(port), '--vocabulary', gpt2Vocabulary()];
    const child = await startProgram(words, port);
    children.push(child);
    const origin = `http://127.0.0.1:${port}`;
    const credentials = new URLSearchParams({ username: 'bench', password: 'bench' });
    const answer = await fetch(`${origin}/token`, { method: 'POST', body: credentials });
    const { access_token: accessToken } = await answer.json();
    const url = `${origin}/generate`;
    const authorization = `Bearer ${accessToken}`;
    return {
      run: (prompts, maxTokens) =>
        load({ url, prompts, maxTokens, headers: prompts.map(() => ({ authorization })) }),
      usage: () => usageOf([child]),
    };
  }

  /** min_p 0: its default of 0.05 would be a fourth filter that the others do not have. */
  const startLlamaServer = async () => {
    const port = await freePort();
    const words = `--host 127.0.0.1 --port ${port} -c ${context * sequences} -np ${sequences} -t 1 -tb 1 --log-disable`;
    const child = spawn(llamaServerPath(), ['-m', file, ...words.split(' ')], { stdio: 'ignore' });
    children.push({ stop: () => child.kill('SIGTERM') });
    const url = `http://127.0.0.1:${port}`;
    await untilHealthy(`${url}/health`, child);
    return { url, children: [child], members: { min_p: 0 } };
  };

  const get = (name) => {
    if (!started.has(name)) {
      const starting = starters[name]().then((contestant) => ({ name, ...contestant }));
      started.set(name, starting);
    }
    return started.get(name);
  };
  return {
    get,
    close: async () => {
      access.close();
      for (const child of children) child.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** CPU and memory of several process trees together; null where there is no /proc. */
function usageOf(processes) {
  if (!canReadProcesses) return null;
  return {
    cpuSeconds: processes.reduce((total, { pid }) => total + cpuOf(pid), 0) / 1e6,
    memoryBytes: processes.reduce((total, { pid }) => total + memoryOf(pid), 0),
  };
}

async function untilHealthy(url, child) {
  for (let tries = 0; tries < 600 && child.exitCode === null; tries++) {
    const isHealthy = await fetch(url).then(
      (answer) => answer.ok,
      () => false,
    );
    if (isHealthy) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${url}: llama-server does not start`);
}

/** Keys are fetched in the background; and a gateway that lets strangers in would be measured for nothing. */
async function untilGuarding(url, complete) {
  for (let tries = 0; ; tries++) {
    const failure = await complete().then(
      () => null,
      (error) => error,
    );
    if (failure === null) break;
    if (tries === 50) throw failure;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const answer = await fetch(`${url}/v1/completions`, { method: 'POST', body: '{}' });
  if (answer.status !== 401) throw new Error(`the gateway answered ${answer.status} to a stranger`);
}
