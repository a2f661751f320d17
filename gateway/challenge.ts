// The one builder of `WWW-Authenticate` values (RFC 6750 §3, RFC 9449 §7.1, RFC 9470 §3, RFC 9728 §5.1). Pure: the catalogue says which challenge a
// code carries, the context where our resource metadata is and which scopes this gateway asks for.
import type { GatewayError } from '../core/errors.ts';
import { dpopAlgorithms } from './dpop-algorithms.ts';

/** What a challenge names besides the fault. */
export interface ChallengeContext {
  /** Address of our RFC 9728 document. */
  readonly resourceMetadataUrl: string;
  /** Scopes in the form that a client requests, e.g. `api://sallyport/LLM.Access`. */
  readonly scopes: readonly string[];
  /** Scheme of the credential that was refused; default: Bearer. */
  readonly presentedScheme?: 'Bearer' | 'DPoP';
  /** A password of a local account is accepted too, over this connection. */
  readonly offersBasic?: boolean;
}

const realm = 'sallyport';
const algorithms = dpopAlgorithms.join(' ');

/**
 * The `WWW-Authenticate` value of a refusal, or null when its code carries none. A fault belongs to the scheme that was
 * presented; where signing in anew helps (401), a caller who used Bearer learns that DPoP is accepted too.
 */
export function challengeFor(refusal: GatewayError, context: ChallengeContext): string | null {
  const { challenge, status } = refusal.definition;
  if (challenge === null) return null;
  const isDpop =
    context.presentedScheme === 'DPoP' ||
    challenge === 'invalid_dpop_proof' ||
    challenge === 'use_dpop_nonce';
  const parameters: [string, string][] = [['realm', realm]];
  // RFC 6750 §3.1: a request without credentials gets no error code and no further description.
  if (challenge !== 'none')
    parameters.push(['error', challenge], ['error_description', refusal.publicMessage]);
  // RFC 6750 §3.1: insufficient_scope may name the scope that is needed.
  if (challenge === 'insufficient_scope' && context.scopes.length > 0)
    parameters.push(['scope', context.scopes.join(' ')]);
  const { stepUp } = refusal;
  // RFC 9470 §3: acr_values and max_age say which sign-in would be enough.
  if (stepUp !== undefined && stepUp.acrValues.length > 0)
    parameters.push(['acr_values', stepUp.acrValues.join(' ')]);
  if (stepUp !== undefined && stepUp.maxAge !== null) parameters.push(['max_age', String(stepUp.maxAge)]);
  // RFC 9728 §5.1: resource_metadata tells a client where to learn how to get a token.
  parameters.push(['resource_metadata', context.resourceMetadataUrl]);
  // RFC 9449 §7.1: algs lists the algorithms that proofs may have.
  if (isDpop) return rendered('DPoP', [...parameters, ['algs', algorithms]]);
  const bearer = rendered('Bearer', parameters);
  // Who must sign in again has shown which scheme is in use.
  if (status !== 401 || stepUp !== undefined) return bearer;
  const challenges = [bearer, rendered('DPoP', [['algs', algorithms]])];
  // RFC 7617 §2.1: charset tells a client to send UTF-8.
  if (context.offersBasic === true)
    challenges.push(
      rendered('Basic', [
        ['realm', realm],
        ['charset', 'UTF-8'],
      ]),
    );
  return challenges.join(', ');
}

function rendered(scheme: string, parameters: readonly [string, string][]): string {
  return `${scheme} ${parameters.map(([name, value]) => `${name}="${quotable(value)}"`).join(', ')}`;
}

// RFC 6750 §3: values hold only %x20-21, %x23-5B, %x5D-7E, hence never a quote, a backslash or a control character.
function quotable(value: string): string {
  return value.replaceAll(/[^\x20-\x21\x23-\x5B\x5D-\x7E]/g, '?');
}
