// Access tokens that were verified before, so that a signature is checked once for each distinct token. The key is the
// SHA-256 of the whole text: any other spelling of the same token is simply a token that was never seen.
import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
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

/** Bounds of the cache. */
export interface CacheBounds {
  readonly maxEntries: number;
  /** Characters of access tokens, a measure for the memory that their claims take. */
  readonly maxCharacters: number;
}

/** An entry of the cache. */
interface KeptAccessToken extends VerifiedAccessToken {
  /** Epoch ms. */
  readonly liveUntil: number;
  /** State of the revocations under which it was last judged; rises, so that a hit costs one comparison. */
  judgedAt: number;
}

const defaultBounds: CacheBounds = { maxEntries: 20_000, maxCharacters: 32 * 1_048_576 };

/** What may be set apart from the verification. */
export interface VerifiedTokensOptions {
  readonly bounds?: CacheBounds;
  /** Default: none. */
  readonly revocations?: RevocationCheck;
}

/**
 * Cache before `verify`. An entry dies at its token's exp (with the skew), when its key leaves the issuer's key set or
 * the set is too old, and with the cache itself (every policy reload makes a new one). After a revocation each entry is
 * judged once more before it is used. Refusals are never kept.
 */
export class VerifiedTokens {
  readonly #entries: LRUCache<string, KeptAccessToken>;
  readonly #pending = new Map<string, Promise<Principal>>();
  readonly #verify: (accessToken: string) => Promise<VerifiedAccessToken>;
  readonly #now: () => number;
  readonly #revocations: RevocationCheck;

  constructor(
    verify: (accessToken: string) => Promise<VerifiedAccessToken>,
    now: () => number,
    { bounds = defaultBounds, revocations = noRevocations }: VerifiedTokensOptions = {},
  ) {
    this.#verify = verify;
    this.#now = now;
    this.#revocations = revocations;
    this.#entries = new LRUCache({
      max: bounds.maxEntries,
      maxSize: bounds.maxCharacters,
      maxEntrySize: bounds.maxCharacters,
    });
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The principal of an access token: at once when it was seen before, else after one verification. */
  principalOf(accessToken: string): Principal | Promise<Principal> {
    const digest = hash('sha256', accessToken, 'base64');
    const entry = this.#entries.get(digest);
    if (entry !== undefined) {
      if (this.#isLive(entry)) {
        if (entry.judgedAt !== this.#revocations.generation) this.#judge(entry);
        return entry.principal;
      }
      this.#entries.delete(digest);
    }
    // Of many first sights at the same time, one verifies.
    return this.#pending.get(digest) ?? this.#verifyOnce(digest, accessToken);
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

  #verifyOnce(digest: string, accessToken: string): Promise<Principal> {
    const pending = this.#verify(accessToken)
      .then((verified) => {
        const liveUntil = Math.min(verified.principal.expiresAt * 1000, verified.usableUntil);
        const kept = { ...verified, liveUntil, judgedAt: Number.NaN };
        // A revoked one is kept too: to refuse it again costs no signature.
        this.#entries.set(digest, kept, { size: accessToken.length });
        this.#judge(kept);
        return verified.principal;
      })
      .finally(() => this.#pending.delete(digest));
    this.#pending.set(digest, pending);
    return pending;
  }
}
