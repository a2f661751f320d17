// First stage: which credential came, is it valid, who is the principal. Trusts nothing of the request but the
// caller's address.
import type { Authenticated, Received } from '../exchange.ts';
import { anonymousPrincipal, type Principal } from '../principal.ts';
import { principalByPassword } from './basic/index.ts';
import { principalByCertificate } from './certificate/index.ts';
import { checkSyntax } from './credentials.ts';
import { readCredential } from './read-credential.ts';
import { checkSender, provesNothing } from './sender-constraint.ts';

export type { Authentication, AuthenticationDeps, IssuerStatus } from './authentication.ts';
export {
  compileCertificates,
  openClientTrust,
  type CertificateRule,
  type ClientTrust,
  type ShownCertificate,
} from './certificate/index.ts';
export { compileBasic, type BasicAuthentication } from './basic/index.ts';
export { noteHandshakes } from './certificate/connection-certificate.ts';
export { revocationBlocks } from './certificate/revocation-list.ts';
export { compileIssuers } from './compile-issuers.ts';
export { checkIntrospection } from './introspection/compile-introspection.ts';
export { createIdentityApi, type IdentityApi } from './identity-api.ts';
export { checkIssuers, type IssuerFault } from './issuer-url.ts';
export { openDpopNonces } from './dpop-nonces.ts';
export {
  openRevocations,
  type Revocation,
  type Revocations,
  type RevocationSource,
} from './revocations/index.ts';
export { issuersSchema, type IssuersPolicy } from './issuers-policy.ts';
export { createDpopServices, type DpopServices } from './sender-constraint.ts';
export { createStatedClaimsJudge, type StatedClaimsJudge } from './stated-claims.ts';

/**
 * Turns the credential of a request into a principal; synchronous when the access token was seen before.
 * Checks: exactly one credential, in a header that may carry it; everything about the access token (verify);
 * that the caller holds what a bound one is bound to (checkSender); a password where the policies name Basic; without a credential in a header, the client
 * certificate of the connection (principalByCertificate), which is bound to its caller by itself.
 * Does not check: what the principal may do (authorize) and how often (limit). On an anonymous route no credential is read.
 * @throws GatewayError `missing_credentials`, `invalid_request`, `invalid_token`, `invalid_credentials`, `invalid_dpop_proof`, `use_dpop_nonce`,
 * `insufficient_scope`, `credential_revoked`, `issuer_unavailable`, `directory_unavailable`
 */
export function authenticate(received: Received): Authenticated | Promise<Authenticated> {
  const { route, snapshot } = received;
  if (route.anonymous) return authenticatedAs(received, anonymousPrincipal(received.callerAddress));
  const read = readCredential(received);
  if (read === null) {
    const byPassword = principalByPassword(received);
    if (byPassword !== null) return byPassword.then((principal) => authenticatedAs(received, principal));
    return authenticatedAs(received, principalByCertificate(received));
  }
  const { credential, digest } = read;
  const admitted = (principal: Principal): Authenticated | Promise<Authenticated> =>
    provesNothing(received, credential, principal)
      ? authenticatedAs(received, principal)
      : checkSender(received, credential, principal).then(() => {
          // A revocation may have come while the proof was checked.
          received.services.revocations.judge(principal);
          return authenticatedAs(received, principal);
        });
  const seen = snapshot.authentication.seen(credential.accessToken, digest);
  if (seen !== null) return admitted(seen);
  checkSyntax(credential);
  const principal = snapshot.authentication.verify(credential.accessToken);
  return principal instanceof Promise ? principal.then(admitted) : admitted(principal);
}

function authenticatedAs(received: Received, principal: Principal): Authenticated {
  const authenticated = received as Received & { principal: Principal }; // Filled in place: see exchange.ts.
  authenticated.outcome.principal = principal;
  authenticated.principal = principal;
  return authenticated;
}
