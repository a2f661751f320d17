// Opens sockets to one upstream: TCP, Unix or TLS, whichever the configuration names.
import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from 'node:net';
import {
  connect as connectTls,
  createSecureContext,
  type ConnectionOptions,
  type SecureContext,
} from 'node:tls';

/** Where to. */
export interface Place {
  readonly origin: string;
  readonly socketPath: string | null;
  readonly ca: string | null;
}

/** Opens one more socket; what it reads goes to `onRead`, never through a stream. */
export type Connect = (onRead: (count: number, bytes: Buffer) => boolean) => Socket;

const probeAfterMs = 60_000;
const plainReadBytes = 65_536;
// A TLS record holds no more.
const tlsReadBytes = 16_384;

/** What the `host` field says. */
export function hostOf(origin: string): string {
  return new URL(origin).host;
}

/** The event with which a socket may be written to: not before the certificate was verified. */
export function readyEvent(origin: string): 'connect' | 'secureConnect' {
  return origin.startsWith('https:') ? 'secureConnect' : 'connect';
}

/**
 * Prepares the way to one upstream.
 * @throws Error when the CA is unusable
 */
export function connectorTo({ origin, socketPath, ca }: Place): Connect {
  const url = new URL(origin);
  const common = { noDelay: true, keepAlive: true, keepAliveInitialDelay: probeAfterMs };
  // Reads are consumed before the next one begins, on whatever connection, so that one buffer serves all of them.
  const shared = Buffer.allocUnsafeSlow(plainReadBytes);
  const into = (buffer: Buffer, onRead: (count: number, bytes: Buffer) => boolean): OnReadOpts => ({
    buffer,
    // The buffer that was given is the one that comes back.
    callback: (count) => onRead(count, buffer),
  });
  if (socketPath !== null) return (onRead) => connectTcp({ path: socketPath, onread: into(shared, onRead) });
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (url.protocol === 'http:') {
    const port = Number(url.port || 80);
    return (onRead) => connectTcp({ ...common, host, port, onread: into(shared, onRead) });
  }
  const options = tlsOptions(host, Number(url.port || 443), ca);
  return (onRead) => {
    // A buffer of its own: OpenSSL may have more to hand out while what it gave is being handled.
    const onread = into(Buffer.allocUnsafeSlow(tlsReadBytes), onRead);
    const socket = connectTls({ ...options, onread } as ConnectionOptions);
    socket.setNoDelay(true).setKeepAlive(true, probeAfterMs);
    return socket;
  };
}

function tlsOptions(host: string, port: number, ca: string | null): ConnectionOptions {
  // Made once: reading a bundle of authorities takes milliseconds.
  const secureContext: SecureContext = createSecureContext(ca === null ? {} : { ca });
  return {
    host,
    port,
    secureContext,
    // RFC 6066 §3: no server name for an address; the certificate is then compared with the address.
    ...(isIP(host) === 0 ? { servername: host } : {}),
    // Spelled out, so that no environment variable switches it off.
    rejectUnauthorized: true,
    ALPNProtocols: ['http/1.1'],
  };
}
