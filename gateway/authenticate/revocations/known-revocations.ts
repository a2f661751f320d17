// The revocations that this process knows, in memory, bounded. Reads are two or three Map lookups, and callers that keep
// principals ask again only when `generation` has risen: nothing runs per request.
import type { Principal } from '../../principal.ts';
import type { Revocation } from './revocation.ts';

/** How many are remembered. */
export interface RevocationBounds {
  /** With an end; beyond it the oldest are given up for a rule that refuses more. */
  readonly maxPassing: number;
  /** Without an end; beyond it none is taken. */
  readonly maxLasting: number;
}

const defaultBounds: RevocationBounds = { maxPassing: 100_000, maxLasting: 20_000 };
const sweepMs = 60_000;

/** Revocations by what they name. */
export class KnownRevocations {
  /** Rises with every change: what was judged under an older one is to be judged again. */
  generation = 0;
  /** Keys as of `keyOf`, oldest first. */
  readonly #passing = new Map<string, Revocation>();
  readonly #lasting = new Map<string, Revocation>();
  /** By issuer: tokens issued up to then are refused, since their revocation may be among those given up. */
  readonly #floors = new Map<string, number>();
  readonly #bounds: RevocationBounds;
  #nextSweepAt = 0;

  constructor(bounds = defaultBounds) {
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#passing.size + this.#lasting.size;
  }

  /** Whether there is room for a revocation without an end. */
  get hasRoom(): boolean {
    return this.#lasting.size < this.#bounds.maxLasting;
  }

  /** Whether this or more is known already. */
  covers(revocation: Revocation): boolean {
    const known = this.#find(keyOf(revocation));
    if (known === undefined) return false;
    const reachesAsFar = revocation.holder === undefined || known.at >= revocation.at;
    return reachesAsFar && (known.until ?? Infinity) >= (revocation.until ?? Infinity);
  }

  /** Takes in revocations; @returns those that say something new. */
  add(revocations: readonly Revocation[], nowMs: number): readonly Revocation[] {
    this.#sweep(nowMs);
    const added = revocations.filter((revocation) => this.#addOne(revocation, nowMs));
    if (added.length > 0) this.generation++;
    return added;
  }

  /**
   * Whether the credential of a principal is revoked.
   * Checks: its id; its holder, by key, subject and `sub`, against the time at which it was issued (unknown: refused).
   */
  revokes(principal: Principal, nowMs: number): boolean {
    if (this.size === 0 && this.#floors.size === 0) return false;
    const { issuer, credential } = principal;
    if (credential.id !== null && this.#holds(`${issuer}\n${credential.id}`, nowMs)) return true;
    const issuedAt = credential.issuedAt ?? -Infinity;
    const isApiKey = credential.kind === 'api_key';
    if (!isApiKey && issuedAt <= (this.#floors.get(issuer) ?? -Infinity)) return true;
    return holdersOf(principal).some((holder) =>
      // One entry for each reach: a password that was changed spares API keys, an administrator does not.
      [`holder ${holder}`, ...(isApiKey ? [] : [`holder but api keys ${holder}`])].some((key) => {
        const known = this.#find(key);
        return known !== undefined && isInForce(known, nowMs) && issuedAt <= known.at;
      }),
    );
  }

  #find(key: string): Revocation | undefined {
    return this.#passing.get(key) ?? this.#lasting.get(key);
  }

  #holds(key: string, nowMs: number): boolean {
    const known = this.#find(key);
    return known !== undefined && isInForce(known, nowMs);
  }

  #addOne(revocation: Revocation, nowMs: number): boolean {
    if (!isInForce(revocation, nowMs) || this.covers(revocation)) return false;
    const key = keyOf(revocation);
    const known = this.#find(key);
    const merged: Revocation =
      known === undefined
        ? revocation
        : { ...revocation, at: Math.max(known.at, revocation.at), until: later(known, revocation) };
    this.#passing.delete(key);
    if (merged.until === null) {
      if (!this.hasRoom && !this.#lasting.has(key)) return false;
      this.#lasting.set(key, merged);
      return true;
    }
    this.#passing.set(key, merged);
    if (this.#passing.size > this.#bounds.maxPassing) this.#giveUpOldest();
    return true;
  }

  #giveUpOldest(): void {
    const [oldest] = this.#passing;
    if (oldest === undefined) return;
    const [key, { issuer, at }] = oldest;
    this.#passing.delete(key);
    this.#floors.set(issuer, Math.max(at, this.#floors.get(issuer) ?? -Infinity));
  }

  #sweep(nowMs: number): void {
    if (nowMs < this.#nextSweepAt) return;
    this.#nextSweepAt = nowMs + sweepMs;
    for (const [key, revocation] of this.#passing)
      if (!isInForce(revocation, nowMs)) this.#passing.delete(key);
  }
}

function isInForce({ until }: Revocation, nowMs: number): boolean {
  return until === null || nowMs < until * 1_000;
}

function later(left: Revocation, right: Revocation): number | null {
  return left.until === null || right.until === null ? null : Math.max(left.until, right.until);
}

function keyOf(revocation: Revocation): string {
  if (revocation.credential !== undefined) return `${revocation.issuer}\n${revocation.credential}`;
  const reach = revocation.spares_api_keys === true ? 'holder but api keys' : 'holder';
  return `${reach} ${revocation.holder ?? ''}`;
}

// The policy may read the subject from another claim than `sub`, and Entra's people are counted by `oid`: whoever
// revokes may know either.
function holdersOf({ issuer, subject, key, claims }: Principal): readonly string[] {
  const holders = new Set([key, `${issuer} ${subject}`]);
  if (typeof claims['sub'] === 'string') holders.add(`${issuer} ${claims['sub']}`);
  return [...holders];
}
