// The configured upstreams: where each lies, how it is spoken to, with which pooled connections and credentials.
import { readFileSync } from 'node:fs';
import { readSecret } from '../../core/secret.ts';
import type { UpstreamConfig } from '../config.ts';
import type { AssertionSigner } from './assertion.ts';
import { createConnections, type Connections } from './connections.ts';
import { createHttpService, type HttpService } from './http-service.ts';
import { probe } from './probe.ts';
import { parseUpstreamUrl } from './upstream-address.ts';

/** Whether an upstream answers, for /readyz. */
export interface UpstreamStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly problem: string | null;
}

/** One upstream, ready to be used. */
export interface Upstream {
  readonly name: string;
  readonly kind: UpstreamConfig['kind'];
  /** Path prefix of its URL, without a trailing slash; mostly empty. */
  readonly basePath: string;
  readonly connections: Connections;
  /** Forwards `kind: http` routes; null for an upstream of kind `openai`. */
  readonly httpService: HttpService | null;
  /** Its own credential as a whole header value, or null. */
  readonly authorization: string | null;
  /** Which internal service it is, or null for an external one, which never receives an assertion. */
  readonly assertion: UpstreamConfig['assertion'] | null;
  /** A caller that takes nothing of a stream for so long is gone. */
  readonly stallMs: number;
  /** Whether the gateway asks for usage in streams where the caller did not. */
  readonly asksForUsage: boolean;
  readonly signer: AssertionSigner;
}

/** All upstreams by name. */
export interface Upstreams {
  readonly names: readonly string[];
  get(name: string): Upstream | undefined;
  /** Probes each upstream's health path, bounded in time. */
  status(): Promise<readonly UpstreamStatus[]>;
  close(): Promise<void>;
}

/**
 * Prepares every upstream; opens no connection yet.
 * @throws Error that names the upstream when its secret or CA file is unusable.
 */
export function createUpstreams(
  configs: Readonly<Record<string, UpstreamConfig>>,
  dependencies: { readonly signer: AssertionSigner },
): Upstreams {
  const upstreams = new Map(
    Object.entries(configs).map(([name, config]) => [
      name,
      createUpstream(name, config, dependencies.signer),
    ]),
  );
  return {
    names: [...upstreams.keys()],
    get: (name) => upstreams.get(name),
    status: () => Promise.all([...upstreams.values()].map((upstream) => probe(upstream))),
    close: async () => {
      await Promise.all([...upstreams.values()].map((upstream) => upstream.connections.close()));
    },
  };
}

function createUpstream(name: string, config: UpstreamConfig, signer: AssertionSigner): Upstream {
  try {
    const address = parseUpstreamUrl(config.url);
    const ca = config.ca === undefined ? null : readFileSync(config.ca, 'utf8');
    return {
      name,
      kind: config.kind,
      basePath: address.basePath,
      connections: createConnections({
        origin: address.origin,
        socketPath: address.socketPath,
        ca,
        maxConnections: config.max_connections,
        connectMs: config.timeouts.connect_ms,
        firstByteMs: config.timeouts.first_byte_ms,
        idleMs: config.timeouts.idle_ms,
        reuseUnproven: config.insecure_reuse_unproven_connections,
      }),
      httpService:
        config.kind === 'http' ? createHttpService({ address, ca, timeouts: config.timeouts }) : null,
      authorization: config.api_key === undefined ? null : `Bearer ${readSecret(config.api_key)}`,
      assertion: config.assertion ?? null,
      stallMs: config.timeouts.idle_ms,
      asksForUsage: config.stream_usage === 'ask',
      signer,
    };
  } catch (error) {
    throw new Error(`gateway.upstreams.${name}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}
