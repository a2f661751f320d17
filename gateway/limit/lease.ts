// One lease: units of one counter that this process may spend without asking. What each step may do, and why the quota
// holds: docs/decisions/0015-leases.md.
import type { Claim, LimitRule, LimitState } from './store.ts';

/** What was counted there; `remaining` is what is left for others. */
export interface Grant extends LimitState {
  /** Units of the claim and beyond. */
  readonly granted: number;
}

/** Units that were taken in advance, of one counter. */
export interface Lease {
  readonly rule: LimitRule;
  readonly key: string;
  left: number;
  /** Units that requests have of the window from here; no more can come back. */
  spent: number;
  /** The window, by the clock of the shared counters. */
  endMs: number;
  /** Until when units are spent, by the monotonic clock of this process: before the window ends. */
  untilMs: number;
  /** When the window ends, by that clock, for the headers. */
  resetsAtMs: number;
  /** What remained for others when last heard of. */
  shared: number;
  /** Units spent since unused ones were last returned: what is worth keeping. */
  used: number;
  /** Requests that spent them. */
  uses: number;
  /** Units that the next request for more asks for beyond its own. */
  extra: number;
  isAsking: boolean;
}

/** Ends of one window are computed from clocks in steps of a millisecond; windows last a second or more. */
const sameWindowMs = 500;
/** A lease that nobody renews ends after this time, so that clocks cannot drift apart. */
const longestMs = 60_000;
/** Requests between two looks that make it worth while to renew a lease before it runs out. */
const usesThatRenew = 4;

/** A lease that holds nothing yet; its first request asks for `ahead` times its units beyond them. */
export function emptyLease({ rule, key, units }: Claim, ahead: number): Lease {
  return {
    rule,
    key,
    left: 0,
    spent: 0,
    endMs: 0,
    untilMs: 0,
    resetsAtMs: 0,
    shared: 0,
    used: 0,
    uses: 0,
    extra: units * ahead,
    isAsking: false,
  };
}

/** One claim and what its lease says to it; null: there is not enough. */
export interface Part {
  readonly claim: Claim;
  readonly lease: Lease;
  readonly state: LimitState | null;
}

/** Spends the units of a claim, if the lease has them and its window is certainly open. */
export function spentHere(claim: Claim, lease: Lease, nowMs: number): Part {
  if (nowMs >= lease.untilMs || lease.left < claim.units) return { claim, lease, state: null };
  lease.left -= claim.units;
  lease.spent += claim.units;
  lease.used += claim.units;
  lease.uses++;
  const { endMs } = lease;
  const state = {
    permitted: true,
    remaining: remainingHere(lease),
    resetMs: lease.resetsAtMs - nowMs,
    endMs,
  };
  return { claim, lease, state };
}

/** Notes what a grant says, and puts what is beyond the claim into the lease. */
export function keep(
  lease: Lease,
  grant: Grant,
  { sentAtMs, nowMs, units }: { readonly sentAtMs: number; readonly nowMs: number; readonly units: number },
): void {
  lease.shared = grant.remaining;
  if (!grant.permitted) return;
  lease.used += units;
  lease.uses++;
  lease.extra = Math.min(Math.max(units, lease.extra * 4), lease.rule.quota);
  const untilMs = endOfUse(grant, sentAtMs);
  if (untilMs <= nowMs) return;
  const isSame = nowMs < lease.untilMs && isSameWindow(lease.endMs, grant.endMs);
  lease.left = (isSame ? lease.left : 0) + grant.granted - units;
  lease.spent = (isSame ? lease.spent : 0) + units;
  lease.untilMs = isSame ? Math.max(lease.untilMs, untilMs) : untilMs;
  lease.endMs = grant.endMs;
  lease.resetsAtMs = sentAtMs + grant.resetMs;
}

/**
 * Units that a lease should take before it runs out; 0 for one that few requests use, as these may as well ask. Twice what
 * was used since the last look are kept, so that steady use never waits.
 */
export function renewalOf({ left, used, uses, isAsking }: Lease): number {
  return isAsking || uses < usesThatRenew || left >= 1.5 * used ? 0 : 2 * used - left;
}

/** Puts the units of a renewal into the lease; false when they are of another window than the lease is by now. */
export function renewed(
  lease: Lease,
  grant: Grant,
  { sentAtMs, nowMs }: { readonly sentAtMs: number; readonly nowMs: number },
): boolean {
  if (nowMs >= lease.untilMs || !isSameWindow(lease.endMs, grant.endMs)) return false;
  lease.shared = grant.remaining;
  lease.left += grant.granted;
  lease.untilMs = Math.max(lease.untilMs, endOfUse(grant, sentAtMs));
  return true;
}

/**
 * The window was open for so long when the counters answered, which was after the question was sent: so this is early. The
 * thousandth is for clocks that run apart.
 */
const endOfUse = ({ resetMs }: Grant, sentAtMs: number): number =>
  sentAtMs + Math.min(resetMs * 0.999 - 1, longestMs);

/** Undoes what was spent here, if it still can be spent. */
export function credit({ claim, lease, state }: Part, nowMs: number): void {
  if (state === null || nowMs >= lease.untilMs || !isSameWindow(lease.endMs, state.endMs)) return;
  lease.left += claim.units;
  lease.spent = Math.max(lease.spent - claim.units, 0);
  lease.used = Math.max(lease.used - claim.units, 0);
}

/** Whether two ends, by the clock of the shared counters, are of one window. */
export const isSameWindow = (one: number, other: number): boolean => Math.abs(one - other) <= sameWindowMs;

/** As far as this process knows. */
export const remainingHere = ({ rule, left, shared }: Lease): number => Math.min(left + shared, rule.quota);
