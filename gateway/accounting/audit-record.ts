// What an audit record says: who, what, when, from where, how it ended and why. Never a credential, a prompt or an
// answer; texts that a caller chose are cut.
import type { Asked, Received, Searched } from '../exchange.ts';
import type { UnroutedRequest } from './index.ts';

const longestText = 256;

/** The record of a request that went through the pipeline. */
export function requestRecord(
  received: Received,
  code: string,
  endedAt: number,
): Readonly<Record<string, unknown>> {
  const { outcome, response, route, startedAt } = received;
  return {
    event: 'request',
    at: new Date(received.receivedAt).toISOString(),
    request_id: received.id,
    client_request_id: clientRequestId(received),
    caller: received.callerAddress,
    principal: outcome.principal === null ? null : cut(outcome.principal.key),
    issuer: outcome.principal?.issuerName ?? null,
    client_id: cut(outcome.principal?.clientId ?? null),
    method: received.request.method ?? null,
    route: route.name,
    action: route.action,
    model: cut(outcome.model),
    decided_by: outcome.decidedBy,
    obliged_by: outcome.obligedBy,
    policy: received.snapshot.digest,
    upstream: outcome.upstream,
    status: response.headersSent ? response.statusCode : null,
    code,
    reason: cut(outcome.refusal?.reason ?? null),
    streamed: outcome.streamed,
    aborted: outcome.aborted,
    prompt_tokens: outcome.promptTokens,
    completion_tokens: outcome.completionTokens,
    first_byte_ms: outcome.firstByteAt === null ? null : milliseconds(outcome.firstByteAt - startedAt),
    duration_ms: milliseconds(endedAt - startedAt),
    ...(outcome.asked === null ? undefined : { asked: outcome.asked.map(askedRecord) }),
  };
}

/** Whom and what another service asked about. */
function askedRecord(asked: Asked | Searched): Readonly<Record<string, unknown>> {
  return { ...asked, subject: cut(asked.subject), resource: cut(asked.resource) };
}

/** The record of a request that reached no route. */
export function unroutedRecord(unrouted: UnroutedRequest, nowMs: number): Readonly<Record<string, unknown>> {
  return {
    event: 'request',
    at: new Date(nowMs).toISOString(),
    request_id: unrouted.id,
    caller: unrouted.callerAddress,
    principal: null,
    method: cut(unrouted.method),
    route: null,
    status: unrouted.status,
    code: unrouted.code,
    reason: cut(unrouted.reason ?? null),
  };
}

/** A caller's own id is kept when it looks like one, for finding a request from both ends. */
function clientRequestId({ request: { headers }, route }: Received): string | null {
  // AuthZEN has a name of its own for it.
  const header = headers[route.kind === 'decision' ? 'x-request-id' : 'x-client-request-id'];
  return typeof header === 'string' && /^[\x21-\x7e]{1,128}$/.test(header) ? header : null;
}

function cut(text: string | null): string | null {
  return text === null || text.length <= longestText ? text : `${text.slice(0, longestText)}…`;
}

function milliseconds(durationMs: number): number {
  return Math.round(durationMs * 1_000) / 1_000;
}
