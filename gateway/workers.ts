// A gateway of several processes on one listener (`gateway.workers`). The primary holds the rate-limit counters and the
// sum of the metrics, restarts a worker that dies, and takes no request itself. Each worker runs the command that
// started the primary and is a whole gateway with an audit chain of its own.
import cluster, { type Worker } from 'node:cluster';
import type { AddressInfo } from 'node:net';
import { formatAddress } from '../core/address.ts';
import type { Logger } from '../core/log.ts';
import { createServer } from '../core/node-http.ts';
import { createPrimaryMetrics } from './accounting/worker-metrics.ts';
import type { GatewayConfig } from './config.ts';
import { openAssertionSigner } from './forward/assertion.ts';
import { judgeCandidate } from './policies/candidate.ts';
import { policyContext } from './policies/context.ts';
import type { RunningGateway } from './server.ts';

const restartMs = 1_000;

/**
 * Starts the workers and resolves when all of them listen.
 * @throws ConfigurationError for policies with a fault; Error when a worker ends before it listens
 */
export async function startWorkers(config: GatewayConfig, log: Logger): Promise<RunningGateway> {
  // A fault or a failing test is told once, here, not by every worker.
  judgeCandidate({
    directory: config.policies,
    context: policyContext(config),
    requireTests: config.require_tests,
  });
  await openAssertionSigner({ folder: config.data, jwksFile: config.assertion_jwks }); // One key, made before it is shared.
  if (config.redis === undefined) (await import('./limit/cluster-host.ts')).hostClusterCounters();
  const metrics = createPrimaryMetrics();
  let stopping = false;

  const addresses = await Promise.all(
    Array.from({ length: config.workers }, () => listening(cluster.fork())),
  );
  cluster.on('exit', (worker, code, signal) => {
    if (stopping) return;
    log.error({ worker: worker.id, code, signal }, `a worker ended; another starts in ${restartMs} ms`);
    setTimeout(() => {
      if (!stopping) cluster.fork();
    }, restartMs);
  });

  const internal = createServer((request, response) => {
    if (request.url !== '/metrics') {
      response
        .writeHead(request.url === '/healthz' ? 200 : 404, { 'content-type': 'application/json' })
        .end('{}');
      return;
    }
    metrics.render().then(
      ({ contentType, body }) => response.writeHead(200, { 'content-type': contentType }).end(body),
      () => response.writeHead(503).end(),
    );
  });
  const { internal_listen: where } = config;
  await new Promise<void>((resolve, reject) => {
    internal.once('error', reject);
    if (where.kind === 'unix') internal.listen(where.path, resolve);
    else internal.listen(where.port, where.host, resolve);
  });

  const each = (act: (worker: Worker) => void): void => {
    for (const worker of Object.values(cluster.workers ?? {})) if (worker !== undefined) act(worker);
  };
  let closing: Promise<void> | undefined;
  return {
    address: addresses[0] ?? formatAddress(config.listen),
    internalAddress:
      where.kind === 'unix'
        ? formatAddress(where)
        : `http://${where.host}:${(internal.address() as AddressInfo).port}`, // A TCP server.
    active: () => Object.keys(cluster.workers ?? {}).length,
    settled: () => Promise.resolve(),
    reload: () => {
      each((worker) => worker.process.kill('SIGHUP'));
      return Promise.resolve();
    },
    close: () => {
      stopping = true;
      closing ??= allEnded().then(() => new Promise((resolve) => internal.close(() => resolve())));
      each((worker) => worker.process.kill('SIGTERM'));
      internal.closeAllConnections();
      return closing;
    },
  };
}

/** The address that a worker reports; a worker that ends before it does makes the start fail. */
function listening(worker: Worker): Promise<string> {
  return new Promise((resolve, reject) => {
    worker.on('message', (message: { event?: unknown; address?: unknown }) => {
      if (message.event === 'ready' && typeof message.address === 'string') resolve(message.address);
    });
    worker.once('exit', (code: number | null, signal: string | null) =>
      reject(new Error(`a worker of the gateway ended before it listened (${signal ?? `code ${code}`})`)),
    );
  });
}

function allEnded(): Promise<void> {
  return new Promise((resolve) => {
    const check = (): void => {
      if (Object.keys(cluster.workers ?? {}).length === 0) resolve();
    };
    cluster.on('exit', check);
    check();
  });
}
