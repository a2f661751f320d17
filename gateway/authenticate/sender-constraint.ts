// Whether the caller holds what its access token is bound to: a DPoP key (RFC 9449), a client certificate (RFC 8705) or
// both. Runs on every request with a bound access token; others never come here.
import { hash } from 'node:crypto';
import { GatewayError } from '../../core/errors.ts';
import type { Received } from '../exchange.ts';
import type { LimitRule } from '../limit/store.ts';
import type { Binding, Principal } from '../principal.ts';
import { checkCertificate } from './certificate-binding.ts';
import type { PresentedCredential } from './credentials.ts';
import type { DpopNonces } from './dpop-nonces.ts';
import { proofWindow, verifyDpopProof, type VerifiedProof } from './dpop-proof.ts';
import { invalidDpopProof } from './invalid-dpop-proof.ts';
import { invalidToken } from './invalid-token.ts';
import { SeenProofs } from './seen-proofs.ts';

/** What the checks remember between requests. */
export interface DpopServices {
  readonly nonces: DpopNonces;
  readonly seen: SeenProofs;
}

const windowMs = (proofWindow.maxAgeSeconds + proofWindow.maxAheadSeconds) * 1000;
/** One use in the window, where the counters are shared with other processes. */
const oneUse: LimitRule = { name: 'dpop-proof', quota: 1, windowMs };

/** The memory of a gateway process. */
export function createDpopServices(nonces: DpopNonces): DpopServices {
  return { nonces, seen: new SeenProofs({ windowMs }) };
}

/** Whether the request has nothing to prove: an unbound access token, sent as Bearer, where that is enough. */
export function provesNothing(
  { route }: Received,
  credential: PresentedCredential,
  principal: Principal,
): boolean {
  return principal.binding === null && credential.scheme === 'Bearer' && !route.requiresBoundToken;
}

/**
 * Checks what the access token is bound to.
 * Checks: a bound access token where the route or the scheme asks for one; its client certificate, its DPoP proof, the
 * nonce where the issuer's entry asks for one, and that the proof was not used before.
 * Does not check: the access token itself (verify).
 * @throws GatewayError `invalid_token`, `invalid_dpop_proof`, `use_dpop_nonce`, `limit_store_unavailable`
 */
export async function checkSender(
  received: Received,
  credential: PresentedCredential,
  principal: Principal,
): Promise<void> {
  const { binding } = principal;
  if (binding === null) throw invalidToken('unbound');
  const { jkt, certificateThumbprint } = binding;
  if (certificateThumbprint !== null)
    checkCertificate(received.request.socket, certificateThumbprint, {
      clientTrust: received.services.clientTrust,
      nowMs: received.receivedAt,
    });
  if (jkt === null) {
    // RFC 9449 §7.1: the DPoP scheme is for access tokens that are bound to a DPoP key.
    if (credential.scheme === 'DPoP') throw invalidToken('unbound');
    return;
  }
  // RFC 9449 §7.2: a DPoP-bound access token is refused as Bearer.
  if (credential.scheme !== 'DPoP') throw invalidToken('bound_as_bearer');
  const proof = await verifyDpopProof(onlyProof(received.request.rawHeaders), {
    method: received.request.method ?? '',
    url: `${received.services.publicUrl}${received.target.path}`,
    accessToken: credential.accessToken,
    jkt,
    nowMs: received.receivedAt,
  });
  if (binding.requiresNonce) checkNonce(received, proof);
  await checkFirstUse(received, proof, { jkt, holder: principal.key });
}

// RFC 9449 §4.3: there is exactly one DPoP header. Node's `headers` would join two.
function onlyProof(rawHeaders: readonly string[]): string {
  const proofs = rawHeaders.flatMap((name, index) =>
    index % 2 === 0 && name.toLowerCase() === 'dpop' ? [rawHeaders[index + 1]] : [],
  );
  const [proof] = proofs;
  if (proof === undefined) throw invalidDpopProof('proof_missing');
  if (proofs.length > 1) throw invalidDpopProof('proof_doubled');
  return proof;
}

function checkNonce({ services, response, receivedAt }: Received, { nonce }: VerifiedProof): void {
  const { nonces } = services.dpop;
  const state = nonces.judge(nonce, receivedAt);
  if (state === 'current') return;
  const current = nonces.current(receivedAt);
  // RFC 9449 §9: without a nonce of ours the answer asks for one and brings it.
  if (state === 'unknown')
    throw new GatewayError('use_dpop_nonce', {
      reason: nonce === undefined ? 'nonce_missing' : 'nonce_unknown',
      headers: { 'dpop-nonce': current },
    });
  // RFC 9449 §8.2: any answer may bring the next nonce, so that the caller need not come twice.
  response.setHeader('dpop-nonce', current);
}

async function checkFirstUse(
  { services, receivedAt }: Received,
  { jti, issuedAt }: VerifiedProof,
  { jkt, holder }: { readonly jkt: NonNullable<Binding['jkt']>; readonly holder: string },
): Promise<void> {
  const use = services.dpop.seen.admit({ holder, jkt, jti, issuedAt }, receivedAt);
  // RFC 9449 §11.1: a proof is accepted once.
  if (use === 'replayed') throw invalidDpopProof('proof_replayed');
  if (use === 'too_many') throw invalidDpopProof('proof_too_many');
  if (services.limitStore.kind === 'process') return;
  // Other workers and gateways see it too.
  const { permitted } = await services.limitStore.consume(
    oneUse,
    hash('sha256', `${jkt} ${jti}`, 'base64url'),
  );
  if (!permitted) throw invalidDpopProof('proof_replayed');
}
