// Access tokens bound to a client certificate (RFC 8705 §3). The certificate is the one of this very TLS connection:
// no header can bring one, whoever sends it.
import { hash } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { invalidToken } from './invalid-token.ts';

/**
 * Checks: the connection is TLS to this process, its client certificate was verified against `tls.client_ca` (chain,
 * purpose, revocation list) and is valid now, and its SHA-256 is the thumbprint of the access token.
 * Does not check: names in the certificate; the access token names its key.
 * @throws GatewayError `invalid_token`
 */
export function checkCertificate(socket: Socket, thumbprint: string, nowMs: number): void {
  if (!(socket instanceof TLSSocket)) throw invalidToken('certificate_missing');
  const certificate = socket.getPeerX509Certificate();
  // `authorized` alone says little: it is true as well for a resumed connection that showed no certificate.
  if (certificate === undefined) throw invalidToken('certificate_missing');
  if (!socket.authorized) throw invalidToken('certificate_untrusted');
  // A connection can outlive its certificate.
  if (!(nowMs >= certificate.validFromDate.getTime() && nowMs < certificate.validToDate.getTime()))
    throw invalidToken('certificate_expired');
  // RFC 8705 §3.1: x5t#S256 is the SHA-256 of the DER of the client certificate of this connection.
  if (hash('sha256', certificate.raw, 'base64url') !== thumbprint) throw invalidToken('certificate_mismatch');
}
