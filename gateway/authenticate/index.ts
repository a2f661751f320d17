// First stage: which credential came, is it valid, who is the principal. Trusts nothing of the request but the
// caller's address.
import { GatewayError } from '../../core/errors.ts';
import type { Authenticated, Received } from '../exchange.ts';
import { anonymousPrincipal, type Principal } from '../principal.ts';
import { presentedAccessToken } from './credentials.ts';

export type { Authentication, AuthenticationDeps, IssuerStatus } from './authentication.ts';
export { compileIssuers } from './compile-issuers.ts';
export { checkIssuers, type IssuerFault } from './issuer-url.ts';
export { issuersSchema, type IssuersPolicy } from './issuers-policy.ts';

/**
 * Turns the credential of a request into a principal; synchronous when the access token was seen before.
 * Checks: exactly one credential, in a header that may carry it; everything about the access token (verify).
 * Does not check: what the principal may do (authorize) and how often (limit). On an anonymous route no credential is read.
 * @throws GatewayError `missing_credentials`, `invalid_request`, `invalid_token`, `insufficient_scope`, `issuer_unavailable`
 */
export function authenticate(received: Received): Authenticated | Promise<Authenticated> {
  const { route, request, target, snapshot } = received;
  if (route.anonymous) return authenticatedAs(received, anonymousPrincipal(received.callerAddress));
  const accessToken = presentedAccessToken(request.rawHeaders, target.path, target.query);
  if (accessToken === null) throw new GatewayError('missing_credentials', { reason: 'no_credentials' });
  const principal = snapshot.authentication.verify(accessToken);
  if (principal instanceof Promise) return principal.then((verified) => authenticatedAs(received, verified));
  return authenticatedAs(received, principal);
}

// The exchange is filled in place: the hot path copies nothing.
function authenticatedAs(received: Received, principal: Principal): Authenticated {
  received.outcome.principal = principal;
  return Object.assign(received, { principal });
}
