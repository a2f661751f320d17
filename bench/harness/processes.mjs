// Starts the parts of a bench as processes of their own, pinned to a core where taskset exists, and reads what they cost
// from /proc: the processor time of a whole process tree, whatever language it is written in.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { gatewayEnvironment, gatewayNodeFlags } from '../../cli/gateway-process.ts';

/** Core of the contestant, and core of the load with its upstream; null: nothing is pinned. */
export const cores =
  process.platform === 'linux' && availableParallelism() >= 2 && isInstalled('taskset', ['--version'])
    ? { contestant: 0, load: 1 }
    : null;

/** Whether a program can be run. */
export function isInstalled(program, words) {
  return spawnSync(program, words, { stdio: 'ignore' }).error === undefined;
}

const running = new Set();

/** Ends everything that was started here. */
export function endAll() {
  for (const child of running) {
    if (child.connected) child.disconnect();
    else child.kill('SIGTERM');
  }
}

/** How the process of a gateway is started: as `sallyport serve gateway` and the supervisor start it. */
export const asGateway = {
  execArgv: [...gatewayNodeFlags(process.env)],
  env: gatewayEnvironment(process.env),
};

function start(words, stdio, { core, env = process.env }) {
  const [program, ...rest] =
    core === null || cores === null ? words : ['taskset', '-c', String(core), ...words];
  const child = spawn(program, rest, { stdio, env });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/** Starts a Node part (a file that calls `ready`) and waits until it listens. */
export async function startNodePart(file, options = {}, { core = null, execArgv = [], env } = {}) {
  const path = new URL(`../${file}`, import.meta.url).pathname;
  const child = start([process.execPath, ...execArgv, path], ['ignore', 'ignore', 'pipe', 'ipc'], {
    core,
    env,
  });
  let said = '';
  child.stderr.on('data', (bytes) => (said = (said + bytes).slice(-2_000)));
  // One question at a time; an answer is `{ [member]: … }`.
  const ask = (message, member) =>
    new Promise((resolve, reject) => {
      const done = () => {
        child.off('message', listen);
        child.off('exit', gone);
        child.off('error', reject);
      };
      const listen = (reply) => {
        if (reply.failed === undefined && reply[member] === undefined) return;
        done();
        if (reply.failed !== undefined) reject(new Error(`${file}: ${reply.failed}`));
        else resolve(reply[member]);
      };
      const gone = () => reject(new Error(`${file} has ended: ${said.trim()}`));
      child.on('message', listen);
      child.once('exit', gone);
      child.once('error', reject);
      child.send(message);
    });
  const started = await ask({ start: options }, 'started');
  return { ...started, pid: child.pid, ask, stop: () => child.disconnect() };
}

/** Starts a program that is not ours and waits until its port answers. */
export async function startProgram(words, port, { core = null, env } = {}) {
  const child = start(words, ['ignore', 'ignore', 'pipe'], { core, env });
  let said = '';
  child.stderr.on('data', (bytes) => (said = (said + bytes).slice(-2_000)));
  let problem = null;
  child.once('error', (error) => (problem = error.message));
  child.once('exit', (code) => (problem = `it ended with ${code}: ${said.trim()}`));
  for (let tries = 0; tries < 300; tries++) {
    if (problem !== null) throw new Error(`${words[0]}: ${problem}`);
    if (await answers(port)) return { port, pid: child.pid, stop: () => child.kill('SIGTERM') };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${words[0]} does not listen on ${port}: ${said.trim()}`);
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true));
    socket.on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}

/** A loopback port that is free now; for programs that cannot say which one they took. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

const ticksPerSecond = Number(spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).stdout) || 100;

/** Fields of /proc/<pid>/stat from the state on; null when the process has gone. */
function statOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

function treeOf(root) {
  const parents = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => [Number(name), Number(statOf(name)?.[1] ?? 0)]);
  const tree = [root];
  for (let index = 0; index < tree.length; index++)
    for (const [pid, parent] of parents) if (parent === tree[index]) tree.push(pid);
  return tree;
}

/** Whether the processor time of other processes can be read here. */
export const canReadProcesses = existsSync('/proc/self/stat');

/** Processor time of a process and its children, user and system, µs. */
export function cpuOf(pid) {
  return treeOf(pid).reduce((sum, each) => sum + (scheduledOf(each) ?? tickedOf(each)), 0);
}

/** By the scheduler's own count in nanoseconds, over all threads; null where the kernel does not keep it. */
export function scheduledOf(pid) {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    const times = threads.map((thread) => readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1'));
    return times.reduce((sum, text) => sum + Number(text.split(' ', 1)[0]), 0) / 1000;
  } catch {
    return null;
  }
}

/** utime and stime of proc(5), in steps of a clock tick (10 ms); 0 when the process has gone. */
export function tickedOf(pid) {
  const fields = statOf(pid);
  return fields === null ? 0 : ((Number(fields[11]) + Number(fields[12])) / ticksPerSecond) * 1e6;
}

/** Proportional set size of a process tree, bytes: shared pages count once. */
export function memoryOf(pid) {
  let kibibytes = 0;
  for (const each of treeOf(pid)) {
    try {
      kibibytes += Number(
        /^Pss: +(\d+)/m.exec(readFileSync(`/proc/${each}/smaps_rollup`, 'latin1'))?.[1] ?? 0,
      );
    } catch {
      kibibytes += Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${each}/status`, 'latin1'))?.[1] ?? 0);
    }
  }
  return kibibytes * 1024;
}
