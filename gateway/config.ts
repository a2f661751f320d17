// The gateway's section of config/sallyport.yaml. Secure defaults; switching something off needs a key that says so.
import { z } from 'zod';
import { isLoopback, listenAddress } from '../core/address.ts';
import { duration } from '../core/duration.ts';
import { secretReference } from '../core/secret.ts';
import { decisionPointSchema } from './authorize/decision-point/decision-point-config.ts';
import { relationsConfigSchema } from './authorize/relations/relations-config.ts';
import { createCallerAddress } from './caller-address.ts';
import { parseUpstreamUrl } from './forward/upstream-address.ts';
import { attributeFaults, modelEntry } from './model-attributes.ts';

/** Lets the parser that uses a text judge it here too, where a fault has a file and a line. */
const parsesAs =
  (parse: (text: string) => unknown) =>
  (text: string, context: z.RefinementCtx): void => {
    try {
      parse(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : 'wrong value' });
    }
  };

const upstream = z.strictObject({
  /** `openai`: serves models in the OpenAI wire format; `http`: any other service, for routes of kind http. */
  kind: z.enum(['openai', 'http']),
  /** `unix:path`, `http://host:port` or `https://host:port`, optionally with a path prefix. */
  url: z.string().superRefine(parsesAs(parseUpstreamUrl)),
  /** Models that it serves, each an id or `{ id, attributes }`; a model belongs to the first upstream that lists it. */
  models: z.array(modelEntry).default([]),
  /** Which internal service the signed identity assertion is for; absent: none is sent. */
  assertion: z.enum(['model-server', 'identity']).optional(),
  /** Credential of the upstream itself, sent as Authorization: Bearer (env:NAME or file:/path). */
  api_key: secretReference.optional(),
  /** Extra certificate authority for https upstreams, PEM file. */
  ca: z.string().optional(),
  /** How long the gateway waits for the upstream, milliseconds. */
  timeouts: z
    .strictObject({
      /** Until there is a connection. */
      connect_ms: z.int().min(1).default(2_000),
      /** Until the answer's head. */
      first_byte_ms: z.int().min(1).default(60_000),
      /** Between two pieces of a body. */
      idle_ms: z.int().min(1).default(30_000),
    })
    .prefault({}),
  /** Connections kept to this upstream. */
  max_connections: z.int().min(1).default(1024),
  /** `ask`: usage is asked for in every stream and removed again where the caller did not want it. */
  stream_usage: z.enum(['ask', 'leave']).default('ask'),
  /** Reuses connections of an upstream that does not echo x-request-id: a stray answer can reach a wrong caller. */
  insecure_reuse_unproven_connections: z.boolean().default(false),
});
/** One entry of `gateway.upstreams`. */
export type UpstreamConfig = z.output<typeof upstream>;

/** `redis://host:port` or `rediss://…`; one with a password stands outside the file. */
const redisUrl = z
  .string()
  .regex(
    /^(rediss?:\/\/|env:|file:)/,
    'a Redis address is redis://host:port, rediss://host:port, env:NAME or file:/path',
  )
  .refine(
    (text) => !/^rediss?:\/\/[^/]*@/.test(text),
    'an address with a password is given as env:NAME or file:/path',
  );

/** Claims of OpenID Connect Core §5.1 and of Entra that name or reach a person and decide nothing by themselves. */
const personalClaims = [
  'name',
  'given_name',
  'family_name',
  'middle_name',
  'nickname',
  'preferred_username',
  'unique_name',
  'upn',
  'email',
  'emails',
  'verified_primary_email',
  'verified_secondary_email',
  'phone_number',
  'address',
  'birthdate',
  'gender',
  'picture',
  'profile',
  'website',
  'ipaddr',
  'login_hint',
];

/** Schema of the section `gateway`. */
export const gatewayConfigSchema = z
  .strictObject({
    /** Where callers connect: host:port, [ipv6]:port or unix:path. */
    listen: listenAddress.prefault('127.0.0.1:8080'),
    /** Where metrics and health are answered; never public. */
    internal_listen: listenAddress.prefault('127.0.0.1:9464'),
    /** What callers type, without a trailing slash; default: made from `listen`. */
    public_url: z.url().optional(),
    /** Certificate and key of the public listener; read again when they change. */
    tls: z
      .strictObject({
        cert: z.string().describe('PEM file.'),
        key: z.string().describe('PEM file.'),
        client_ca: z
          .string()
          .optional()
          .describe('PEM file: who vouches for client certificates. Access tokens may then be bound to one.'),
        client_crl: z
          .string()
          .optional()
          .describe('PEM file: revocation list of `client_ca`; without it no certificate counts as revoked.'),
      })
      .refine((tls) => tls.client_crl === undefined || tls.client_ca !== undefined, {
        path: ['client_crl'],
        error: 'a revocation list needs client_ca',
      })
      .optional(),
    /** Permits plain HTTP beyond loopback: everybody on the path can read tokens. */
    insecure_plain_http: z.boolean().default(false),
    /** TLS ends at a proxy in front; permits plain HTTP beyond loopback. */
    tls_ends_at_proxy: z.boolean().default(false),
    /** Addresses or CIDR blocks whose X-Forwarded-For is believed; none by default. */
    trusted_proxies: z
      .array(z.string().superRefine(parsesAs((proxy) => createCallerAddress([proxy]))))
      .default([]),
    /** Folder of the policies. */
    policies: z.string().default('policies'),
    /**
     * Whether a bundle is used only when its own tests (`tests/` in the folder of the policies) pass: `true` also asks that
     * there is a test; `when_present` takes a bundle without tests, and leaves out tests about models that no upstream serves;
     * `false` leaves tests to the command line.
     */
    require_tests: z.union([z.boolean(), z.literal('when_present')]).default('when_present'),
    /** Folder of a candidate bundle that is compared with the policies in use on live traffic, and never enforced. */
    shadow_policies: z.string().optional(),
    /** What was decided for whom, kept under `data` for `sallyport policy replay` and `explain`. */
    decisions: z
      .strictObject({
        /** Whether decisions are recorded: claims and numbers, never a credential or a prompt. */
        record: z.boolean().default(true),
        /** Days after which a record is removed. */
        keep_days: z.int().min(1).max(400).default(7),
        /** Size of all records together; beyond it the oldest are removed. */
        max_megabytes: z.int().min(1).max(1_000_000).default(512),
        /** Claims that are not recorded; a rule that reads one cannot be replayed. Default: names, addresses and other ways to reach a person. */
        omit_claims: z.array(z.string().min(1)).default(personalClaims),
      })
      .prefault({}),
    /** Folder for the audit log and the issuers' last good keys. */
    data: z.string().default('data/gateway'),
    /** What `issuer: embedded` in issuers.yaml stands for. */
    embedded_issuer: z.url().optional(),
    /** The embedded identity's own address: API keys are looked up there and revocations come from there; absent: neither. */
    embedded_identity: z
      .strictObject({
        /** `http://host:port`, `https://host:port` or `unix:path`. */
        url: z.string().superRefine(parsesAs(parseUpstreamUrl)),
        /** Extra certificate authority, PEM file. */
        ca: z.string().optional(),
        /** How long access tokens of the embedded issuer are accepted while revocations do not arrive from it; then they are refused. */
        tolerate_feed_loss: duration.prefault('24h'),
      })
      .optional(),
    /** Extra certificate authority for fetching issuers' keys, PEM file. */
    issuer_ca: z.string().optional(),
    /** Where the public keys of the assertions are written for internal services. */
    assertion_jwks: z.string().default('data/run/gateway-jwks.json'),
    /** Whom requests are forwarded to, by name. */
    upstreams: z
      .record(z.string().regex(/^[a-z0-9-]+$/), upstream)
      .default({})
      .superRefine((upstreams, context) => {
        for (const { path, message } of attributeFaults(upstreams))
          context.addIssue({ code: 'custom', path: [...path], message });
      }),
    /** Counters in Redis instead of process memory, for more than one gateway. */
    redis: z
      .strictObject({
        /** redis://host:port or rediss://host:port; one with a password as env:NAME or file:/path. */
        url: redisUrl,
        /**
         * Takes units of limits in advance and holds them for so long (100ms to 10s), so that most requests need no round trip.
         * Limits hold as without; what one gateway holds unused, another cannot permit. Absent: none are taken.
         */
        lease: duration
          .refine((ms) => ms >= 100 && ms <= 10_000, 'lease is between 100ms and 10s')
          .optional(),
      })
      .optional(),
    /** Who holds the relationships that rules ask for with `related`. */
    relations: relationsConfigSchema.prefault({ engine: 'embedded' }),
    /** A service of OpenID AuthZEN 1.0 that must permit, too, what the policies permit. */
    decision_point: decisionPointSchema.optional(),
    /** Access tokens and API keys that were revoked before they expire. */
    revocations: z
      .strictObject({
        /** How long one is remembered when nothing tells when its credentials expire: at least the longest lifetime of an access token. */
        keep: duration.refine((ms) => ms >= 3_600_000, 'keep is at least 1h').prefault('28h'),
      })
      .prefault({}),
    /** Processes that share the public address and its counters. */
    workers: z.int().min(1).max(64).default(1),
    /** How long a stop waits for running requests, milliseconds. */
    drain_ms: z.int().min(0).default(10_000),
  })
  .superRefine((config, context) => {
    // Everybody on the path could read access tokens: only a setting that says so permits it.
    if (
      isLoopback(config.listen) ||
      config.tls !== undefined ||
      config.insecure_plain_http ||
      config.tls_ends_at_proxy
    )
      return;
    context.addIssue({
      code: 'custom',
      path: ['listen'],
      message:
        'an address beyond loopback needs tls: { cert, key }, or tls_ends_at_proxy: true, or insecure_plain_http: true',
    });
  });
/** The parsed section `gateway`. */
export type GatewayConfig = z.output<typeof gatewayConfigSchema>;
