// The gateway as one object with a lifetime: services, policies, listeners. Built from one validated configuration.
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { join } from 'node:path';
import cluster from 'node:cluster';
import type { ListenAddress } from '../core/address.ts';
import { followCertificate } from '../core/certificate-renewal.ts';
import { restoreFastStrings } from '../core/fast-strings.ts';
import { createLog, type Logger } from '../core/log.ts';
import { createServer } from '../core/node-http.ts';
import { readSecret } from '../core/secret.ts';
import { createAuditLog } from './accounting/audit-log.ts';
import { createMetrics } from './accounting/metrics.ts';
import {
  createDpopServices,
  openClientTrust,
  openDpopNonces,
  type ClientTrust,
} from './authenticate/index.ts';
import { openOutside } from './authorize/open-outside.ts';
import { createCallerAddress } from './caller-address.ts';
import type { GatewayConfig } from './config.ts';
import type { ControlDependencies } from './control/control-dependencies.ts';
import { openDecisionServices } from './decision-services.ts';
import { identityApiOf, identityTuplesOf, revocationsOf } from './embedded-identity.ts';
import { createEntry, type Entry } from './entry.ts';
import { openAssertionSigner } from './forward/assertion.ts';
import { createUpstreams } from './forward/upstreams.ts';
import { loadedWithFirst } from './loaded-with-first.ts';
import { createLimitStore } from './limit/store.ts';
import { createListener, followedFiles, type Listener } from './listener.ts';
import { startWorkers } from './workers.ts';
import { policyContext } from './policies/context.ts';
import { testFailed } from './policies/candidate.ts';
import { watchPolicies, type PolicyHolder, type PolicyHolderOptions } from './policies/reload.ts';
import { collectWhenQuiet } from './quiet-collection.ts';
import type { Services } from './services.ts';

/** A gateway that listens. */
export interface RunningGateway {
  /** `http://host:port` or `https://host:port`, with the real port when 0 was asked for. */
  readonly address: string;
  /** The internal listener (metrics, health). */
  readonly internalAddress: string;
  /** Requests under way (with workers: the workers). */
  readonly active: () => number;
  /** Settles when issuers and upstreams have answered, or after `limitMs`: what starts beside the gateway has come up. */
  readonly settled: (limitMs: number) => Promise<void>;
  /** Reads the policies again; for SIGHUP. */
  reload(): Promise<void>;
  /** Stops accepting, lets requests end within `drain_ms`, then cuts them. Idempotent. */
  close(): Promise<void>;
}

/** What a test may replace. */
export interface GatewayDependencies {
  readonly log?: Logger;
  /** False: node:http reads every request, for a test that compares the two ways in. */
  readonly ingress?: boolean;
}

/**
 * Starts the gateway and resolves when it listens. Issuers and upstreams that are down do not stop the start: /readyz says
 * so, and their requests are refused.
 * @throws ConfigurationError for policies with a fault; the system's error when an address or file cannot be had
 */
export async function startGateway(
  config: GatewayConfig,
  { log = createLog('gateway'), ingress = true }: GatewayDependencies = {},
): Promise<RunningGateway> {
  mkdirSync(config.data, { recursive: true, mode: 0o700 });
  return config.workers > 1 && cluster.isPrimary ? startWorkers(config, log) : startOne(config, log, ingress);
}

async function startOne(config: GatewayConfig, log: Logger, usesIngress: boolean): Promise<RunningGateway> {
  restoreFastStrings();
  const callerAddress = createCallerAddress(config.trusted_proxies);
  const clientTrust = openClientTrust(config.tls);
  const listener = createListener({
    tls: config.tls,
    clientTrust,
    onRequest: (request, response) => entry.onRequest(request, response),
    onMalformed: (refusal, socket, isUnderWay) => entry.onMalformed(refusal, socket, isUnderWay),
    ingress: usesIngress
      ? {
          current: () => policies.current(),
          isStopping: () => stopping,
          onRequest: (request, response, destination) => entry.onChecked(request, response, destination),
        }
      : null,
  });
  const { server } = listener;
  let publicUrl = config.public_url?.replace(/\/+$/, '') ?? urlOf(config.listen, config.tls !== undefined);
  const { policies, services } = await openServices(config, log, { clientTrust, publicUrl: () => publicUrl });
  let stopping = false;

  const control: ControlDependencies = {
    services,
    current: policies.current,
    policiesProblem: policies.problem,
    isStopping: () => stopping,
    issuerCa: config.issuer_ca,
    refuse: (request, response, refusal) => entry.refuseUnrouted(request, response, refusal),
  };
  const entry: Entry = createEntry({
    services,
    current: policies.current,
    callerAddress,
    control: loadedWithFirst(
      async () => (await import('./app.ts')).createControlApp(control),
      control.refuse,
    ),
    isStopping: () => stopping,
  });
  // With workers, the primary has the internal listener.
  const internal = cluster.isWorker
    ? null
    : createServer(
        loadedWithFirst(async () => (await import('./app.ts')).createInternalApp(control), control.refuse),
      );

  try {
    await listen(server, config.listen);
    if (internal !== null) await listen(internal, config.internal_listen);
  } catch (error) {
    server.close();
    policies.close();
    await closeServices(services);
    throw error;
  }
  if (config.public_url === undefined) publicUrl = urlOf(config.listen, config.tls !== undefined, server);
  const forgetCertificate = followCertificate(server, followedFiles(config.tls, clientTrust), log);
  const endCollections = collectWhenQuiet(entry);

  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    stopping = true;
    forgetCertificate();
    endCollections();
    internal?.closeAllConnections();
    await Promise.all([
      drained(listener, config.drain_ms, () => entry.abortAll()),
      ...(internal === null ? [] : [ending(internal)]),
    ]);
    policies.close();
    await closeServices(services);
  };
  return {
    address: urlOf(config.listen, config.tls !== undefined, server),
    internalAddress: urlOf(config.internal_listen, false, internal ?? undefined),
    active: () => entry.active(),
    settled: (limitMs) => settled(policies, services, limitMs),
    reload: async () => {
      await policies.reload();
    },
    close: () => (closing ??= close()),
  };
}

interface Opened {
  readonly policies: PolicyHolder;
  readonly services: Services;
}

async function openServices(
  config: GatewayConfig,
  log: Logger,
  { clientTrust, publicUrl }: { readonly clientTrust: ClientTrust | null; readonly publicUrl: () => string },
): Promise<Opened> {
  const signer = await openAssertionSigner({ folder: config.data, jwksFile: config.assertion_jwks });
  const dpop = createDpopServices(openDpopNonces(config.data));
  const upstreams = createUpstreams(config.upstreams, { signer });
  const redis = config.redis?.url;
  const redisUrl = redis === undefined ? null : /^(env|file):/.test(redis) ? readSecret(redis) : redis;
  const limitStore = await createLimitStore({
    folder: config.data,
    redisUrl,
    leaseMs: config.redis?.lease,
    log,
  });
  const auditLog = createAuditLog(join(config.data, 'audit'), {
    log,
    ...(cluster.worker === undefined ? {} : { writer: `gateway-${cluster.worker.id}` }),
  });
  const identityApi = identityApiOf(config, signer);
  const identityTuples = identityTuplesOf(config, { identityApi, log });
  const revocations = revocationsOf(config, { identityApi, redisUrl, identityTuples, log });
  const metrics = createMetrics({
    revocations: () => revocations,
    issuers: () => policies.current().authentication.status(),
    digest: () => policies.current().digest,
    policiesCurrent: () => policies.problem() === null,
  });
  const { relationStore, decisionPoint } = openOutside(config, { metrics, log });
  const options: PolicyHolderOptions = {
    directory: config.policies,
    requireTests: config.require_tests,
    context: policyContext(config),
    authentication: {
      embeddedIssuer: config.embedded_issuer,
      dataDir: config.data,
      log,
      revocations,
      ...(identityApi === null ? {} : { identityApi }),
      onIntrospection: (issuer, outcome) => metrics.introspected(issuer, outcome),
      issuerCa: config.issuer_ca === undefined ? undefined : readFileSync(config.issuer_ca, 'utf8'),
    },
    relations:
      relationStore === null
        ? { kind: 'embedded', learned: identityTuples }
        : { kind: 'remote', store: relationStore },
    log,
    onSwap: (swap) => {
      auditLog.append({
        event: 'policies_swapped',
        at: new Date().toISOString(),
        old_digest: swap.oldDigest,
        new_digest: swap.newDigest,
        changed_files: swap.changedFiles,
        changes: swap.changes,
        version: swap.version,
        // Each worker swaps for itself, in its own chain.
        worker: cluster.worker?.id ?? null,
      });
      metrics.policyReloaded('swapped');
    },
    onProblem: (findings) => {
      if (findings.length > 0)
        metrics.policyReloaded(findings.some(({ code }) => code === testFailed) ? 'tests_failed' : 'refused');
    },
  };
  let policies: PolicyHolder;
  try {
    policies = watchPolicies(options);
  } catch (error) {
    await Promise.all([
      upstreams.close(),
      limitStore.close(),
      revocations.close(),
      auditLog.close(),
      relationStore?.close(),
      decisionPoint?.close(),
      identityApi?.close(),
    ]);
    throw error;
  }
  // What is known of failures is asked for now, so that the first request need not wait for it.
  const looking = limitStore.peek(policies.current().limits.failedAuthentications, '');
  if (looking instanceof Promise) looking.catch(() => undefined); // The store tells of a fault itself.
  const services: Services = {
    log,
    get publicUrl() {
      return publicUrl();
    },
    auditLog,
    metrics,
    ...openDecisionServices(config, { context: options.context, log, metrics }),
    limitStore,
    dpop,
    identityApi,
    clientTrust,
    revocations,
    upstreams,
    relationStore,
    identityTuples,
    decisionPoint,
  };
  return { policies, services };
}

/** The audit log last: the others may still have something to say. */
async function closeServices(services: Services): Promise<void> {
  services.identityTuples?.close();
  const { upstreams, limitStore, revocations, relationStore, decisionPoint, identityApi, auditLog } =
    services;
  services.shadow?.close();
  await Promise.all([
    upstreams.close(),
    limitStore.close(),
    revocations.close(),
    relationStore?.close(),
    decisionPoint?.close(),
    identityApi?.close(),
    services.decisions?.close(),
  ]);
  await auditLog.close();
}

async function settled(policies: PolicyHolder, services: Services, limitMs: number): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (performance.now() < deadline) {
    const issuers = policies.current().authentication.status();
    const upstreams = await services.upstreams.status();
    const sources = services.revocations.status();
    if (
      [...issuers, ...upstreams].every(({ ready }) => ready) &&
      sources.every(({ problem }) => problem === null)
    )
      return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Listens; a Unix socket is for this account alone. */
function listen(server: Server, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const listening = (): void => {
      server.off('error', reject);
      if (address.kind === 'unix') chmodSync(address.path, 0o600);
      resolve();
    };
    if (address.kind === 'unix') server.listen(address.path, listening);
    else server.listen(address.port, address.host, listening);
  });
}

/** A refusal of what is cut off has this long to reach its caller. */
const lastWordsMs = 250;

/** Ends a listener: requests under way may end within `drainMs`, then they are refused, then cut. */
async function drained(listener: Listener, drainMs: number, refuseAll: () => void): Promise<void> {
  const ended = ending(listener.server);
  listener.closeIdleConnections();
  // Node closes connections that are idle now; one whose request ends later would stay open for its next one.
  const sweep = setInterval(() => listener.closeIdleConnections(), 50);
  const refusal = setTimeout(refuseAll, drainMs);
  const cut = setTimeout(() => listener.closeAllConnections(), drainMs + lastWordsMs);
  await ended;
  clearInterval(sweep);
  clearTimeout(refusal);
  clearTimeout(cut);
}

function ending(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

function urlOf(address: ListenAddress, secure: boolean, server?: Server): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const bound = server?.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${secure ? 'https' : 'http'}://${host}:${port}`;
}
