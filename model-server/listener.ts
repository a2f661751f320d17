// Where the model server listens: a Unix socket that only its own account can open, or TCP on loopback or with TLS.
import { chmodSync, lstatSync, mkdirSync, readFileSync, statSync, unlinkSync } from 'node:fs';
import type { RequestListener, Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect } from 'node:net';
import { dirname, resolve } from 'node:path';
import { formatAddress, isLoopback, type ListenAddress } from '../core/address.ts';
import { createServer as createHttpServer } from '../core/node-http.ts';
import type { ModelServerConfig } from './config.ts';

/** A listening server. */
export interface Listener {
  readonly server: Server;
  readonly address: string;
}

type ListenerConfig = Pick<ModelServerConfig, 'listen' | 'tls' | 'insecure_plain_http'>;

// Linux's limit is 107 bytes, macOS's 103.
const longestSocketPath = 103;

/** Listens, once everything else is ready. @throws Error that begins with the setting. */
export type Bind = (onRequest: RequestListener) => Promise<Listener>;

/**
 * Creates the server without listening yet, so that a wrong address is known before models are loaded.
 * Checks: TLS or loopback for TCP; for a socket a folder that nobody else can write, and that nobody listens there yet.
 * @throws Error that begins with the setting.
 */
export async function prepareListener(config: ListenerConfig): Promise<Bind> {
  const { listen: address } = config;
  if (
    address.kind === 'tcp' &&
    !isLoopback(address) &&
    config.tls === undefined &&
    !config.insecure_plain_http
  ) {
    throw new Error(
      `model_server.listen: ${formatAddress(address)} can be reached from other machines; give model_server.tls, listen on a Unix socket, or set model_server.insecure_plain_http`,
    );
  }
  const server = createServer(config);
  if (address.kind === 'unix') await prepareSocket(address.path);
  return async (onRequest) => {
    server.on('request', onRequest);
    await bind(server, address);
    const bound = server.address();
    if (typeof bound === 'string' || bound === null || address.kind === 'unix')
      return { server, address: formatAddress(address) };
    const scheme = config.tls === undefined ? 'http' : 'https';
    return { server, address: `${scheme}://${formatAddress({ ...address, port: bound.port })}` };
  };
}

function createServer({ tls }: ListenerConfig): Server {
  // The gateway keeps connections open between requests; it must be the one that closes them.
  const limits = {
    maxHeaderSize: 16_384,
    headersTimeout: 10_000,
    requestTimeout: 60_000,
    keepAliveTimeout: 120_000,
  };
  if (tls === undefined) return createHttpServer(limits);
  const read = (setting: 'cert' | 'key'): Buffer => {
    try {
      return readFileSync(tls[setting]);
    } catch (error) {
      throw new Error(`model_server.tls.${setting}: ${tls[setting]} cannot be read (${codeOf(error)})`, {
        cause: error,
      });
    }
  };
  const [cert, key] = [read('cert'), read('key')];
  try {
    return createHttpsServer({ ...limits, cert, key, minVersion: 'TLSv1.2' });
  } catch (error) {
    throw new Error('model_server.tls: certificate and key are not a PEM pair', { cause: error });
  }
}

async function prepareSocket(path: string): Promise<void> {
  if (Buffer.byteLength(path) > longestSocketPath) {
    throw new Error(
      `model_server.listen: the path of a Unix socket is at most ${longestSocketPath} bytes; give a shorter one`,
    );
  }
  const folder = dirname(resolve(path));
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new Error(`model_server.listen: the folder ${folder} cannot be created (${codeOf(error)})`, {
      cause: error,
    });
  }
  if ((statSync(folder).mode & 0o022) !== 0) {
    throw new Error(
      `model_server.listen: others can write to ${folder} and could put their socket there; chmod 700 ${folder}`,
    );
  }
  const existing = lstatSync(path, { throwIfNoEntry: false });
  if (existing === undefined) return;
  if (!existing.isSocket())
    throw new Error(
      `model_server.listen: ${path} exists and is not a socket; remove it or choose another path`,
    );
  if (await isAnswered(path))
    throw new Error(
      `model_server.listen: another process listens on ${path}; stop it or choose another path`,
    );
  unlinkSync(path);
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((done) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      done(true);
    });
    // Only a refused connection proves that nobody is there; a socket we may not open belongs to somebody.
    probe.once('error', (error) => done(codeOf(error) !== 'ECONNREFUSED'));
  });
}

function bind(server: Server, address: ListenAddress): Promise<void> {
  return new Promise((done, reject) => {
    const onError = (error: Error): void => {
      const taken =
        codeOf(error) === 'EADDRINUSE'
          ? 'another process listens there; stop it or choose another address'
          : codeOf(error);
      reject(new Error(`model_server.listen: ${formatAddress(address)}: ${taken}`, { cause: error }));
    };
    server.once('error', onError);
    const onListening = (): void => {
      server.off('error', onError);
      done();
    };
    if (address.kind === 'tcp') {
      server.listen({ host: address.host, port: address.port }, onListening);
      return;
    }
    // The socket is born 0600: bind happens inside listen(), and the mask is put back at once.
    const mask = process.umask(0o177);
    try {
      server.listen({ path: address.path }, onListening);
    } finally {
      process.umask(mask);
    }
    if (lstatSync(address.path, { throwIfNoEntry: false }) !== undefined) chmodSync(address.path, 0o600);
  });
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'error';
}
