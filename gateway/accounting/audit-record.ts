// What an audit record says: who, what, when, from where, how it ended and why. Never a credential, a prompt or an
// answer; texts that a caller chose are cut. A record is JSON text, because most of one repeats from request to request
// of a principal and is written once.
import type { Asked, Received, Searched } from '../exchange.ts';
import { PrincipalMemo } from '../principal-memo.ts';
import { asciiJson } from './ascii-json.ts';
import type { UnroutedRequest } from './index.ts';
import { isoTime } from './iso-time.ts';

const longestText = 256;

/** What of an ended request is the same again and again, and its text. */
interface Repeated {
  readonly route: Received['route'];
  readonly snapshot: Received['snapshot'];
  readonly method: string | undefined;
  readonly model: string | null;
  readonly decidedBy: string | null;
  readonly obligedBy: readonly string[] | null;
  readonly upstream: string | null;
  readonly status: number;
  readonly code: string;
  readonly streamed: boolean;
  readonly aborted: boolean;
  readonly text: string;
}

/** With who it was. */
const lastOf = new PrincipalMemo<Repeated & { readonly caller: string }>();

/** The members of the record of a request that went through the pipeline, as ASCII JSON without the braces. */
export function requestRecord(received: Received, code: string, endedAt: number): string {
  const { outcome, startedAt } = received;
  const { promptTokens, completionTokens, firstByteAt } = outcome;
  const clientRequestId = clientRequestIdOf(received);
  const named = clientRequestId === null ? 'null' : JSON.stringify(clientRequestId);
  const firstByteMs = firstByteAt === null ? 'null' : milliseconds(firstByteAt - startedAt);
  const asked = outcome.asked === null ? '' : asciiJson(`,"asked":${askedText(outcome.asked)}`);
  return (
    `"event":"request","at":"${isoTime(received.receivedAt)}","request_id":"${received.id}","client_request_id":${named},` +
    `${repeatedText(received, code)},"prompt_tokens":${promptTokens},"completion_tokens":${completionTokens},` +
    `"first_byte_ms":${firstByteMs},"duration_ms":${milliseconds(endedAt - startedAt)}${asked}`
  );
}

function repeatedText(received: Received, code: string): string {
  const { principal, refusal } = received.outcome;
  // A refusal has a reason of its own each time.
  if (principal === null || refusal !== null || !received.response.headersSent)
    return judgedText(received, code);
  const last = lastOf.get(principal);
  if (
    last?.caller === received.callerAddress &&
    last.code === code &&
    sameRequest(last, received) &&
    sameAnswer(last, received)
  )
    return last.text;
  const text = judgedText(received, code);
  lastOf.set(principal, { ...repeatable(received, code, text), caller: received.callerAddress });
  return text;
}

function repeatable(received: Received, code: string, text: string): Repeated {
  const { route, snapshot, outcome, response, request } = received;
  const { model, decidedBy, obligedBy, upstream, streamed, aborted } = outcome;
  return {
    ...{ route, snapshot, method: request.method, model, decidedBy, obligedBy, upstream },
    ...{ status: response.statusCode, code, streamed, aborted, text },
  };
}

function sameRequest(last: Repeated, { route, snapshot, request, outcome }: Received): boolean {
  return (
    last.route === route &&
    last.snapshot === snapshot &&
    last.method === request.method &&
    last.model === outcome.model
  );
}

function sameAnswer(last: Repeated, { outcome, response }: Received): boolean {
  return (
    last.decidedBy === outcome.decidedBy &&
    last.obligedBy === outcome.obligedBy &&
    last.upstream === outcome.upstream &&
    last.status === response.statusCode &&
    last.streamed === outcome.streamed &&
    last.aborted === outcome.aborted
  );
}

/** Who asked for what, what was decided on which grounds, and how it ended. */
function judgedText(received: Received, code: string): string {
  const { principal } = received.outcome;
  const members = {
    caller: received.callerAddress,
    principal: principal === null ? null : cut(principal.key),
    issuer: principal?.issuerName ?? null,
    client_id: cut(principal?.clientId ?? null),
  };
  return `${asciiJson(JSON.stringify(members).slice(1, -1))},${sharedText(received, code)}`;
}

/** The last such text of anybody: the same question ends alike for all. */
let latest: Repeated | null = null;

function sharedText(received: Received, code: string): string {
  // A refusal has a reason of its own each time.
  if (received.outcome.refusal !== null || !received.response.headersSent) return endText(received, code);
  if (latest?.code !== code || !sameRequest(latest, received) || !sameAnswer(latest, received))
    latest = repeatable(received, code, endText(received, code));
  return latest.text;
}

/** What was asked, what was decided on which grounds, and how it ended. */
function endText({ outcome, response, route, request, snapshot }: Received, code: string): string {
  const members = {
    method: request.method ?? null,
    route: route.name,
    action: route.action,
    model: cut(outcome.model),
    decided_by: outcome.decidedBy,
    obliged_by: outcome.obligedBy,
    policy: snapshot.digest,
    upstream: outcome.upstream,
    status: response.headersSent ? response.statusCode : null,
    code,
    reason: cut(outcome.refusal?.reason ?? null),
    streamed: outcome.streamed,
    aborted: outcome.aborted,
  };
  return asciiJson(JSON.stringify(members).slice(1, -1));
}

/** Whom and what another service asked about. */
function askedText(asked: readonly (Asked | Searched)[]): string {
  return JSON.stringify(
    asked.map((one) => ({ ...one, subject: cut(one.subject), resource: cut(one.resource) })),
  );
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
function clientRequestIdOf({ request: { headers }, route }: Received): string | null {
  // AuthZEN has a name of its own for it.
  const header = headers[route.kind === 'decision' ? 'x-request-id' : 'x-client-request-id'];
  return typeof header === 'string' && /^[\x21-\x7e]{1,128}$/.test(header) ? header : null;
}

function cut(text: string | null): string | null {
  return text === null || text.length <= longestText ? text : `${text.slice(0, longestText)}…`;
}

/** What follows the whole milliseconds, by microseconds: turning a fraction into text takes four times as long. */
const fractions = Array.from({ length: 1_000 }, (_, micros) => String(micros / 1_000).slice(1));

/** Milliseconds to three places, as JSON has them. */
function milliseconds(durationMs: number): string {
  const micros = Math.max(Math.round(durationMs * 1_000), 0);
  const whole = Math.floor(micros / 1_000);
  return `${whole}${fractions[micros - whole * 1_000] ?? ''}`;
}
