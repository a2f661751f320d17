// Fourth stage: how much. Counts the request against every limit of its route; 429 with the standard headers. Model
// tokens are reserved here, all that the request may come to, and settled when its answer has ended (settle.ts).
// Also the gate before authenticate: an address that keeps presenting bad credentials is not listened to.
import { formatDuration } from '../../core/duration.ts';
import { GatewayError, type ErrorCode } from '../../core/errors.ts';
import type { Authorized, Limited, Received } from '../exchange.ts';
import { addressKey } from './address-key.ts';
import { estimatedTokens } from './estimated-tokens.ts';
import { limitHeaders, waitHeaders, waitSeconds, type Counted } from './headers.ts';
import type { CompiledLimit } from './limits-policy.ts';
import { giveBack, type Held } from './settle.ts';
import type { LimitRule } from './store.ts';

export type { Limits } from './limits-policy.ts';
export { settle } from './settle.ts';

/** What the limits say about this request; its headers go onto the answer. */
export interface Reservation {
  readonly headers: Readonly<Record<string, string>>;
  /** Model tokens that are reserved until the answer has ended. */
  readonly held: readonly Held[];
}

/**
 * Before authenticate: is this gateway fit to answer, and this address to be listened to.
 * Checks: that the audit log can be written; the address's failed authentications.
 * Does not check: anything of the credential itself (authenticate does). Requests that are under way together when
 * the limit is reached are still looked at.
 * @throws GatewayError `audit_unavailable`, `rate_limit_exceeded`, `limit_store_unavailable`
 */
export async function admit(received: Received): Promise<void> {
  const { auditLog, limitStore } = received.services;
  const problem = auditLog.problem();
  if (problem !== null)
    throw new GatewayError('audit_unavailable', { reason: problem, retryAfterSeconds: 5 });
  if (received.route.anonymous) return; // No credential is read there; the route's own limits count the address.
  const rule = received.snapshot.limits.failedAuthentications;
  const state = await limitStore.peek(rule, addressKey(received.callerAddress));
  if (state.permitted) return;
  throw tooMany(rule, state.resetMs, {
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
  // A store that is down tells of it itself; the caller already has a 401.
  received.services.limitStore.consume(rule, addressKey(received.callerAddress)).catch(() => undefined);
}

/**
 * Counts the request against the limits of its route, in their order, then against those that rules oblige to; the first
 * that is exceeded refuses it, the later ones are not counted, and model tokens reserved by the earlier ones are given
 * back.
 * Does not check: model tokens of requests without a parsed body (kind http), which have none that we know.
 * @throws GatewayError `rate_limit_exceeded`, `insufficient_quota`, `limit_store_unavailable`
 */
export async function limit(authorized: Authorized): Promise<Limited> {
  const { snapshot, services, route } = authorized;
  const counted: Counted[] = [];
  let held: Held[] = noneHeld;
  for (const name of limitsOf(route.limits, authorized.effective.obligations)) {
    const entry = snapshot.limits.byName.get(name);
    // The policy loader refuses such a bundle; were one to slip through, no limit must not mean no limit.
    if (entry === undefined) throw new GatewayError('internal_error', { reason: `unknown limit ${name}` });
    const units = unitsOf(authorized, entry);
    if (units === 0) continue;
    const key = subjectKey(authorized, entry);
    const state = await consumed(services.limitStore.consume(entry.rule, key, units), authorized, held);
    counted.push({ limit: entry, state });
    if (entry.unit === 'model_tokens')
      held = [...held, { rule: entry.rule, key, units, untilMs: Date.now() + state.resetMs }];
    if (state.permitted) continue;
    await giveBack(authorized, held);
    throw tooMany(entry.rule, state.resetMs, {
      limit: entry.unit === 'requests' ? String(entry.rule.quota) : `${entry.rule.quota} model tokens`,
      reason: entry.rule.name,
      headers: limitHeaders(counted),
    });
  }
  const reservation: Reservation = { headers: limitHeaders(counted), held };
  return Object.assign(authorized, { reservation });
}

const noneHeld: Held[] = [];

/** No limit counts a request twice. */
function limitsOf(
  own: readonly string[],
  obligations: Authorized['effective']['obligations'],
): readonly string[] {
  if (obligations === null || obligations.limits.length === 0) return own;
  return [...own, ...obligations.limits.filter((name) => !own.includes(name))];
}

/** A store that fails in the middle must not keep what was reserved before. */
async function consumed<T>(consume: Promise<T>, authorized: Authorized, held: readonly Held[]): Promise<T> {
  if (held.length === 0) return consume;
  try {
    return await consume;
  } catch (error) {
    await giveBack(authorized, held);
    throw error;
  }
}

/** One request, or the model tokens that it may come to; a request for more than all fits only into an unused quota. */
function unitsOf({ body }: Authorized, { unit, rule, openAnswerTokens }: CompiledLimit): number {
  if (unit === 'requests') return 1;
  if (body === null) return 0;
  return Math.min(Math.max(estimatedTokens(body.json, openAnswerTokens), 1), rule.quota);
}

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
