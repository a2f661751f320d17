// Client certificates as credentials of their own: a request without any other credential, over a connection whose
// certificate an entry of `client_certificates` knows.
import type { Socket } from 'node:net';
import { GatewayError } from '../../../core/errors.ts';
import type { Received } from '../../exchange.ts';
import type { Principal } from '../../principal.ts';
import { certificatePrincipal, type CertificateRule } from './certificate-rules.ts';
import { bringsCertificate, connectionCertificate, type ShownCertificate } from './connection-certificate.ts';

export { compileCertificates, certificatePrincipal, type CertificateRule } from './certificate-rules.ts';
export { openClientTrust, type ClientTrust } from './client-trust.ts';
export type { ShownCertificate } from './connection-certificate.ts';

interface Known extends ShownCertificate {
  readonly rules: readonly CertificateRule[];
  readonly principal: Principal;
}

/** The principal of a connection, as long as entries and certificate are the same. */
const principals = new WeakMap<object, Known>();

/**
 * The principal of a request that brings no credential but, perhaps, the certificate of its connection.
 * Checks: there is no Authorization field, whose certificate would only be its binding; the certificate counts now
 * (connection-certificate.ts); an entry matches (certificate-rules.ts). One that is shown and does not count is refused:
 * its caller is never taken for somebody without a credential. It was not revoked by its `x5t#S256` or subject.
 * @throws GatewayError `missing_credentials`, `invalid_token`, `credential_revoked`
 */
export function principalByCertificate({ request, snapshot, services, receivedAt }: Received): Principal {
  const rules = snapshot.clientCertificates;
  const { socket } = request;
  if (rules === null || request.headers.authorization !== undefined || !bringsCertificate(socket))
    throw new GatewayError('missing_credentials', { reason: 'no_credentials' });
  const shown = connectionCertificate(socket, services.clientTrust, receivedAt);
  const principal = knownPrincipal(socket, shown, rules, receivedAt);
  services.revocations.judge(principal);
  return principal;
}

function knownPrincipal(
  socket: Socket,
  shown: ShownCertificate,
  rules: readonly CertificateRule[],
  receivedAt: number,
): Principal {
  const known = principals.get(socket);
  if (
    known?.rules === rules &&
    known.fields === shown.fields &&
    known.authorities.length === shown.authorities.length &&
    known.authorities.every((each, index) => each === shown.authorities[index]) &&
    receivedAt < known.principal.expiresAt * 1_000
  )
    return known.principal;
  const principal = certificatePrincipal(shown, rules, receivedAt);
  principals.set(socket, { ...shown, rules, principal });
  return principal;
}
