// HTTP Basic for local accounts (RFC 7617): only where the policies name it, and only where nobody on the way can read along.
import { TLSSocket } from 'node:tls';
import { GatewayError } from '../../../core/errors.ts';
import type { Received } from '../../exchange.ts';
import type { Principal } from '../../principal.ts';
import type { AuthenticationDeps } from '../authentication.ts';
import { judgeIntrospection } from '../introspection/judge-introspection.ts';
import { invalidToken } from '../invalid-token.ts';
import { issuerRules, type IssuerRules } from '../issuer-rules.ts';
import { issuerForms } from '../issuer-url.ts';
import type { IssuersPolicy } from '../issuers-policy.ts';
import { isBasic, parseBasic } from './basic-credentials.ts';
import { PasswordVerifier } from './password-verifier.ts';

/** The compiled section. */
export interface BasicAuthentication {
  /** Whether a password may be sent over this connection. */
  readonly isSafeFor: (received: Pick<Received, 'request'>) => boolean;
  readonly verifier: PasswordVerifier;
}

/** Compiles the section; null without it. Checks by whom an account is known: the entry of `issuer: embedded`. */
export function compileBasic(
  policy: IssuersPolicy,
  deps: AuthenticationDeps,
  /** TLS ends before this gateway, so that a connection over loopback says nothing of the caller's. */
  isBehindProxy: boolean,
): BasicAuthentication | null {
  const { basic } = policy;
  const rules = embeddedRules(policy, deps.embeddedIssuer ?? null);
  if (basic === undefined || rules === null) return null;
  const { identityApi, revocations, now = Date.now, monotonic = () => performance.now() } = deps;
  return {
    isSafeFor: ({ request }) =>
      request.socket instanceof TLSSocket ||
      basic.accept_behind_proxy ||
      (!isBehindProxy &&
        isLoopbackAddress(request.socket.remoteAddress) &&
        isLoopbackAddress(request.socket.localAddress) &&
        // Somebody forwards: what lies before him is unknown.
        forwardingHeaders.every((name) => request.headers[name] === undefined)),
    verifier: new PasswordVerifier({
      ask: async (credentials, callerAddress, signal) => {
        if (identityApi?.verifyPassword === undefined)
          throw new Error('gateway.embedded_identity is not set');
        return identityApi.verifyPassword({ ...credentials, callerAddress }, signal);
      },
      judge: (claims) => passwordPrincipal(claims, rules, now() / 1_000),
      isRevoked: (principal) => revocations?.isRevoked(principal) === true,
      maxAgeMs: () =>
        revocations?.isFeedLost(rules.issuer) === true
          ? Math.min(maxAgeWithoutFeedMs, basic.cache)
          : basic.cache,
      monotonic,
    }),
  };
}

/** While revocations do not arrive, a password is asked about this often. */
const maxAgeWithoutFeedMs = 500;
const forwardingHeaders = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'via'];

function isLoopbackAddress(address: string | undefined): boolean {
  return address !== undefined && /^(127\.|::1$|::ffff:127\.)/.test(address);
}

function embeddedRules(policy: IssuersPolicy, embeddedIssuer: string | null): IssuerRules | null {
  for (const [name, entry] of Object.entries(policy.issuers)) {
    const [form] = entry.issuer === 'embedded' ? issuerForms(entry, embeddedIssuer) : [];
    if (form !== undefined) return issuerRules(name, entry, form);
  }
  return null;
}

/**
 * The principal of identity's answer.
 * Checks: the answer is about a password; its claims by the rules of the entry, as for an access token.
 * @throws GatewayError `invalid_credentials`, `invalid_token`, `insufficient_scope`, `issuer_unavailable`
 */
function passwordPrincipal(
  answer: Readonly<Record<string, unknown>>,
  rules: IssuerRules,
  nowSeconds: number,
): Principal {
  if (answer['active'] === false) throw new GatewayError('invalid_credentials', { reason: 'password' });
  const { token_type: kind, ...claims } = answer;
  if (kind !== 'password') throw new GatewayError('issuer_unavailable', { reason: 'password_answer' });
  const principal = judgeIntrospection(claims, rules, nowSeconds);
  return Object.freeze({ ...principal, credential: { ...principal.credential, kind: 'password' as const } });
}

/**
 * The principal of a request with Basic credentials, or null when it has none or the policies do not name them.
 * Checks: a connection that nobody else reads (TLS to this process, loopback without a forwarder, or a proxy that the policies
 * accept), form (basic-credentials.ts), name and password (identity), the rules of the issuer's entry, revocation; a route
 * for sender-constrained tokens refuses a password, which is bound to nothing.
 * @throws GatewayError `missing_credentials`, `invalid_request`, `invalid_credentials`, `rate_limit_exceeded` …
 */
export function principalByPassword(received: Received): Promise<Principal> | null {
  const { basic } = received.snapshot;
  if (basic === null) return null;
  const { authorization } = received.request.headers;
  if (authorization === undefined || !isBasic(authorization)) return null;
  if (!basic.isSafeFor(received))
    throw new GatewayError('missing_credentials', { reason: 'basic_in_clear_text' });
  if (received.route.requiresBoundToken) throw invalidToken('unbound');
  return basic.verifier.principalOf(parseBasic(authorization), received.callerAddress);
}
