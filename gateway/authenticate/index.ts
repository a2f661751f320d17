// First stage: which credential came, is it valid, who is the principal.
import type { Authenticated, Received } from '../exchange.ts';
import type { Principal } from "../principal.ts";

/** How one issuer stands, for /readyz and metrics. */
export interface IssuerStatus {
  readonly name: string;
  readonly issuer: string;
  readonly ready: boolean;
  /** Why not ready, in words fit for an operator; null when ready. */
  readonly problem: string | null;
  readonly keyCount: number;
}

/** The compiled issuers.yaml with its key sets and its cache of verified tokens. */
export interface Authentication {
  /** Synchronous for a token seen before; throws or rejects with a GatewayError. */
  verify(accessToken: string): Principal | Promise<Principal>;
  /** Issuers for RFC 9728 `authorization_servers`, in order. */
  readonly issuers: readonly string[];
  /** Scopes in RFC 9728 form, e.g. `api://sallyport/LLM.Access`. */
  readonly scopesSupported: readonly string[];
  status(): readonly IssuerStatus[];
}

export async function authenticate(_received: Received): Promise<Authenticated> {
  throw new Error('not built yet');
}
