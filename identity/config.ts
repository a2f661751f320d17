// The identity section of config/sallyport.yaml. Secure defaults; switching something off needs a key that says so.
import { z } from 'zod';
import { isLoopback, listenAddress } from '../core/address.ts';
import { publicKeyFiles } from '../core/assertion.ts';
import { secretReference } from '../core/secret.ts';

/** A client application besides the built-in ones; only confidential clients for now (client credentials). */
const extraClient = z.strictObject({
  /** Its id, as in the `client_id` parameter. */
  client_id: z
    .string()
    .regex(/^[A-Za-z0-9._:/-]{1,128}$/, 'a client id has 1 to 128 letters, digits or . _ : / -'),
  /** Name that people see; default: the id. */
  name: z.string().min(1).max(128).optional(),
  /** env:NAME or file:/path; at least 32 characters. */
  secret: secretReference,
  /** `roles` of the access tokens that the client gets for itself. */
  app_roles: z.array(z.string().min(1)).default([]),
});
export type ExtraClient = z.output<typeof extraClient>;

/** Origin without path, query or trailing slash, as oauth and cookies need it. */
const origin = z
  .url({ protocol: /^https?$/ })
  .refine(
    (text) => URL.canParse(text) && new URL(text).origin === text,
    'give scheme, host and port only, without a trailing slash',
  );

export const identityConfigSchema = z
  .strictObject({
    /** Where browsers, clients and the gateway connect: host:port, [ipv6]:port or unix:path. */
    listen: listenAddress.prefault('127.0.0.1:8081'),
    /** What browsers and clients type, without a trailing slash; default: made from `listen`. */
    public_url: origin.optional(),
    /** Certificate and key, PEM files. */
    tls: z
      .strictObject({ cert: z.string().describe('PEM file.'), key: z.string().describe('PEM file.') })
      .optional(),
    /** Permits plain HTTP beyond loopback: everybody on the path can read passwords and tokens. */
    insecure_plain_http: z.boolean().default(false),
    /** TLS ends at a proxy in front; permits plain HTTP beyond loopback. */
    tls_ends_at_proxy: z.boolean().default(false),
    /** The tenant in addresses and in the `tid` claim. */
    tenant_id: z.guid().default('5a11b0a7-0000-4000-8000-000000000000'),
    /** Folder for the database and the keys. */
    data: z.string().default('data/identity'),
    /** A PostgreSQL URL as env:NAME or file:/path; default: a SQLite file under `data`. */
    database_url: secretReference.optional(),
    /** Public keys of the gateway's assertions; with several gateways a list, one file for each. */
    gateway_jwks: publicKeyFiles.default('data/run/gateway-jwks.json'),
    /** Origin of the gateway, for the redirect of its API page. */
    gateway_url: origin.default('http://127.0.0.1:8080'),
    /** `production` switches the password grant off. */
    profile: z.enum(['development', 'production']).default('development'),
    /** POST /token with a password; default: on in development, off in production. */
    password_grant: z.boolean().optional(),
    /** POST /users, by which people make their own accounts. */
    registration: z
      .strictObject({
        /** Whether anybody may register. */
        enabled: z.boolean().default(true),
        /** Lets anybody who registers choose any role, administrator included. */
        insecure_allow_role_choice: z.boolean().default(false),
      })
      .prefault({}),
    /** The device code flow (RFC 8628). */
    device_code: z
      .strictObject({
        /** Seconds a client waits between two polls. */
        interval_s: z.int().min(1).max(60).default(2),
        /** Seconds until an unused code dies. */
        lifetime_s: z.int().min(60).max(900).default(900),
      })
      .prefault({}),
    /** API keys, which people make for their own programs. */
    api_keys: z
      .strictObject({
        /** Days that a key lives when its owner does not say. */
        default_lifetime_days: z.int().min(1).default(90),
        /** The most days that a key may live. */
        max_lifetime_days: z.int().min(1).max(3650).default(365),
        /** Keys that one account may have at a time. */
        max_per_account: z.int().min(0).default(20),
      })
      .prefault({}),
    /** Clients besides the built-in ones. */
    clients: z.array(extraClient).default([]),
    /** Lifetime of access tokens, seconds. */
    access_token_ttl_s: z.int().min(60).max(86_400).default(3600),
    /** A refresh token not used for this long dies. */
    refresh_token_idle_s: z
      .int()
      .min(60)
      .default(30 * 86_400),
    /** However often it was renewed, a sign-in ends after this long. */
    refresh_token_absolute_s: z
      .int()
      .min(60)
      .default(90 * 86_400),
    /** A browser stays signed in for this long. */
    session_ttl_s: z.int().min(60).default(43_200),
    /** A signing key older than this is replaced, at start or within a minute. */
    signing_key_max_age_days: z.int().min(1).default(90),
  })
  .superRefine((config, context) => {
    const plain = config.tls === undefined && !config.insecure_plain_http && !config.tls_ends_at_proxy;
    if (plain && !isLoopback(config.listen)) {
      const ways = 'give tls, or set tls_ends_at_proxy (TLS ends in front) or insecure_plain_http';
      context.addIssue({
        code: 'custom',
        path: ['listen'],
        message: `plain HTTP beyond loopback is refused: ${ways}`,
      });
    }
    if (config.listen.kind === 'unix' && config.public_url === undefined) {
      context.addIssue({ code: 'custom', path: ['listen'], message: 'a Unix socket needs public_url' });
    }
    const isWildcard = config.listen.kind === 'tcp' && ['0.0.0.0', '::'].includes(config.listen.host);
    if (isWildcard && config.public_url === undefined) {
      context.addIssue({
        code: 'custom',
        path: ['listen'],
        message: 'an address that stands for all needs public_url',
      });
    }
    if (config.api_keys.default_lifetime_days > config.api_keys.max_lifetime_days) {
      context.addIssue({
        code: 'custom',
        path: ['api_keys', 'default_lifetime_days'],
        message: 'it is more than max_lifetime_days',
      });
    }
    if (config.tls !== undefined && config.public_url?.startsWith('http://') === true) {
      context.addIssue({
        code: 'custom',
        path: ['public_url'],
        message: 'with tls the public URL begins with https://',
      });
    }
  });
export type IdentityConfig = z.output<typeof identityConfigSchema>;

/** Whether POST /token takes a password. */
export function passwordGrantEnabled(config: IdentityConfig): boolean {
  return config.password_grant ?? config.profile === 'development';
}

/** Resource that access tokens are for. */
export const resource = 'api://sallyport';

/** Client ids of the built-in public clients; only the last digit differs. */
export const builtInClientIds = {
  cli: '5a11b0a7-0000-4000-8000-000000000001',
  apiPage: '5a11b0a7-0000-4000-8000-000000000002',
  scripts: '5a11b0a7-0000-4000-8000-000000000003',
  localTest: '5a11b0a7-0000-4000-8000-000000000004',
  apiKeys: '5a11b0a7-0000-4000-8000-000000000005',
} as const;
