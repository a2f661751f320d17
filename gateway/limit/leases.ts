// Units of shared counters that this process has taken in advance, so that most requests are counted without asking.
// A unit is counted as spent where all processes count before it is ever spent here, and it is spent only while the
// window that it was taken from is certainly open: so together they never permit more than the quota. The price is that
// units may lie unused here while others are refused (docs/decisions/0015-leases.md).
import {
  credit,
  emptyLease,
  isSameWindow,
  keep,
  remainingHere,
  renewalOf,
  renewed,
  spentHere,
  type Grant,
  type Lease,
  type Part,
} from './lease.ts';
import type { Claim, CountedIn, LimitRule, LimitState, Soon } from './store.ts';

export type { Grant } from './lease.ts';

/** A request to the shared counters. One of no units, alone, renews: only in the window that `back` names. */
export interface Ask {
  readonly claim: Claim;
  /** Units beyond those of the claim, of which at most a tenth of what remains is granted. */
  readonly extra: number;
  /** Unspent units that go back with the request, and the window that they are of. */
  readonly back: { readonly units: number; readonly endMs: number };
}

/** Counters that several processes share. */
export interface SharedCounters {
  /** As `LimitStore.reserve`, atomic, in one round trip. */
  take(asks: readonly Ask[]): Promise<readonly Grant[]>;
  /** As `LimitStore.adjust`. */
  adjust(counted: CountedIn, units: number): Promise<void>;
}

/** The same limits, with leases between. */
export interface Leases {
  reserve(claims: readonly Claim[]): Soon<readonly LimitState[]>;
  adjust(counted: CountedIn, units: number): Soon<void>;
  /**
   * Gives back what was not used since the last time, takes for what is used steadily, and forgets what has ended; every
   * `holdMs` by itself, with one message for many leases.
   */
  review(): Promise<void>;
  /** Gives everything back. */
  close(): Promise<void>;
}

/** How leases are held. */
export interface LeaseOptions {
  readonly holdMs: number;
  /** What the first request of a caller asks for beyond its own units, in multiples of them; default: nothing. */
  readonly ahead?: number;
  readonly now?: () => number;
}

/** Leases at one time; further counters are asked for every request. */
const maxLeases = 100_000;
/** Leases that are looked through in one turn of the event loop. */
const leasesAtOnce = 500;

/** Takes leases; what is not used within `holdMs`, or twice that at most, goes back. */
export function createLeases(
  shared: SharedCounters,
  { holdMs, ahead = 0, now = () => performance.now() }: LeaseOptions,
): Leases {
  const byName = new Map<string, Map<string, Lease>>();
  const byRule = new WeakMap<LimitRule, Map<string, Lease>>();
  let size = 0;
  const leasesOf = (rule: LimitRule): Map<string, Lease> => {
    const known = byRule.get(rule);
    if (known !== undefined) return known;
    const name = `${rule.name}:${rule.windowMs}`;
    const leases = byName.get(name) ?? new Map<string, Lease>();
    byName.set(name, leases);
    byRule.set(rule, leases);
    return leases;
  };
  const giveBack = (lease: Lease, units: number): Promise<void> => {
    lease.left -= units;
    // What cannot be given back lapses with its window.
    return shared.adjust(lease, -units).catch(() => undefined);
  };
  /** Takes units before they run out, so that requests of a busy caller need not ask, each by itself. */
  const renew = async (lease: Lease, extra: number): Promise<void> => {
    const { rule, key, endMs } = lease;
    const sentAtMs = now();
    lease.isAsking = true;
    try {
      const claim = { rule, key, units: 0, isHeld: false };
      const [grant] = await shared.take([{ claim, extra, back: { units: 0, endMs } }]);
      if (grant === undefined || grant.granted === 0) return;
      if (!renewed(lease, grant, { sentAtMs, nowMs: now() }))
        await shared.adjust({ rule, key, endMs: grant.endMs }, -grant.granted);
    } catch {
      // The store tells of it itself, and what was granted without an answer lapses; the next request asks.
    } finally {
      lease.isAsking = false;
    }
  };
  const review = async (isLast: boolean): Promise<void> => {
    const messages: Promise<void>[] = [];
    let looked = 0;
    for (const leases of byName.values()) {
      for (const [key, lease] of leases) {
        // Requests go first: this loop holds none of them up for longer than a moment.
        if (!isLast && ++looked % leasesAtOnce === 0) await new Promise((resolve) => setImmediate(resolve));
        const nowMs = now();
        const isOver = nowMs >= lease.untilMs;
        const endsSoon = isLast || lease.untilMs - nowMs < 2 * holdMs;
        const keeps = endsSoon ? 0 : 2 * lease.used;
        const lacks = endsSoon ? 0 : renewalOf(lease);
        if (!isOver && lease.left > keeps) messages.push(giveBack(lease, lease.left - keeps));
        else if (lacks > 0) messages.push(renew(lease, lacks));
        // What was used is what is asked for next; a pause is not forgotten at once.
        lease.extra = Math.max(lease.used, Math.floor(lease.extra / 2));
        lease.used = 0;
        lease.uses = 0;
        if (!lease.isAsking && (isOver || lease.left === 0) && lease.extra === 0) {
          leases.delete(key);
          size--;
        }
      }
    }
    await Promise.all(messages);
  };
  const reviewing = setInterval(() => void review(false), holdMs).unref();

  /** The lease of a counter, made when there is none; a surplus of keys has leases that are forgotten at once. */
  const leaseFor = (claim: Claim): Lease => {
    const leases = leasesOf(claim.rule);
    const known = leases.get(claim.key);
    if (known !== undefined) return known;
    const lease = emptyLease(claim, ahead);
    lease.isAsking = size >= maxLeases; // Then it takes nothing in advance.
    if (size < maxLeases) {
      leases.set(claim.key, lease);
      size++;
    }
    return lease;
  };

  return {
    reserve(claims) {
      const nowMs = now();
      const parts = claims.map((claim) => spentHere(claim, leaseFor(claim), nowMs));
      const states = statesOf(parts);
      return states ?? askFor(parts, shared, now);
    },
    adjust(counted, units) {
      const lease = leasesOf(counted.rule).get(counted.key);
      const isHere = lease !== undefined && now() < lease.untilMs && isSameWindow(lease.endMs, counted.endMs);
      if (!isHere || lease.spent + units < 0) return shared.adjust(counted, units);
      const here = Math.min(units, lease.left); // All of what goes back.
      lease.left -= here;
      lease.spent += here;
      return here === units ? undefined : shared.adjust(counted, units - here);
    },
    review: () => review(false),
    close() {
      clearInterval(reviewing);
      return review(true);
    },
  };
}

function statesOf(parts: readonly Part[]): readonly LimitState[] | null {
  const states: LimitState[] = [];
  for (const { state } of parts) {
    if (state === null) return null;
    states.push(state);
  }
  return states;
}

/** One request to the shared counters for all claims that their leases cannot meet. */
async function askFor(
  parts: readonly Part[],
  shared: SharedCounters,
  now: () => number,
): Promise<readonly LimitState[]> {
  const sentAtMs = now();
  const asking: Lease[] = [];
  const asks = parts.flatMap(({ claim, lease, state }): Ask[] => {
    if (state !== null) return [];
    // What is left goes back with the request: the shared counters then decide about all that there is.
    const back = { units: sentAtMs < lease.untilMs ? lease.left : 0, endMs: lease.endMs };
    lease.left = 0;
    // Of requests that come together one asks for more, or they would take all that there is.
    const extra = lease.isAsking ? 0 : lease.extra;
    if (!lease.isAsking) asking.push(lease);
    lease.isAsking = true;
    return [{ claim, extra, back }];
  });
  let grants: readonly Grant[];
  try {
    grants = await shared.take(asks);
  } catch (error) {
    for (const part of parts) credit(part, now());
    throw error;
  } finally {
    for (const lease of asking) lease.isAsking = false;
  }
  return granted(parts, grants, { sentAtMs, nowMs: now() });
}

function granted(
  parts: readonly Part[],
  grants: readonly Grant[],
  at: { readonly sentAtMs: number; readonly nowMs: number },
): readonly LimitState[] {
  const states: LimitState[] = [];
  const answers = grants.values();
  for (const [index, { claim, lease, state }] of parts.entries()) {
    if (state !== null) {
      states.push(state);
      continue;
    }
    const { value: grant } = answers.next();
    if (grant === undefined) throw new RangeError('the shared counters have not answered for every limit');
    keep(lease, grant, { ...at, units: claim.units });
    const { permitted, resetMs, endMs } = grant;
    states.push({ permitted, remaining: remainingHere(lease), resetMs, endMs });
    if (permitted) continue;
    // Refused: what earlier claims hold and what later ones have counted here goes back.
    for (const [other, part] of parts.entries())
      if (other > index || part.claim.isHeld) credit(part, at.nowMs);
    return states;
  }
  return states;
}
