// What the authenticate stage offers to the rest of the gateway: the compiled issuers.yaml and how its issuers stand.
import type { Logger } from '../../core/log.ts';
import type { InPlaceTime } from '../in-place-time.ts';
import type { Principal } from '../principal.ts';
import type { SecondSight } from '../second-sight.ts';
import type { IdentityApi } from './identity-api.ts';
import type { IntrospectionOutcome } from './introspection/introspector.ts';
import type { Revocations } from './revocations/index.ts';

/** How one issuer stands, for /readyz and metrics. */
export interface IssuerStatus {
  /** The key in issuers.yaml. */
  readonly name: string;
  readonly issuer: string;
  /** Where its metadata document is read. */
  readonly metadataUrl: string;
  /** Whether there are usable keys, so that its tokens can be judged. */
  readonly ready: boolean;
  /** Why not ready, or why the keys may be out of date, in words fit for an operator; null when all is well. */
  readonly problem: string | null;
  /** Why credentials cannot be looked up there; null when they can, undefined when they are not. */
  readonly introspectionProblem?: string | null;
  readonly keyCount: number;
  /** Epoch ms at which the issuer last gave its keys; null when it never did. */
  readonly keysFetchedAt: number | null;
}

/** An accepted `iss`, for whoever revokes its credentials. */
export interface AcceptedIssuerName {
  /** The key in issuers.yaml. */
  readonly name: string;
  readonly issuer: string;
  /** Entra: the tenant; null for other issuers. */
  readonly tenantId: string | null;
  /** Whether its credentials may live without an end: a revocation then has none either. */
  readonly credentialsMayLast: boolean;
}

/** The compiled issuers.yaml with its key sets and its cache of verified tokens. */
export interface Authentication {
  /**
   * The principal of an access token that is kept since an earlier request, or null. The text may have any form: what is
   * kept was judged whole, form included. `digest` is that of verified-tokens.ts, where it is known.
   * @throws GatewayError where what is kept no longer works
   */
  seen(accessToken: string, digest?: string): Principal | null;
  /** Synchronous for a token seen before; throws or rejects with a GatewayError. */
  verify(accessToken: string): Principal | Promise<Principal>;
  /** Issuers for RFC 9728 `authorization_servers`, in order. */
  readonly issuers: readonly string[];
  /** Scopes in RFC 9728 form, e.g. `api://sallyport/LLM.Access`. */
  readonly scopesSupported: readonly string[];
  /** Every accepted `iss` with the entry that it belongs to. */
  readonly accepted: readonly AcceptedIssuerName[];
  status(): readonly IssuerStatus[];
  /**
   * Reads the last good keys from disk, then fetches at once and on schedule. Resolves when the first round is over,
   * well or badly (5 s at most), and never rejects. Called once this Authentication is the one in use.
   */
  start(): Promise<void>;
  /** Fetches the keys of every issuer now; never rejects. */
  refresh(): Promise<void>;
  /** Ends the schedules that no other started Authentication shares; tokens can still be verified. */
  close(): void;
}

/** What `compileIssuers` needs from its surroundings. */
export interface AuthenticationDeps {
  /** What `issuer: embedded` stands for; undefined or null: `embedded` is a fault. */
  readonly embeddedIssuer?: string | null | undefined;
  /** Folder for the last good key sets; undefined or null: none are kept. */
  readonly dataDir?: string | null | undefined;
  readonly log: Logger;
  /** PEM text of a further certificate authority for the issuers. */
  readonly issuerCa?: string | undefined;
  /** What no longer works; default: nothing. */
  readonly revocations?:
    Pick<Revocations, 'generation' | 'judgeSigned' | 'isRevoked' | 'isFeedLost'> | undefined;
  /** Where credentials of `issuer: embedded` are looked up; absent: they cannot be. */
  readonly identityApi?:
    (Pick<IdentityApi, 'introspect'> & Partial<Pick<IdentityApi, 'verifyPassword'>>) | undefined;
  /** After each question about a credential, with the name of the issuer's entry. */
  readonly onIntrospection?: ((issuerName: string, outcome: IntrospectionOutcome) => void) | undefined;
  /** Wall clock, epoch ms. */
  readonly now?: (() => number) | undefined;
  /** What may be checked in place, on the event loop; default: what this process has. */
  readonly inPlace?: InPlaceTime | undefined;
  /** Which access tokens came lately; default: what this process saw. */
  readonly lately?: SecondSight;
  /** Clock for durations, ms; never set back. */
  readonly monotonic?: (() => number) | undefined;
  /** The Authentication in use: its key sets go on living in the new one. */
  readonly previous?: Authentication | null | undefined;
}
