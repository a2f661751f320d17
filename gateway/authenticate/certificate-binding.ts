// Access tokens bound to a client certificate (RFC 8705 §3).
import type { Socket } from 'node:net';
import type { ClientTrust } from './certificate/client-trust.ts';
import { connectionCertificate } from './certificate/connection-certificate.ts';
import { invalidToken } from './invalid-token.ts';

/** Whose word counts for the certificate, and when. */
export interface CertificateMoment {
  readonly clientTrust: ClientTrust | null;
  /** Epoch milliseconds. */
  readonly nowMs: number;
}

/**
 * Checks: the connection shows a certificate that counts now (connection-certificate.ts), and its SHA-256 is the thumbprint
 * of the access token.
 * Does not check: names in the certificate; the access token names its key.
 * @throws GatewayError `invalid_token`
 */
export function checkCertificate(
  socket: Socket,
  thumbprint: string,
  { clientTrust, nowMs }: CertificateMoment,
): void {
  const { fields } = connectionCertificate(socket, clientTrust, nowMs);
  // RFC 8705 §3.1: x5t#S256 is the SHA-256 of the DER of the client certificate of this connection.
  if (fields.thumbprint !== thumbprint) throw invalidToken('certificate_mismatch');
}
