// The gateway's section of config/sallyport.yaml. Secure defaults; switching something off needs a key that says so.
import { z } from 'zod';
import { listenAddress } from '../core/address.ts';

const upstream = z.strictObject({
  kind: z.enum(['openai', 'http']),
  /** `unix:path`, `http://host:port` or `https://host:port`, optionally with a path prefix. */
  url: z.string().regex(/^(unix:.+|https?:\/\/[^\s]+)$/, 'an upstream is unix:path, http://… or https://…'),
  models: z.array(z.string().min(1)).default([]),
  /** Which internal service the signed identity assertion is for; absent: none is sent. */
  assertion: z.enum(['model-server', 'identity']).optional(),
  /** Credential of the upstream itself, sent as Authorization: Bearer (env:NAME or file:/path). */
  api_key: z.string().optional(),
  /** Extra certificate authority for https upstreams, PEM file. */
  ca: z.string().optional(),
  timeouts: z
    .strictObject({
      connect_ms: z.int().min(1).default(2_000),
      /** Until the answer's head. */
      first_byte_ms: z.int().min(1).default(60_000),
      /** Between two pieces of a body. */
      idle_ms: z.int().min(1).default(30_000),
    })
    .prefault({}),
  max_connections: z.int().min(1).default(128),
});
export type UpstreamConfig = z.output<typeof upstream>;

export const gatewayConfigSchema = z.strictObject({
  listen: listenAddress.prefault('127.0.0.1:8080'),
  internal_listen: listenAddress.prefault('127.0.0.1:9464'),
  /** What callers type, without a trailing slash; default: made from `listen`. */
  public_url: z.url().optional(),
  tls: z.strictObject({ cert: z.string(), key: z.string() }).optional(),
  /** Permits plain HTTP beyond loopback: everybody on the path can read tokens. */
  insecure_plain_http: z.boolean().default(false),
  /** TLS ends at a proxy in front; permits plain HTTP beyond loopback. */
  tls_ends_at_proxy: z.boolean().default(false),
  /** Addresses or CIDR blocks whose X-Forwarded-For is believed; none by default. */
  trusted_proxies: z.array(z.string()).default([]),
  policies: z.string().default('policies'),
  data: z.string().default('data/gateway'),
  /** What `issuer: embedded` in issuers.yaml stands for. */
  embedded_issuer: z.url().optional(),
  /** Extra certificate authority for fetching issuers' keys, PEM file. */
  issuer_ca: z.string().optional(),
  /** Where the public keys of the assertions are written for internal services. */
  assertion_jwks: z.string().default('data/run/gateway-jwks.json'),
  upstreams: z.record(z.string().regex(/^[a-z0-9-]+$/), upstream).default({}),
  redis: z.strictObject({ url: z.string() }).optional(),
  workers: z.int().min(1).max(64).default(1),
  drain_ms: z.int().min(0).default(10_000),
});
export type GatewayConfig = z.output<typeof gatewayConfigSchema>;
