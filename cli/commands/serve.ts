// `sallyport serve gateway|identity|model-server`: one server in this process, for production and for the supervisor.
import cluster from 'node:cluster';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { Argument, type Command } from 'commander';
import type { ListenAddress } from '../../core/address.ts';
import { loadConfiguration, type Configuration } from '../compose.ts';
import { addStartOptions, readStartOptions, type StartOptions } from '../start-options.ts';
import { preflight } from '../supervisor/preflight.ts';
import { describeFailure, StartFailure, type ServerName } from '../supervisor/start-failure.ts';
import { tellSupervisor } from '../supervisor/supervisor.ts';

interface RunningServer {
  readonly address: string;
  close(): Promise<void>;
  readonly reload?: () => void;
  readonly active?: () => number;
}

const names = ['gateway', 'identity', 'model-server'] as const satisfies readonly ServerName[];
// How long the gateway waits for identity and model server to come up before it calls itself ready.
const neighboursMs = 5000;
// A supervisor that died leaves its servers this long to finish.
const orphanMs = 1000;
// One Ctrl-C comes twice under npx: from the terminal, and passed on by npm.
const echoMs = 50;

/** Adds `sallyport serve`. */
export function registerServeCommand(program: Command): void {
  configureServe(program.command('serve'));
}

/** Describes the command; also used by the process that the supervisor starts. */
export function configureServe(command: Command): Command {
  return addStartOptions(command)
    .description('run one server in the foreground, for production')
    .addArgument(new Argument('<server>', 'which one').choices(names))
    .addHelpText('before', 'Example:\n  sallyport serve gateway --config /etc/sallyport/gateway.yaml\n')
    .action(async (server: ServerName, options: StartOptions) => serve(server, options));
}

/** Runs a server until a signal stops it; a start that fails sets the exit code. */
export async function serve(server: ServerName, options: StartOptions): Promise<void> {
  const isSupervised = process.send !== undefined;
  // A supervisor that dies while this server still starts must not leave it behind.
  const orphaned = (): never => process.exit(1);
  if (isSupervised) process.on('disconnect', orphaned);
  let configuration: Configuration | undefined;
  let running: RunningServer;
  try {
    configuration = loadConfiguration({ ...readStartOptions(options), env: process.env });
    preflight(configuration, [server]);
    running = await startServer(server, configuration, isSupervised);
  } catch (error) {
    fail(describeFailure(error, server, configuration), isSupervised);
    return;
  }
  process.off('disconnect', orphaned);
  stopOnSignals(running, isSupervised);
  tellSupervisor({ event: 'ready', address: running.address });
}

async function startServer(
  server: ServerName,
  configuration: Configuration,
  isSupervised: boolean,
): Promise<RunningServer> {
  switch (server) {
    case 'gateway': {
      const { startGateway } = await import('../../gateway/server.ts');
      const gateway = await startGateway(section(configuration.gateway, server, configuration));
      // Under the supervisor `ready` means that a request would be answered: its neighbours start at the same time.
      if (isSupervised && !cluster.isWorker) await gateway.settled(neighboursMs);
      return gateway;
    }
    case 'identity': {
      const { startIdentity } = await import('../../identity/server.ts');
      const firstAdministrator = (username: string, password: string): void => {
        tellSupervisor({ event: 'first_administrator', username, password });
      };
      // Without the hook the identity server writes the password to a file of mode 0600.
      const hooks = isSupervised ? { firstAdministrator } : {};
      return startIdentity(section(configuration.identity, server, configuration), hooks);
    }
    case 'model-server': {
      const { startModelServer } = await import('../../model-server/server.ts');
      const modelServer = section(configuration.modelServer, server, configuration);
      makeSocketFolder(modelServer.listen);
      return startModelServer(modelServer);
    }
  }
}

function section<T>(value: T | undefined, server: ServerName, configuration: Configuration): T {
  if (value !== undefined) return value;
  const key = server.replace('-', '_');
  throw new StartFailure(
    [
      `✗ There is no section ${key} in ${configuration.file}.`,
      '  Add it, or name another file with --config.',
    ],
    3,
  );
}

function makeSocketFolder(listen: ListenAddress): void {
  if (listen.kind === 'unix') mkdirSync(dirname(listen.path), { recursive: true, mode: 0o700 });
}

function fail(failure: StartFailure, isSupervised: boolean): void {
  process.exitCode = failure.exitCode;
  // A worker of node:cluster has a channel, too, but its primary does not listen for this.
  if (!isSupervised || cluster.isWorker) {
    process.stderr.write(`${failure.lines.join('\n')}\n`);
    process.exit();
  }
  // The channel must have carried the message before the process ends.
  process.send?.({ event: 'failed', lines: failure.lines, exitCode: failure.exitCode }, undefined, {}, () =>
    process.exit(),
  );
}

function stopOnSignals(running: RunningServer, isSupervised: boolean): void {
  let stoppingSince: number | undefined;
  const isUnderNpm = process.env['npm_lifecycle_event'] !== undefined;
  const stop = (limitMs?: number, canEcho = false): void => {
    if (stoppingSince !== undefined) {
      if (canEcho && isUnderNpm && performance.now() - stoppingSince < echoMs) return;
      process.exit(1); // Twice means now.
    }
    stoppingSince = performance.now();
    const open = running.active?.() ?? 0;
    if (open > 0) tellSupervisor({ event: 'draining', open });
    if (limitMs !== undefined) setTimeout(() => process.exit(1), limitMs).unref();
    running.close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on('SIGTERM', () => stop());
  process.on('SIGHUP', () => running.reload?.());
  if (isSupervised) {
    process.on('SIGINT', () => undefined); // The supervisor answers Ctrl-C.
    process.on('disconnect', () => stop(orphanMs));
  } else {
    process.on('SIGINT', () => stop(undefined, true));
  }
}
