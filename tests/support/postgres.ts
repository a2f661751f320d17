// A private PostgreSQL for tests: own folder, own port on loopback, no password, gone afterwards.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface TestPostgres {
  /** URL of an empty database. */
  readonly url: string;
  /** Makes another empty database and returns its URL. */
  createDatabase(): Promise<string>;
  /** Ends it at once, as a crash would; connections break. */
  kill(): Promise<void>;
  /** Starts it again at the same address with what it holds. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Folder with initdb and postgres, newest version first; null when there is none. */
export function postgresBinaries(): string | null {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
  const debian = versions.map((version) => join(root, version, 'bin'));
  const elsewhere = (process.env['PATH'] ?? '').split(':');
  return (
    [...debian, ...elsewhere].find(
      (folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')),
    ) ?? null
  );
}

/** Why tests that need PostgreSQL are skipped, or false; with SALLYPORT_REQUIRE_SERVICES=1 they are not skipped. */
export function skipWithoutPostgres(): string | false {
  if (postgresBinaries() !== null || process.env['SALLYPORT_REQUIRE_SERVICES'] === '1') return false;
  return 'PostgreSQL is not installed';
}

/** Starts the server; as root it runs as the `postgres` system account, since PostgreSQL refuses root. */
export async function startPostgres(): Promise<TestPostgres> {
  const binaries = postgresBinaries();
  if (binaries === null) throw new Error('PostgreSQL is not installed');
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-postgres-'));
  const runAs = systemAccount();
  if (runAs.uid !== undefined && runAs.gid !== undefined) chownSync(folder, runAs.uid, runAs.gid);
  const cluster = join(folder, 'cluster');
  execFileSync(
    join(binaries, 'initdb'),
    [
      '--pgdata',
      cluster,
      '--auth',
      'trust',
      '--username',
      'sallyport',
      '--encoding',
      'UTF8',
      '--no-sync',
      '--locale',
      'C',
    ],
    { stdio: 'ignore', cwd: folder, ...runAs },
  );
  const port = await freePort();
  const settings = {
    fsync: 'off',
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: folder,
    max_connections: '60',
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const spawnServer = (): ChildProcess =>
    spawn(join(binaries, 'postgres'), ['-D', cluster, ...flags], { stdio: 'ignore', cwd: folder, ...runAs });
  let server = spawnServer();
  // A test that fails in its hooks must not leave a server behind.
  process.once('exit', () => server.kill('SIGQUIT'));
  const kill = async (): Promise<void> => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const exited = once(server, 'exit');
    server.kill('SIGQUIT');
    await exited;
  };
  const url = (name: string): string => `postgres://sallyport@127.0.0.1:${port}/${name}`;
  const createDatabase = async (): Promise<string> => {
    const name = `test_${process.hrtime.bigint()}`;
    await withClient(url('postgres'), `create database ${name}`);
    return url(name);
  };
  try {
    await ready(url('postgres'));
    return {
      url: await createDatabase(),
      createDatabase,
      kill,
      restart: async () => {
        await kill();
        server = spawnServer();
        await ready(url('postgres'));
      },
      stop: async () => {
        await kill();
        rmSync(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await kill();
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

function systemAccount(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const id = (flag: string): number => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

async function withClient(url: string, statement: string): Promise<void> {
  const { default: pg } = await import('pg');
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

async function ready(url: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await withClient(url, 'select 1');
      return;
    } catch (error) {
      if (attempt > 150) throw error;
      await sleep(100);
    }
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
