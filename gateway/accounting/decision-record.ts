// What is kept of a decision, so that it can be made again under other policies: who (claims), what, in which
// circumstances, and what came of it. Never a credential, a prompt or an answer. Two kinds of lines: a principal once for
// each file, then decisions that name it by number.
import type { ErrorCode } from '../../core/errors.ts';
import { requestFacts, type RequestFacts } from '../request-facts.ts';
import type { Parsed, Received } from '../exchange.ts';
import type { Principal } from '../principal.ts';
import { asciiJson } from './ascii-json.ts';
import type { LineBuffer } from './line-buffer.ts';

/** One decision as it was made. */
export interface DecisionRecord {
  readonly id: string;
  /** Epoch ms. */
  readonly at: number;
  readonly route: string;
  readonly action: string;
  readonly model: string | null;
  /** Address of the caller. */
  readonly from: string;
  /** Null where the body was not read. */
  readonly facts: RequestFacts | null;
  readonly decision: 'permit' | 'deny';
  /** `permit`, or the code that the caller got. */
  readonly code: string;
  /** `roles.LLM.User`, `rules.freeze`; null when nothing permitted. */
  readonly by: string | null;
  /** Digest of the bundle that decided. */
  readonly policy: string;
}

/** Refusals that authorize makes; every other one has nothing to do with what roles and rules say. */
const refusalsOfAuthorize: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'access_denied',
  'admin_access_required',
  'insufficient_user_authentication',
  'model_not_found',
]);

/** The decision of a request that has ended; null when none was made, or of a route that is open to anybody. */
export function decisionRecord(received: Received): DecisionRecord | null {
  const decided = decisionOf(received);
  if (decided === null) return null;
  const { outcome, route, snapshot } = received;
  // Filled in place by the body stage: see exchange.ts.
  const body = outcome.bodyAsJudged ?? (received as Received & Partial<Parsed>).body;
  return {
    id: received.id,
    at: received.receivedAt,
    route: route.name,
    action: route.action,
    model: outcome.model,
    from: received.callerAddress,
    facts: body === undefined || body === null ? null : requestFacts(body.json),
    decision: decided,
    code: decided === 'permit' ? 'permit' : (outcome.refusal?.code ?? 'access_denied'),
    by: outcome.decidedBy,
    policy: snapshot.digest,
  };
}

function decisionOf(received: Received): 'permit' | 'deny' | null {
  if (received.route.anonymous || received.outcome.principal === null) return null;
  if ('effective' in received) return 'permit'; // What comes after authorize refused, if anything did.
  const { refusal } = received.outcome;
  return refusal !== null && refusalsOfAuthorize.has(refusal.code) ? 'deny' : null;
}

/** Longest model name that is kept; a longer one is no model's. */
const longestModel = 256;

/** Writes the lines of decisions about one principal; what does not change from one to the next is written once. */
export class DecisionLines {
  readonly #number: number;
  #last: DecisionRecord | null = null;
  #rest = '';
  #facts: RequestFacts | null = null;
  #numbers: string;

  /** `number` stands for the principal in this file. */
  constructor(number: number) {
    this.#number = number;
    this.#numbers = numbersOf(number, null);
  }

  /** Adds the line of a decision; texts that a caller chose are quoted, the others are ours. @returns its bytes */
  addTo(lines: LineBuffer, record: DecisionRecord): number {
    if (this.#last === null || !isAlike(this.#last, record)) {
      this.#last = record;
      this.#rest = sharedRest(record);
    }
    const { id, at, facts } = record;
    if (!haveLikeFacts(this.#facts, facts)) {
      this.#facts = facts;
      this.#numbers = numbersOf(this.#number, facts);
    }
    const start = `{"id":"${id}","at":${at}${this.#numbers}`;
    // One after the other: joined, the long one would be copied twice.
    lines.add(start);
    lines.add(this.#rest);
    return start.length + this.#rest.length; // Lines are ASCII.
  }
}

/** The last rest of anybody: the same question from the same address has the same one, whoever asks. */
let latest: { readonly record: DecisionRecord; readonly rest: string } | null = null;

function sharedRest(record: DecisionRecord): string {
  if (latest === null || !isAlike(latest.record, record)) latest = { record, rest: restOf(record) };
  return latest.rest;
}

let latestFacts: { readonly facts: RequestFacts; readonly text: string } | null = null;

function sharedFacts(facts: RequestFacts): string {
  if (latestFacts === null || !haveLikeFacts(latestFacts.facts, facts))
    latestFacts = { facts, text: JSON.stringify(facts) };
  return latestFacts.text;
}

function isAlike(left: DecisionRecord, right: DecisionRecord): boolean {
  return (
    left.route === right.route &&
    left.action === right.action &&
    left.model === right.model &&
    left.from === right.from &&
    left.code === right.code &&
    left.by === right.by &&
    left.policy === right.policy
  );
}

function haveLikeFacts(left: RequestFacts | null, right: RequestFacts | null): boolean {
  if (left === null || right === null) return left === right;
  return (
    left.stream === right.stream &&
    left.max_tokens === right.max_tokens &&
    left.n === right.n &&
    left.message_count === right.message_count &&
    left.prompt_count === right.prompt_count &&
    left.tool_count === right.tool_count
  );
}

function numbersOf(principal: number, facts: RequestFacts | null): string {
  return `,"p":${principal}${facts === null ? '' : `,"facts":${sharedFacts(facts)}`}`;
}

function restOf({ route, action, model, from, decision, code, by, policy }: DecisionRecord): string {
  const named = model === null ? null : model.slice(0, longestModel);
  const rest = JSON.stringify({ route, action, model: named, from, decision, code, by, policy });
  return `,${asciiJson(rest.slice(1))}\n`;
}

/** The line of a principal; claims that are not to be kept are left out, and named. */
export function principalLine(principal: Principal, number: number, omitted: ReadonlySet<string>): string {
  const left: string[] = [];
  for (const name in principal.claims) if (omitted.has(name)) left.push(name);
  const line = JSON.stringify({
    principal: number,
    issuer: principal.issuerName,
    iss: principal.issuer,
    subject: principal.subject,
    key: principal.key,
    client_id: principal.clientId,
    tenant_id: principal.tenantId,
    roles: [...principal.roles],
    groups: [...principal.groups],
    groups_unknown: principal.groupsUnknown === true ? true : undefined,
    identity_type: principal.identityType,
    scopes: [...principal.scopes],
    acr: principal.acr,
    amr: principal.amr,
    auth_time: principal.authTime,
    credential: principal.credential.kind,
    claims: left.length === 0 ? principal.claims : without(principal.claims, left),
    omitted: left,
  });
  return `${asciiJson(line)}\n`;
}

/** Members that are undefined have no place in JSON. */
function without(claims: Principal['claims'], names: readonly string[]): Principal['claims'] {
  const kept: Record<string, unknown> = { ...claims };
  for (const name of names) kept[name] = undefined;
  return kept;
}
