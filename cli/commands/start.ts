// `sallyport start` (npm start): identity, model server and gateway under one supervisor, with embedded defaults.
import { fork, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { isLoopback } from '../../core/address.ts';
import { packageRoot } from '../../core/package.ts';
import { gatewayUrl, identityUrl, loadConfiguration, type Configuration } from '../compose.ts';
import { gatewayEnvironment, gatewayNodeFlags } from '../gateway-process.ts';
import { addStartOptions, readStartOptions, startArguments, type StartOptions } from '../start-options.ts';
import { prepareDataFolder } from '../supervisor/data-folder.ts';
import { lockDataFolder, type DataLock } from '../supervisor/data-lock.ts';
import { preflight } from '../supervisor/preflight.ts';
import { keepInFile, passThrough } from '../supervisor/server-log.ts';
import { describeFailure, StartFailure, type ServerName } from '../supervisor/start-failure.ts';
import {
  jsonReport,
  terminalReport,
  type ReportOptions,
  type StartReport,
} from '../supervisor/start-report.ts';
import { superviseServers, type Supervisor } from '../supervisor/supervisor.ts';
import { stopWithSignals } from '../supervisor/stop-signals.ts';

/** Adds `sallyport start`. */
export function registerStartCommand(program: Command): void {
  configureStart(program.command('start'));
}

/** Describes the command; also used by `npm start`, which has no command tree. */
export function configureStart(command: Command): Command {
  return addStartOptions(command)
    .description('run identity, model server and gateway on this machine')
    .addHelpText('before', 'Example:\n  sallyport start --port 8090\n')
    .action(start);
}

async function start(options: StartOptions): Promise<void> {
  let lock: DataLock | undefined;
  try {
    const swallowed = swallowedByNpm(process.env, []);
    if (swallowed !== undefined) throw new StartFailure(swallowed);
    const configuration = loadConfiguration({ ...readStartOptions(options), env: process.env });
    const servers = presentServers(configuration);
    const isFirstRun = !existsSync(configuration.dataFolder);
    preflight(configuration, servers);
    prepareDataFolder(configuration.dataFolder);
    lock = lockDataFolder(configuration.dataFolder);
    if (configuration.localTls !== undefined) {
      const { prepareLocalTls } = await import('../supervisor/local-authority.ts');
      await prepareLocalTls(configuration.localTls);
    }
    const report = createReport(configuration, servers, isFirstRun);
    const supervisor = supervise({ configuration, servers, options, report });
    stopWithSignals({ supervisor, report, lock });
    await supervisor.started;
  } catch (error) {
    const failure = describeFailure(error, 'gateway');
    process.stderr.write(`${process.stdout.isTTY ? '\r\x1b[K' : ''}${failure.lines.join('\n')}\n`);
    lock?.release();
    process.exit(failure.exitCode);
  }
}

function presentServers(configuration: Configuration): ServerName[] {
  const present: [ServerName, unknown][] = [
    ['identity', configuration.identity],
    ['model-server', configuration.modelServer],
    ['gateway', configuration.gateway],
  ];
  const servers = present.filter(([, section]) => section !== undefined).map(([name]) => name);
  if (servers.length > 0) return servers;
  throw new StartFailure(
    [
      `✗ ${configuration.file} has no section gateway, identity or model_server.`,
      '  Nothing to start; config/sallyport.yaml in the project shows all three.',
    ],
    3,
  );
}

function createReport(
  configuration: Configuration,
  servers: readonly ServerName[],
  isFirstRun: boolean,
): StartReport {
  const { gateway, localTls } = configuration;
  const url = gateway === undefined ? undefined : gatewayUrl(gateway);
  const options: ReportOptions = {
    servers,
    dataFolder: configuration.dataFolder,
    isFirstRun,
    policies: gateway?.policies ?? 'policies',
    isLoopback: gateway === undefined || isLoopback(gateway.listen),
    loginArguments: url === undefined || url === 'http://127.0.0.1:8080' ? '' : `--gateway ${url}`,
    authorityFile: localTls === undefined ? undefined : resolve(localTls.authority),
    write: (text) => void process.stdout.write(text),
  };
  return process.stdout.isTTY ? terminalReport(options) : jsonReport(options);
}

interface Supervision {
  readonly configuration: Configuration;
  readonly servers: readonly ServerName[];
  readonly options: StartOptions;
  readonly report: StartReport;
}

function supervise({ configuration, servers, options, report }: Supervision): Supervisor {
  const isTerminal = process.stdout.isTTY;
  let isComplete = false;
  // While everything starts at once, one server not reaching another yet is no news.
  const warn = (sentence: string): void => {
    if (isComplete) report.note('!', sentence);
  };
  const supervisor = superviseServers({
    servers,
    spawn: (server) => forkServer(server, options),
    report,
    place: (server, address) => placeOf(server, address, configuration),
    takeLine: (server) =>
      isTerminal
        ? keepInFile(server, configuration.dataFolder, warn)
        : passThrough((text) => void process.stderr.write(text)),
    secondsSinceStart: () => performance.now() / 1000,
    drainMs: configuration.gateway?.drain_ms ?? 10_000,
  });
  const completed = (): void => void (isComplete = true);
  supervisor.started.then(completed, completed);
  return supervisor;
}

function forkServer(server: ServerName, options: StartOptions): ChildProcess {
  const ending = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const entry = fileURLToPath(new URL(`../supervisor/server-process.${ending}`, import.meta.url));
  return fork(entry, [server, ...startArguments(options)], {
    detached: true, // A process group of its own: Ctrl-C reaches the supervisor alone.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    execArgv: [
      ...process.execArgv,
      '--disable-warning=ExperimentalWarning',
      ...(server === 'gateway' ? gatewayNodeFlags(process.env) : []),
    ],
    env: server === 'gateway' ? gatewayEnvironment(process.env) : process.env,
  });
}

function placeOf(
  server: ServerName,
  address: string,
  configuration: Configuration,
): { place: string; detail: string } {
  const { gateway, identity, modelServer } = configuration;
  if (server === 'gateway' && gateway !== undefined) return { place: gatewayUrl(gateway), detail: '' };
  if (server === 'identity' && identity !== undefined) return { place: identityUrl(identity), detail: '' };
  return { place: address, detail: Object.keys(modelServer?.models ?? {}).join(', ') };
}

/**
 * The lines for `npm start --port 8090` without `--`, which gives the flag to npm: npm drops it, and may leave its value
 * as a word; the start would ignore what was asked. Undefined when npm kept nothing.
 */
export function swallowedByNpm(
  env: NodeJS.ProcessEnv,
  words: readonly string[],
): readonly string[] | undefined {
  if (env['npm_lifecycle_event'] !== 'start' || !existsSync(packageRoot)) return undefined;
  const flag = ['port', 'tls', 'model', 'data', 'config'].find(
    (name) => (env[`npm_config_${name}`] ?? '') !== '',
  );
  if (flag === undefined) return undefined;
  const value = env[`npm_config_${flag}`];
  const shown = [`--${flag}`, ...(value === 'true' ? words : [value])].join(' ');
  return [`✗ npm kept --${flag} for itself.`, `  Put two dashes before it:  npm start -- ${shown}`];
}
