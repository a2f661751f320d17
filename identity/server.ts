// Starts the identity server: database, keys, first administrator, listener; keeps keys and records fresh while it runs.
import type { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import type { RequestListener, Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { dirname } from 'node:path';
import { assertionAudience, createAssertionVerifier } from '../core/assertion.ts';
import { formatAddress, type ListenAddress } from '../core/address.ts';
import { followCertificate } from '../core/certificate-renewal.ts';
import { createLog, type Logger } from '../core/log.ts';
import { createServer as createHttpServer } from '../core/node-http.ts';
import {
  createFirstAdministrator,
  firstAdministratorName,
  removeFirstAdministratorFile,
  writeFirstAdministratorFile,
} from './accounts/first-administrator.ts';
import { createSignIn } from './accounts/sign-in.ts';
import { purgeApiKeys } from './api-keys/api-keys.ts';
import { createApp } from './app.ts';
import type { IdentityConfig } from './config.ts';
import { createProviderPages } from './interactions/provider-pages.ts';
import { createEventFeed } from './internal/event-feed.ts';
import { purgeExpiredRecords } from './openid/adapter.ts';
import { createProvider, issuerOf, type OpenIdProvider } from './openid/provider.ts';
import { createEventLog, purgeEvents } from './revocation/event-log.ts';
import { purgeIssuedTokens } from './revocation/issued-tokens.ts';
import { openDatabase, type Database } from './storage/database.ts';
import { persistentSecret } from './storage/secrets.ts';
import {
  loadSigningKeys,
  rotateSigningKeys,
  signingKeyAgeSeconds,
  type SigningKey,
} from './storage/signing-keys.ts';

export interface IdentityHooks {
  /** Called once, when the very first account has been created; without it the password goes to `<data>/first-admin`. */
  readonly firstAdministrator?: (username: string, password: string) => void;
  readonly log?: Logger;
}

export interface IdentityServer {
  /** `host:port` or `unix:path`. */
  readonly address: string;
  readonly issuer: string;
  /** Signs with a fresh key from now on; the old one stays published until its last token has expired. */
  rotateSigningKey(): Promise<string>;
  close(): Promise<void>;
}

/** Starts the identity server. @throws Error with a sentence for the operator; a listening error keeps its `code`. */
export async function startIdentity(
  config: IdentityConfig,
  hooks: IdentityHooks = {},
): Promise<IdentityServer> {
  const log = hooks.log ?? createLog('identity');
  const database = await openDatabase(config);
  try {
    return await startWith(database, config, hooks, log);
  } catch (error) {
    await database.destroy();
    throw error;
  }
}

async function startWith(
  database: Database,
  config: IdentityConfig,
  hooks: IdentityHooks,
  log: Logger,
): Promise<IdentityServer> {
  // What the gateway or an opened session may still hold: the longest token plus clock skew.
  const keepKeysForSeconds = config.access_token_ttl_s + 600;
  let keys = await currentKeys(database, config, keepKeysForSeconds);
  const [cookieKey, formKey] = [
    await persistentSecret(database, 'cookies'),
    await persistentSecret(database, 'forms'),
  ];

  let handle: RequestListener = (_request, response) => {
    response.writeHead(503, { 'retry-after': '1' }).end();
  };
  const server = createServer(config, (request, response) => handle(request, response));
  const address = await listen(server, config.listen);
  const forgetCertificate = followCertificate(server, config.tls, log);
  const base =
    config.public_url ?? `${config.tls === undefined ? 'http' : 'https'}://${formatAddress(address)}`;

  const events = createEventLog(database);
  const feed = createEventFeed({ events, log });
  const issuer = issuerOf(base, config.tenant_id);

  const build = (): OpenIdProvider => {
    const openIdProvider = createProvider({
      base,
      config,
      database,
      events,
      keys,
      cookieKey,
      pages: createProviderPages(database),
    });
    openIdProvider.on('server_error', (_ctx, error) =>
      log.error({ event: 'openid_failed', name: error.name, reason: error.message }),
    );
    // Without a listener Koa prints the stack of what nobody caught.
    // The cast shows the emitter that it is; the published types leave this event out.
    (openIdProvider as EventEmitter).on('error', (error: Error) =>
      log.error({ event: 'openid_failed', name: error.name, reason: error.message }),
    );
    return openIdProvider;
  };
  let openIdProvider = build();
  const adopt = (fresh: readonly SigningKey[]): void => {
    keys = fresh;
    openIdProvider = build();
  };

  const administrator = await createFirstAdministrator(database);
  if (administrator !== null) announce(administrator, config, hooks, log);

  handle = createApp({
    base,
    config,
    database,
    formKey,
    log,
    events,
    feed,
    issuer,
    currentKeys: () => keys,
    currentProvider: () => openIdProvider,
    verifyAssertion: createAssertionVerifier({
      jwksFile: config.gateway_jwks,
      audience: assertionAudience.identity,
    }),
    signIn: createSignIn({
      database,
      log,
      onFirstSignIn: (account) => {
        if (account.username !== firstAdministratorName) return;
        // The supervisor keeps it one folder up, a server on its own in its data folder.
        for (const folder of [config.data, dirname(config.data)]) removeFirstAdministratorFile(folder);
      },
    }),
  }) as RequestListener;

  const upkeep = setInterval(() => {
    refresh().catch((error: unknown) =>
      log.error({ event: 'upkeep_failed', reason: error instanceof Error ? error.message : 'unknown' }),
    );
  }, 60_000).unref();
  const refresh = async (): Promise<void> => {
    for (const purge of [purgeExpiredRecords, purgeEvents, purgeIssuedTokens, purgeApiKeys])
      await purge(database);
    // Another process on the same database may have rotated.
    const fresh = await currentKeys(database, config, keepKeysForSeconds);
    if (fresh.map((key) => key.kid).join() !== keys.map((key) => key.kid).join()) adopt(fresh);
  };

  return {
    address: formatAddress(address),
    issuer,
    rotateSigningKey: async () => {
      adopt(await rotateSigningKeys(database, keepKeysForSeconds));
      log.info({ event: 'signing_key_rotated', kid: keys[0]?.kid });
      return keys[0]?.kid ?? '';
    },
    close: async () => {
      clearInterval(upkeep);
      forgetCertificate();
      feed.close();
      await closeServer(server);
      await database.destroy();
    },
  };
}

async function currentKeys(
  database: Database,
  config: IdentityConfig,
  keepForSeconds: number,
): Promise<readonly SigningKey[]> {
  const isOld = (await signingKeyAgeSeconds(database)) > config.signing_key_max_age_days * 86_400;
  return isOld ? rotateSigningKeys(database, keepForSeconds) : loadSigningKeys(database, keepForSeconds);
}

function announce(
  administrator: { username: string; password: string },
  config: IdentityConfig,
  hooks: IdentityHooks,
  log: Logger,
): void {
  if (hooks.firstAdministrator !== undefined) {
    hooks.firstAdministrator(administrator.username, administrator.password);
    return;
  }
  const file = writeFirstAdministratorFile(config.data, administrator);
  log.info({ event: 'first_administrator', username: administrator.username, password_file: file });
}

function createServer(config: IdentityConfig, listener: RequestListener): Server {
  const limits = { headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 5_000 };
  if (config.tls === undefined) return createHttpServer(limits, listener);
  const cert = readTls('identity.tls.cert', config.tls.cert);
  const key = readTls('identity.tls.key', config.tls.key);
  return createHttpsServer({ ...limits, cert, key, minVersion: 'TLSv1.2' }, listener);
}

function readTls(setting: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Error(`${setting}: the file ${path} cannot be read`, { cause: error });
  }
}

function listen(server: Server, wanted: ListenAddress): Promise<ListenAddress> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const listening = (): void => {
      server.removeListener('error', reject);
      const bound = server.address();
      const isTcp = wanted.kind === 'tcp' && bound !== null && typeof bound === 'object';
      resolve(isTcp ? { ...wanted, port: bound.port } : wanted);
    };
    if (wanted.kind === 'unix') server.listen(wanted.path, listening);
    else server.listen(wanted.port, wanted.host, listening);
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
    // Answers take milliseconds here; whoever holds a connection longer is cut.
    setTimeout(() => server.closeAllConnections(), 2000).unref();
  });
}
