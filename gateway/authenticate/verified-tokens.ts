// Access tokens that were verified before, so that a signature is checked once for each distinct token. The key is the
// SHA-256 of the whole text: any other spelling of the same token is simply a token that was never seen.
import { hash } from 'node:crypto';
import { KeptInUse, type KeptBounds } from '../kept-in-use.ts';
import type { Principal } from '../principal.ts';
import type { IssuerKey } from './issuer-keys.ts';
import type { KeySet } from './key-set.ts';
import { noRevocations, type RevocationCheck } from './revocations/index.ts';

/** A principal with what it stands on. */
export interface VerifiedAccessToken {
  readonly principal: Principal;
  /** The key that verified the signature, and the set that must still hold it. */
  readonly key: IssuerKey;
  readonly keySet: KeySet;
  /** Epoch ms; from then on it is verified anew, since what others said of the principal may be out of date. */
  readonly usableUntil: number;
}

/** Verifies an access token of which the SHA-256 (latin1) is known; without room its principal passes. */
export type Verify = (
  accessToken: string,
  digest: string,
  hasRoom: boolean,
) => VerifiedAccessToken | Promise<VerifiedAccessToken>;

/** An entry of the cache. */
interface KeptAccessToken extends VerifiedAccessToken {
  /** Epoch ms. */
  readonly liveUntil: number;
  /** State of the revocations under which it was last judged; rises, so that a hit costs one comparison. */
  judgedAt: number;
}

/** Bytes are what the principals take in memory, as far as it can be told from their tokens. */
const defaultBounds: KeptBounds = { maxEntries: 8_192, maxBytes: 8 * 1_048_576 };

/**
 * Bytes of a kept principal: measured, about 1,000 for a principal of any token, what the later stages keep of him
 * included, and two for each character of the token, whose claims are three quarters of it.
 */
export function keptBytes(accessToken: string): number {
  return 1_000 + 2 * accessToken.length;
}

/** What may be set apart from the verification. */
export interface VerifiedTokensOptions {
  readonly bounds?: KeptBounds;
  /** Default: none. */
  readonly revocations?: RevocationCheck;
}

/**
 * Cache before `verify`, of the principals that do not pass; those in use are not pushed out. An entry dies at its token's
 * exp (with the skew), when its key leaves the issuer's key set or the set is too old, and with the cache itself (every
 * policy reload makes a new one). After a revocation each entry is judged once more before it is used. Refusals are never
 * kept.
 */
export class VerifiedTokens {
  readonly #entries: KeptInUse<KeptAccessToken>;
  readonly #pending = new Map<string, Promise<Principal>>();
  readonly #verify: Verify;
  readonly #now: () => number;
  readonly #revocations: RevocationCheck;

  constructor(
    verify: Verify,
    now: () => number,
    { bounds = defaultBounds, revocations = noRevocations }: VerifiedTokensOptions = {},
  ) {
    this.#verify = verify;
    this.#now = now;
    this.#revocations = revocations;
    this.#entries = new KeptInUse(bounds, now);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The principal of an access token that is kept, or null. @throws as `principalOf` */
  seen(accessToken: string, digest = digestOf(accessToken)): Principal | null {
    return this.#kept(digest);
  }

  /**
   * The principal of an access token: at once when it is kept or its signature is known, else after one verification.
   * @throws GatewayError `credential_revoked`, `issuer_unavailable`, and what the verification throws
   */
  principalOf(accessToken: string): Principal | Promise<Principal> {
    const digest = digestOf(accessToken);
    // Of many first sights at the same time, one verifies.
    return this.#kept(digest) ?? this.#pending.get(digest) ?? this.#verifyOnce(accessToken, digest);
  }

  #kept(digest: string): Principal | null {
    const entry = this.#entries.get(digest);
    if (entry === undefined) return null;
    if (!this.#isLive(entry)) {
      this.#entries.delete(digest);
      return null;
    }
    if (entry.judgedAt !== this.#revocations.generation) this.#judge(entry);
    return entry.principal;
  }

  #isLive({ liveUntil, key, keySet }: KeptAccessToken): boolean {
    return this.#now() < liveUntil && keySet.holds(key);
  }

  /** @throws GatewayError `credential_revoked`, `issuer_unavailable`; it is then judged again at the next sight */
  #judge(entry: KeptAccessToken): void {
    const { generation } = this.#revocations;
    this.#revocations.judgeSigned(entry.principal);
    entry.judgedAt = generation;
  }

  #verifyOnce(accessToken: string, digest: string): Principal | Promise<Principal> {
    const bytes = keptBytes(accessToken);
    const verified = this.#verify(accessToken, digest, this.#entries.hasRoom(bytes));
    if (!(verified instanceof Promise)) return this.#keep(digest, verified, bytes);
    const pending = verified
      .then((outcome) => this.#keep(digest, outcome, bytes))
      .finally(() => this.#pending.delete(digest));
    this.#pending.set(digest, pending);
    return pending;
  }

  #keep(digest: string, verified: VerifiedAccessToken, bytes: number): Principal {
    const { principal, key, keySet, usableUntil } = verified;
    // Many tokens come once, and what is kept for a moment costs the collector more than a second judgement of the claims.
    if (principal.isPassing === true) {
      this.#revocations.judgeSigned(principal);
      return principal;
    }
    const liveUntil = Math.min(principal.expiresAt * 1000, usableUntil);
    const kept = { principal, key, keySet, usableUntil, liveUntil, judgedAt: Number.NaN };
    // A revoked one is kept too: to refuse it again costs no judgement of its claims.
    this.#entries.set(digest, kept, bytes);
    this.#judge(kept);
    return principal;
  }
}

/** By what an access token is kept: the SHA-256 of its whole text, in the smallest form: latin1, one byte a character. */
export function digestOf(accessToken: string): string {
  return hash('sha256', accessToken, 'binary');
}
