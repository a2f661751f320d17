// A private redis-server for one test file, on a Unix socket in a folder of its own, gone when the test ends.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Null when redis-server is here, else why its tests are skipped. With SALLYPORT_REQUIRE_SERVICES=1 they fail instead. */
export const redisMissing: string | null =
  spawnSync('redis-server', ['--version']).status === 0 || process.env['SALLYPORT_REQUIRE_SERVICES'] === '1'
    ? null
    : 'redis-server is not installed';

export interface PrivateRedis {
  /** Path of the Unix socket, which ioredis takes as a URL. */
  readonly url: string;
  /** The same as a setting: `file:` and a file that holds the path. */
  readonly setting: string;
  /** Stops it from answering, with its connections kept open (SIGSTOP). */
  hang(): void;
  /** Ends the hanging. */
  resume(): void;
  /** kill -9. */
  kill(): Promise<void>;
  /** Starts it again, empty. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** Starts a redis-server that keeps nothing on disk. */
export async function startRedis(): Promise<PrivateRedis> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-redis-'));
  const socket = join(folder, 'redis.sock');
  let child = await start(folder, socket);
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.ref();
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  };
  // A test that fails in its hooks must not leave a server behind, which would also keep its runner waiting.
  process.once('exit', () => child.kill('SIGKILL'));
  writeFileSync(join(folder, 'url'), socket);
  return {
    url: socket,
    setting: `file:${join(folder, 'url')}`,
    hang: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    kill,
    async restart() {
      await kill();
      rmSync(socket, { force: true });
      child = await start(folder, socket);
    },
    async close() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function start(folder: string, socket: string): Promise<ChildProcess> {
  const options = [
    '--port',
    '0',
    '--unixsocket',
    socket,
    '--unixsocketperm',
    '700',
    '--save',
    '',
    '--dir',
    folder,
  ];
  const child = spawn('redis-server', options, { stdio: 'ignore' });
  // A machine that stands still for seconds is no reason to fail; a server that never listens is.
  for (let attempt = 0; !existsSync(socket); attempt++) {
    if (child.exitCode !== null || attempt === 1_000) {
      child.kill('SIGKILL');
      throw new Error('redis-server does not start');
    }
    await delay(20);
  }
  child.unref();
  return child;
}
