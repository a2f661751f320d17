// Starts what is compared, each in processes of its own, and knows how to ask each for completions and for its CPU time.
import { fork, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAccess } from './access.mjs';
import { cacheFolder } from './gpt2-file.mjs';
import { load } from './load.mjs';
import { treeUsage } from './process-tree.mjs';

/** Where llama.cpp's own server is, or null. */
export function llamaServerPath() {
  const path = process.env.SALLYPORT_BENCH_LLAMA_SERVER ?? join(cacheFolder(), 'llama-server', 'llama-server');
  return existsSync(path) ? path : null;
}

/**
 * A bench with one model file. A contestant is `{ name, run(prompts, maxTokens, spacingMs) → streams, usage() }` and is
 * started when it is first asked for; an idle one costs nothing.
 */
export async function createWorkbench({ file, context, sequences }) {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
  const access = await createAccess(folder);
  const children = [];
  const started = new Map();
  let server;

  const part = async (name, options) => {
    const program = new URL(`./contestants/${name}.mjs`, import.meta.url);
    const child = fork(program, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    children.push(child);
    let lastLines = '';
    child.stderr.on('data', (piece) => (lastLines = `${lastLines}${piece}`.slice(-2000)));
    const answer = await ask(child, { start: options }, name).catch((error) => {
      throw new Error(`${error.message}\n${lastLines}`);
    });
    return { child, ...answer.started };
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
    const { child, url } = await part('model-server', { file, jwks: access.jwksFiles, model: settings });
    return { url, children: [child], headers: access.assertions };
  };

  const starters = {
    ours: async () => {
      server = await modelServer();
      return overHttp(server);
    },
    'ours, two processes': async () => overHttp(await modelServer({ processes: 2, sequences: sequences / 2 })),
    // The same model server process as `ours`, so that nothing but the gateway differs.
    'gateway + ours': async () => {
      await get('ours');
      const { url: upstream, children: behind } = server;
      const issuer = await access.startIssuer();
      const options = { folder, jwks: access.gatewayJwks, issuer, upstream };
      const { child, url } = await part('gateway', options);
      const guarded = overHttp({ url, children: [child, ...behind], headers: access.bearers });
      await untilGuarding(url, () => guarded.run(['a door'], 1));
      return guarded;
    },
    'in process': async () => {
      const { child } = await part('in-process', { file, context, sequences });
      return {
        run: async (prompts, maxTokens) =>
          (await ask(child, { generate: { prompts, maxTokens } }, 'in process')).streams,
        usage: () => usageOf([child]),
      };
    },
    'node default': async () => {
      const { child, url } = await part('node-default', { file, context, sequences });
      return overHttp({ url, children: [child] });
    },
    'llama-server': async () => overHttp(await startLlamaServer()),
  };

  /** min_p 0: its default of 0.05 would be a fourth filter that the others do not have. */
  const startLlamaServer = async () => {
    const port = await freePort();
    const words = `--host 127.0.0.1 --port ${port} -c ${context * sequences} -np ${sequences} -t 1 -tb 1 --log-disable`;
    const child = spawn(llamaServerPath(), ['-m', file, ...words.split(' ')], { stdio: 'ignore' });
    children.push(child);
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
      for (const child of children) child.kill('SIGTERM');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Sends a message to a part and resolves with its next answer. */
export function ask(child, message, name) {
  return new Promise((resolve, reject) => {
    const onMessage = (answer) => {
      child.off('exit', onExit);
      if (answer.failed === undefined) resolve(answer);
      else reject(new Error(`${name}: ${answer.failed}`));
    };
    const onExit = () => reject(new Error(`${name} has ended`));
    child.once('message', onMessage);
    child.once('exit', onExit);
    child.send(message);
  });
}

/** CPU and memory of several process trees together. */
function usageOf(processes) {
  const usages = processes.map(({ pid }) => treeUsage(pid));
  if (usages.includes(null)) return null;
  return {
    cpuSeconds: usages.reduce((total, usage) => total + usage.cpuSeconds, 0),
    residentBytes: usages.reduce((total, usage) => total + usage.residentBytes, 0),
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
    const failure = await complete().then(() => null, (error) => error);
    if (failure === null) break;
    if (tries === 50) throw failure;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const answer = await fetch(`${url}/v1/completions`, { method: 'POST', body: '{}' });
  if (answer.status !== 401) throw new Error(`the gateway answered ${answer.status} to a stranger`);
}

/** A port that was free a moment ago. */
export function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
