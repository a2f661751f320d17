// Answers questions from the snapshot: by the very decision that requests get (authorize/decide.ts). What is unknown is
// denied: types, actions, subjects without an issuer on the gateway's own resources.
import { GatewayError } from '../../core/errors.ts';
import { decide, type Decision, type DecisionParts, type EvaluationRequest } from '../authorize/index.ts';
import { gatherAnswers, mustGather } from '../authorize/relations/gather.ts';
import type { Route } from '../policies/routes.ts';
import { anonymousPrincipal, strangerPrincipal, type Principal } from '../principal.ts';
import type { Snapshot } from '../snapshot.ts';
import { isObject, malformed, type Json, type Question } from './question.ts';

/** What a question is judged from. */
export interface Circumstances {
  readonly snapshot: Snapshot;
  /** Epoch ms: the gateway's own clock, whatever the context says. */
  readonly now: number;
}

/** The answer to one question. */
export interface Answer {
  readonly permitted: boolean;
  /** What decided, or why the question could not come so far. */
  readonly code: string;
  /** Null when no rule was asked. */
  readonly decision: Decision | null;
}

/** What is put to decide.ts, or the code of why nothing is. */
export type Prepared = EvaluationRequest | string;

/**
 * Prepares one question.
 * Checks: that type and action are known; for the gateway's own resources that the subject is a principal whose claims its
 * issuer's entry accepts.
 * Does not check: what decide.ts does (judgeAll); who asks (the route's action), limits and guards of the route that is asked about.
 * @throws GatewayError `body_invalid` for a context that cannot be read
 */
export function prepare(question: Question, { snapshot, now }: Circumstances): Prepared {
  const { type } = question.resource;
  return type === 'model' || type === 'gateway'
    ? prepareOwn(question, { snapshot, now })
    : prepareForeign(question, { snapshot, now });
}

/** Judges prepared questions, each when it is asked for; whoever holds relations elsewhere is asked once for all. */
export async function judgeAll(
  prepared: readonly Prepared[],
  snapshot: Snapshot,
): Promise<(each: Prepared) => Answer> {
  const requests = prepared.filter((each) => typeof each !== 'string');
  const parts = mustGather(requests, snapshot) ? await gatherAnswers(requests, snapshot) : snapshot;
  return (each) => answerOf(each, parts);
}

/** Answers a prepared question from parts that hold all that the rules ask for. */
export function answerOf(prepared: Prepared, parts: DecisionParts): Answer {
  if (typeof prepared === 'string') return { permitted: false, code: prepared, decision: null };
  const decision = decide(prepared, parts);
  return { permitted: decision.decision === 'permit', code: decision.code, decision };
}

/** May this principal do this on a model, or at the gateway: the question that its own request would put. */
function prepareOwn(
  { subject, action, resource, context }: Question,
  { snapshot, now }: Circumstances,
): Prepared {
  const { access } = snapshot;
  const isModel = resource.type === 'model';
  const routes = (isModel ? access.modelRoutes : access.gatewayRoutes).get(action.name);
  const named = textIn(context, 'route');
  const route = routes?.find(({ name }) => named === '' || name === named);
  if (route === undefined) return 'action_unknown';
  const callerAddress = textIn(context, 'ip_address');
  const principal = route.anonymous
    ? anonymousPrincipal(callerAddress)
    : principalOf(subject, { snapshot, now });
  if (typeof principal === 'string') return principal;
  if (lacksBinding(route, principal)) return 'unbound';
  return {
    subject: {
      type: route.anonymous ? 'anonymous' : 'principal',
      id: principal.key,
      properties: principal,
    },
    action: { name: action.name },
    resource: isModel ? { type: 'model', id: resource.id } : { type: 'gateway', id: 'sallyport' },
    context: {
      now,
      callerAddress,
      route: route.name,
      headers: headersIn(context),
      body: bodyOf(route, action.properties),
    },
  };
}

const lacksBinding = ({ requiresBoundToken }: Route, { binding }: Principal): boolean =>
  requiresBoundToken && binding === null;

/** The parameters of the request that is asked about; rules read numbers and counts of them. */
const bodyOf = ({ kind }: Route, properties: Json): Json | null =>
  kind === 'openai' || kind === 'generate' ? properties : null;

/** May this subject do this on a resource of another service. */
function prepareForeign(question: Question, { snapshot, now }: Circumstances): Prepared {
  const { subject, action, resource } = question;
  const type = snapshot.access.resourceTypes.get(resource.type);
  if (type === undefined) return 'resource_type_unknown';
  if (!type.actions.has(action.name)) return 'action_unknown';
  const known = type.resources.get(resource.id);
  const found = subjectOf(subject, { snapshot, now });
  if (typeof found === 'string') return found;
  const { principal, properties } = found;
  return {
    subject: { type: 'principal', id: principal.key, properties: principal },
    action: { name: action.name },
    resource: { type: 'foreign', id: resource.id },
    context: { now, callerAddress: textIn(question.context, 'ip_address'), route: '', body: null },
    foreign: {
      ...question,
      subject: { ...subject, properties },
      // What the operator wrote overrules what the asking service states.
      resource: { ...resource, properties: { ...resource.properties, ...known } },
    },
  };
}

interface FoundSubject {
  readonly principal: Principal;
  readonly properties: Json;
}

function subjectOf(subject: Question['subject'], circumstances: Circumstances): FoundSubject | string {
  if (subject.type === 'principal') {
    const principal = principalOf(subject, circumstances);
    return typeof principal === 'string' ? principal : { principal, properties: principal.claims };
  }
  const type = circumstances.snapshot.access.subjectTypes.get(subject.type);
  if (type === undefined) return 'subject_type_unknown';
  const known = type.subjects.get(subject.id);
  const stated = type.rolesProperty === null ? undefined : subject.properties[type.rolesProperty];
  const roles = new Set([...(known?.roles ?? []), ...textsOf(stated)]);
  return {
    principal: strangerPrincipal(subject.type, subject.id, roles),
    properties: { ...subject.properties, ...known?.properties },
  };
}

const textsOf = (stated: unknown): readonly string[] =>
  (Array.isArray(stated) ? (stated as unknown[]) : [stated]).filter((each) => typeof each === 'string');

/** The principal that stated claims make, or why they make none. Never one of another id or without an issuer. */
function principalOf(subject: Question['subject'], { snapshot, now }: Circumstances): Principal | string {
  if (subject.type !== 'principal') return 'subject_not_a_principal';
  try {
    const principal = snapshot.access.judgeStatedClaims({ sub: subject.id, ...subject.properties }, now);
    return principal.subject === subject.id ? principal : 'subject_mismatch';
  } catch (error) {
    if (!(error instanceof GatewayError) || error.code === 'internal_error') throw error;
    return error.reason ?? error.code;
  }
}

/** Header fields of the request that is asked about; what rules may not see of them, they do not (cel/request-values.ts). */
function headersIn({ headers }: Json): Readonly<Record<string, string>> {
  if (headers === undefined) return {};
  if (!isObject(headers)) throw malformed('context.headers is not an object', 'context');
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => {
      if (typeof value !== 'string') throw malformed('context.headers holds what is not a text', 'context');
      return [name.toLowerCase(), value];
    }),
  );
}

function textIn(context: Json, name: string): string {
  const value = context[name];
  if (value === undefined) return '';
  if (typeof value !== 'string' || value.length > 256)
    throw malformed(`context.${name} is not a text`, 'context');
  return value;
}
