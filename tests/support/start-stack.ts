// Everything, as `npm start` runs it: the supervisor with identity, model server and gateway as processes of their own,
// on free ports, with data in a folder of its own.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../core/package.ts';

export interface TestStack {
  readonly url: string;
  /** Folder that stands for the user's home: state of the CLI, data of the servers. */
  readonly home: string;
  readonly data: string;
  readonly administrator: { readonly username: string; readonly password: string };
  /** Environment for the CLI and the examples. */
  readonly environment: NodeJS.ProcessEnv;
  /** Starts `sallyport …` the way a user does. */
  command(...words: string[]): ChildProcess;
  /** Runs `sallyport …` to its end. */
  run(...words: string[]): { status: number | null; stdout: string; stderr: string };
  close(): Promise<void>;
}

/** Starts it and resolves when it is ready. */
export async function startStack(flags: readonly string[] = []): Promise<TestStack> {
  const home = mkdtempSync(join(tmpdir(), 'sallyport-stack-'));
  const data = join(home, 'data');
  const port = await freePorts();
  const scheme = flags.includes('--tls') ? 'https' : 'http';
  const url = `${scheme}://127.0.0.1:${port}`;
  const environment: NodeJS.ProcessEnv = {
    ...process.env,
    SALLYPORT_STATE_DIR: join(home, 'state'),
    XDG_CONFIG_HOME: join(home, 'config'), // Not the developer's own profile.
    SALLYPORT_URL: url,
    ...(scheme === 'https' ? { NODE_EXTRA_CA_CERTS: join(data, 'tls', 'ca.pem') } : {}),
  };
  const supervisor = spawn(
    process.execPath,
    [join(packageRoot, 'dist/cli/main.js'), 'start', '--port', String(port), '--data', data, ...flags],
    {
      cwd: packageRoot,
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let output = '';
  await new Promise<void>((resolve, reject) => {
    const read = (chunk: Buffer): void => {
      output += chunk.toString();
      if (output.includes('"event":"ready"')) resolve();
    };
    supervisor.stdout.on('data', read);
    supervisor.stderr.on('data', read);
    supervisor.once('exit', (code) => reject(new Error(`the start ended with ${code}:\n${output}`)));
  });
  const passwordFile = [join(data, 'first-admin'), join(data, 'identity', 'first-admin')].find((path) =>
    existsSync(path),
  );
  const password =
    passwordFile === undefined
      ? ''
      : (/[a-z]+(?:-[a-z0-9]+){3,}/.exec(readFileSync(passwordFile, 'utf8'))?.[0] ?? '');
  const bin = join(packageRoot, 'bin/sallyport');
  return {
    url,
    home,
    data,
    administrator: { username: 'admin', password },
    environment,
    command: (...words) =>
      spawn(bin, words, { cwd: packageRoot, env: environment, stdio: ['ignore', 'pipe', 'pipe'] }),
    run(...words) {
      const { status, stdout, stderr } = spawnSync(bin, words, {
        cwd: packageRoot,
        env: environment,
        encoding: 'utf8',
        timeout: 60_000,
      });
      return { status, stdout, stderr };
    },
    async close() {
      if (supervisor.exitCode === null && supervisor.signalCode === null) {
        const ended = new Promise((resolve) => supervisor.once('exit', resolve));
        supervisor.kill('SIGTERM');
        await ended;
      }
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** A port whose successor is free too: gateway and identity stand side by side. */
async function freePorts(): Promise<number> {
  for (;;) {
    const port = await tryPort(0);
    if (port !== null && port < 65_000 && (await tryPort(port + 1)) !== null) return port;
  }
}

function tryPort(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen(port, '127.0.0.1', () => {
      const found = (server.address() as AddressInfo).port; // A TCP server has a port.
      server.close(() => resolve(found));
    });
  });
}
