// The client certificate of a TLS connection to this very process, judged anew on each request. No header can bring one,
// whoever sends it.
import type { Server, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { GatewayError } from '../../../core/errors.ts';
import { invalidToken } from '../invalid-token.ts';
import { readCertificate, type CertificateFields } from './certificate-fields.ts';
import {
  pathObjection,
  trustedPaths,
  unseenPath,
  type ClientTrust,
  type Trust,
  type TrustedPath,
} from './client-trust.ts';
import { DerFault } from './der.ts';

/** A certificate that counts now. */
export interface ShownCertificate {
  readonly fields: CertificateFields;
  /** Fingerprints of the authorities above it, one set for each way that counts now. */
  readonly authorities: readonly ReadonlySet<string>[];
}

interface KnownConnection {
  readonly trust: Trust;
  readonly fields: CertificateFields;
  readonly paths: readonly TrustedPath[];
}

/** What was read and verified of a connection; nothing of it changes after the handshake (no renegotiation). */
const connections = new WeakMap<TLSSocket, KnownConnection>();
/** By what trust OpenSSL judged a connection. */
const handshakes = new WeakMap<TLSSocket, Trust>();

/** Notes for each connection of a listener by what trust its handshake is judged. */
export function noteHandshakes(server: Server, clientTrust: ClientTrust | null): void {
  if (clientTrust === null) return;
  const accepted = new Map<string, Trust>();
  const peer = ({ remoteAddress = '', remotePort = 0 }: Socket): string => `${remoteAddress} ${remotePort}`;
  // A change of the files in the middle of a handshake is too late for it.
  server.on('connection', (socket) => {
    const key = peer(socket);
    accepted.set(key, clientTrust.current());
    socket.once('close', () => accepted.delete(key));
  });
  server.on('secureConnection', (socket: TLSSocket) => {
    const trust = accepted.get(peer(socket));
    if (trust !== undefined) handshakes.set(socket, trust);
  });
}

/**
 * The certificate of the connection.
 * Checks: the connection is TLS to this process; its certificate was verified at the handshake (chain, purpose, revocation
 * list), leads to an authority that is trusted now, is valid now and not revoked now, nor is any authority between.
 * Where an authority between is not listed in `client_ca`, it was seen by OpenSSL alone (Node does not hand it on): then the
 * connection counts only as long as neither list nor authorities change, and no entry can pin an authority.
 * Does not check: the names in it (certificate-rules.ts), the access token that is bound to it (certificate-binding.ts).
 * @throws GatewayError `invalid_token`
 */
export function connectionCertificate(
  socket: Socket,
  clientTrust: ClientTrust | null,
  nowMs: number,
): ShownCertificate {
  if (!(socket instanceof TLSSocket) || clientTrust === null) throw invalidToken('certificate_missing');
  const trust = clientTrust.current();
  let known = connections.get(socket);
  if (known?.trust !== trust) {
    known = { trust, ...readConnection(socket, trust) };
    connections.set(socket, known);
  }
  const { paths, fields } = known;
  const objections = paths.map((path) => pathObjection(path, trust, nowMs));
  const [objection = null] = objections.includes(null) ? [] : objections;
  if (objection !== null) throw invalidToken(objection);
  return {
    fields,
    authorities: paths.filter((_, index) => objections[index] === null).map((path) => path.authorities),
  };
}

/** Whether the connection brought a certificate, good or bad. */
export function bringsCertificate(socket: Socket): boolean {
  return (
    socket instanceof TLSSocket && (connections.has(socket) || socket.getPeerX509Certificate() !== undefined)
  );
}

function readConnection(socket: TLSSocket, trust: Trust): Pick<KnownConnection, 'fields' | 'paths'> {
  const leaf = socket.getPeerX509Certificate();
  // `authorized` alone says little: it is true as well for a resumed connection that showed no certificate.
  if (leaf === undefined) throw invalidToken('certificate_missing');
  if (!socket.authorized) throw invalidToken('certificate_untrusted');
  try {
    const fields = readCertificate(leaf.raw);
    const paths = trustedPaths(leaf, trust);
    if (paths.length > 0) return { fields, paths };
    if (handshakes.get(socket) === trust) return { fields, paths: [unseenPath(leaf, trust)] };
  } catch (error) {
    throw error instanceof DerFault ? invalidToken('certificate_form', error) : error;
  }
  // On a connection of its own the caller may be trusted again.
  throw new GatewayError('invalid_token', {
    reason: 'certificate_untrusted',
    headers: { connection: 'close' },
  });
}
