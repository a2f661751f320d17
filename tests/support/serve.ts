// `sallyport serve …` from the sources, each server a process of its own with its own YAML file, as in production.
import { spawn } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { packageRoot } from '../../core/package.ts';
import { watch, type StartedProcess } from './start-process.ts';

export type ServerName = 'gateway' | 'identity' | 'model-server';

export interface Served {
  /** The process that runs now. */
  readonly process: () => StartedProcess;
  /** Everything that all processes so far have said. */
  readonly output: () => string;
  readonly start: () => void;
  /** SIGTERM; resolves with the exit code. */
  readonly stop: () => Promise<number | null>;
  /** kill -9. */
  readonly kill: () => Promise<void>;
  readonly signal: (signal: NodeJS.Signals) => void;
}

/** Starts one server; `wrapper` is a command that runs it, such as `sh -c 'ulimit …; exec "$@"' sh`. */
export function serve(
  server: ServerName,
  configFile: string,
  { wrapper = [] }: { wrapper?: readonly string[] } = {},
): Served {
  const past: StartedProcess[] = [];
  const current = (): StartedProcess => {
    const last = past.at(-1);
    if (last === undefined) throw new Error(`${server} was not started`);
    return last;
  };
  const words = [process.execPath, join(packageRoot, 'cli/main.ts'), 'serve', server, '--config', configFile];
  const start = (): void => {
    const [program = process.execPath, ...rest] = [...wrapper, ...words];
    past.push(watch(spawn(program, rest, { cwd: packageRoot, stdio: ['ignore', 'pipe', 'pipe'] })));
  };
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    const { child, ended } = current();
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    return ended;
  };
  start();
  process.once('exit', () => past.forEach(({ child }) => child.kill('SIGKILL')));
  return {
    process: current,
    output: () => past.map(({ output }) => output()).join(''),
    start,
    stop: () => end('SIGTERM'),
    kill: async () => {
      await end('SIGKILL');
    },
    signal: (signal) => void current().child.kill(signal),
  };
}

/** A port of loopback that is free now. */
export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo; // A TCP server has an address and port.
      server.close(() => resolve(port));
    });
  });
}

/** Settles when something has come to hold; a minute is far more than anything here takes. */
export async function eventually(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  for (let attempt = 0; attempt < 1_200; attempt++) {
    if (await holds()) return;
    await sleep(50);
  }
  throw new Error(`it never came to hold: ${what}`);
}

/** Status of an address, 0 while nothing answers there. */
export async function statusOf(url: string): Promise<number> {
  try {
    const response = await fetch(url, { headers: { connection: 'close' } });
    await response.arrayBuffer();
    return response.status;
  } catch {
    return 0;
  }
}
