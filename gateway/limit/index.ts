// Fourth stage: how much. Counts the request against every limit of its route; 429 with the standard headers. Model
// tokens are reserved here, all that the request may come to, and settled when its answer has ended (settle.ts).
// Also the gate before authenticate: an address that keeps presenting bad credentials is not listened to.
import { formatDuration } from '../../core/duration.ts';
import { GatewayError, type ErrorCode } from '../../core/errors.ts';
import type { Authorized, Limited, Received } from '../exchange.ts';
import { addressKey } from './address-key.ts';
import { estimatedAnswer, estimatedPrompt } from './estimated-tokens.ts';
import { limitHeaders, waitHeaders, waitSeconds, type Counted } from './headers.ts';
import type { CompiledLimit } from './limits-policy.ts';
import type { Held } from './settle.ts';
import type { Claim, LimitRule, LimitState, Soon } from './store.ts';

export type { Limits } from './limits-policy.ts';
export { settle } from './settle.ts';

/** What the limits say about this request; its headers go onto the answer. */
export interface Reservation {
  readonly headers: Readonly<Record<string, string>>;
  /** Model tokens that are reserved until the answer has ended. */
  readonly held: readonly Held[];
}

/**
 * Before authenticate: is this gateway fit to answer, and this address to be listened to. Undefined where the counter is in
 * this process, a promise elsewhere.
 * Checks: that the audit log can be written; the address's failed authentications.
 * Does not check: anything of the credential itself (authenticate does). Requests that are under way together when
 * the limit is reached are still looked at.
 * @throws GatewayError `audit_unavailable`, `rate_limit_exceeded`, `limit_store_unavailable`
 */
export function admit(received: Received): Soon<void> {
  const { auditLog, limitStore } = received.services;
  const problem = auditLog.problem();
  if (problem !== null)
    throw new GatewayError('audit_unavailable', { reason: problem, retryAfterSeconds: 5 });
  if (received.route.anonymous) return; // No credential is read there; the route's own limits count the address.
  const rule = received.snapshot.limits.failedAuthentications;
  const state = limitStore.peek(rule, addressKey(received.callerAddress));
  if (state instanceof Promise) return state.then((known) => admitted(rule, known));
  admitted(rule, state);
}

function admitted(rule: LimitRule, { permitted, resetMs }: LimitState): void {
  if (permitted) return;
  throw tooMany(rule, resetMs, {
    limit: `${rule.quota} failed authentications`,
    reason: rule.name,
    headers: {},
  });
}

/** After a 401: counts the bad credential against its address; a request that brought none costs nothing. Never throws. */
export function countFailedAuthentication(received: Received, code: ErrorCode): void {
  const { authorization, 'api-key': apiKey } = received.request.headers;
  if (authorization === undefined && apiKey === undefined && code === 'missing_credentials') return;
  const rule = received.snapshot.limits.failedAuthentications;
  const counting = received.services.limitStore.countFailure(rule, addressKey(received.callerAddress));
  // A store that is down tells of it itself; the caller already has a 401.
  if (counting instanceof Promise) counting.catch(() => undefined);
}

/**
 * Counts the request against the limits of its route, in their order, then against those that rules oblige to; the first
 * that is exceeded refuses it, the later ones are not counted, and model tokens reserved by the earlier ones are given
 * back. Returns at once where the counters are in this process.
 * `refuseForGood` is asked before a limit on model tokens refuses, and may throw what waiting would not mend.
 * Does not check: model tokens of requests without a parsed body (kind http), which have none that we know.
 * @throws GatewayError `rate_limit_exceeded`, `insufficient_quota`, `limit_store_unavailable`
 */
export function limit(
  authorized: Authorized,
  refuseForGood: (authorized: Authorized) => void = passes,
): Soon<Limited> {
  const claims: LimitClaim[] = [];
  let promptTokens: number | null = null; // Read from the body once, however many limits count it.
  for (const name of limitsOf(authorized.route.limits, authorized.effective.obligations)) {
    const entry = authorized.snapshot.limits.byName.get(name);
    // The policy loader refuses such a bundle; were one to slip through, no limit must not mean no limit.
    if (entry === undefined) throw new GatewayError('internal_error', { reason: `unknown limit ${name}` });
    const isHeld = entry.unit === 'model_tokens';
    let units = 1;
    if (isHeld) {
      if (authorized.body === null) continue;
      const { json, isPlain } = authorized.body;
      promptTokens ??= estimatedPrompt(json, isPlain);
      units = heldUnits(promptTokens + estimatedAnswer(json, entry.openAnswerTokens), entry.rule);
    }
    claims.push({ limit: entry, rule: entry.rule, key: subjectKey(authorized, entry), units, isHeld });
  }
  if (claims.length === 0) return limitedBy(authorized, nothingReserved);
  const states = authorized.services.limitStore.reserve(claims);
  return states instanceof Promise
    ? states.then((known) => reserved(authorized, { claims, refuseForGood }, known))
    : reserved(authorized, { claims, refuseForGood }, states);
}

interface LimitClaim extends Claim {
  readonly limit: CompiledLimit;
}

interface Reserving {
  readonly claims: readonly LimitClaim[];
  readonly refuseForGood: (authorized: Authorized) => void;
}

const passes = (): void => undefined;
const nothingReserved: Reservation = { headers: {}, held: [] };

function reserved(
  authorized: Authorized,
  { claims, refuseForGood }: Reserving,
  states: readonly LimitState[],
): Limited {
  const counted: Counted[] = [];
  const held: Held[] = [];
  for (let index = 0; index < states.length; index++) {
    const [claim, state] = [claims[index], states[index]];
    if (claim === undefined || state === undefined) continue;
    const { limit: entry, rule, key, units } = claim;
    counted.push({ limit: entry, state });
    if (!state.permitted) {
      // What is above a ceiling fits into no window, so the caller is not told to wait for one.
      if (claim.isHeld) refuseForGood(authorized);
      throw exceeded(entry, counted, state);
    }
    if (claim.isHeld) held.push({ rule, key, units, endMs: state.endMs });
  }
  return limitedBy(authorized, { headers: limitHeaders(counted), held });
}

function limitedBy(authorized: Authorized, reservation: Reservation): Limited {
  const limited = authorized as Authorized & { reservation: Reservation }; // Filled in place: see exchange.ts.
  limited.reservation = reservation;
  return limited;
}

function exceeded(
  { unit, rule }: CompiledLimit,
  counted: readonly Counted[],
  state: LimitState,
): GatewayError {
  return tooMany(rule, state.resetMs, {
    limit: unit === 'requests' ? String(rule.quota) : `${rule.quota} model tokens`,
    reason: rule.name,
    headers: limitHeaders(counted),
  });
}

/** No limit counts a request twice. */
function limitsOf(
  own: readonly string[],
  obligations: Authorized['effective']['obligations'],
): readonly string[] {
  if (obligations === null || obligations.limits.length === 0) return own;
  return [...own, ...obligations.limits.filter((name) => !own.includes(name))];
}

/** A request for more than the whole quota fits only into an unused one. */
const heldUnits = (estimated: number, rule: LimitRule): number =>
  Math.min(Math.max(estimated, 1), rule.quota);

/** An anonymous principal has no name but its address, so principal and client count the address there. */
function subjectKey({ route, principal, callerAddress }: Authorized, { by }: CompiledLimit): string {
  if (by === 'gateway') return 'gateway';
  if (by === 'caller_address' || route.anonymous) return addressKey(callerAddress);
  if (by === 'principal' || principal.clientId === null) return principal.key;
  return `client ${principal.issuerName} ${principal.clientId}`;
}

function tooMany(
  rule: LimitRule,
  resetMs: number,
  told: { limit: string; reason: string; headers: Readonly<Record<string, string>> },
): GatewayError {
  const retryAfterSeconds = waitSeconds(resetMs);
  const { period } = rule;
  return new GatewayError(period === undefined ? 'rate_limit_exceeded' : 'insufficient_quota', {
    params: {
      limit: told.limit,
      window: period ?? formatDuration(rule.windowMs),
      retryAfter: `${retryAfterSeconds}s`,
    },
    reason: told.reason,
    retryAfterSeconds,
    headers: { ...told.headers, ...waitHeaders(resetMs) },
  });
}
