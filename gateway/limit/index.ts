// Fourth stage: how much. Counts the request against every limit of its route; 429 with the standard headers.
// Also the gate before authenticate: an address that keeps presenting bad credentials is not listened to.
import { formatDuration } from '../../core/duration.ts';
import { GatewayError, type ErrorCode } from '../../core/errors.ts';
import type { Authorized, Limited, Received } from '../exchange.ts';
import { addressKey } from './address-key.ts';
import { limitHeaders, waitHeaders, waitSeconds, type Counted } from './headers.ts';
import type { CompiledLimit } from './limits-policy.ts';
import type { LimitRule } from './store.ts';

export type { Limits } from './limits-policy.ts';

/** What the limits say about this request; its headers go onto the answer. */
export interface Reservation {
  readonly headers: Readonly<Record<string, string>>;
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
    limit: `${rule.requests} failed authentications`,
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
 * Counts the request against the limits of its route, in their order; the first that is exceeded refuses it, and the
 * later ones are not counted.
 * @throws GatewayError `rate_limit_exceeded`, `limit_store_unavailable`
 */
export async function limit(authorized: Authorized): Promise<Limited> {
  const { snapshot, services, route } = authorized;
  const counted: Counted[] = [];
  for (const name of route.limits) {
    const entry = snapshot.limits.byName.get(name);
    // The policy loader refuses such a bundle; were one to slip through, no limit must not mean no limit.
    if (entry === undefined) throw new GatewayError('internal_error', { reason: `unknown limit ${name}` });
    const state = await services.limitStore.consume(entry.rule, subjectKey(authorized, entry));
    counted.push({ limit: entry, state });
    if (state.permitted) continue;
    throw tooMany(entry.rule, state.resetMs, {
      limit: String(entry.rule.requests),
      reason: entry.rule.name,
      headers: limitHeaders(counted),
    });
  }
  const reservation: Reservation = { headers: limitHeaders(counted) };
  return Object.assign(authorized, { reservation });
}

/** An anonymous principal has no name but its address, so both kinds of limit count the address. */
function subjectKey(authorized: Authorized, entry: CompiledLimit): string {
  if (entry.by === 'caller_address' || authorized.route.anonymous)
    return addressKey(authorized.callerAddress);
  return authorized.principal.key;
}

function tooMany(
  rule: LimitRule,
  resetMs: number,
  told: { limit: string; reason: string; headers: Readonly<Record<string, string>> },
): GatewayError {
  const retryAfterSeconds = waitSeconds(resetMs);
  return new GatewayError('rate_limit_exceeded', {
    params: { limit: told.limit, window: formatDuration(rule.windowMs), retryAfter: `${retryAfterSeconds}s` },
    reason: told.reason,
    retryAfterSeconds,
    headers: { ...told.headers, ...waitHeaders(resetMs) },
  });
}
