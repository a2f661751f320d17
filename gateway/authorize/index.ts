// Third stage: may this principal do this action on this model, now. Default deny. Trusts the principal of
// authenticate and the model named by the body stage; the decision is decide.ts, from roles.yaml and rules.yaml.
import { GatewayError } from '../../core/errors.ts';
import type { Authorized, Parsed } from '../exchange.ts';
import { decide, type DecisionParts } from './decide.ts';
import type { Decision, EvaluationRequest } from './evaluation.ts';
import type { HeaderValues, Obligations } from './obligations.ts';
import { fulfilmentOf } from './oblige.ts';
import { visibleModels } from './visible-models.ts';

export { compileRoles, type Authorization } from './compiled-roles.ts';
export { compileRules, noRules, type Rules } from './compiled-rules.ts';
export { decide, type DecisionParts } from './decide.ts';
export { decideAsking } from './relations/gather.ts';
export type { Decision, Entity, EvaluationRequest, ForeignQuestion, Reason, StepUp } from './evaluation.ts';
export { obligationsSchema, type ObligationsEntry } from './obligations-policy.ts';
export { shownObligations, type Obligations, type ShownObligations } from './obligations.ts';
export { oblige } from './oblige.ts';
export {
  compileRelations,
  relationsSchema,
  type LearnedTuples,
  type RelationEngine,
  type Relations,
  type RelationsPolicy,
  type RelationStore,
} from './relations/index.ts';
export { rolesSchema, type RolesPolicy } from './roles-policy.ts';
export { rulesSchema, type RulesPolicy } from './rules-policy.ts';

/** A principal's roles after assignments and hierarchy, with what they permit. */
export interface Effective {
  readonly roles: ReadonlySet<string>;
  /** What permitted, e.g. `roles.LLM.User` or `rules.evening-batch`; `anonymous` on open routes. */
  readonly decidedBy: string;
  /** Models that an answer may list; on routes of kind `models` only, else empty. */
  readonly visibleModels: readonly string[];
  /** What the permit is bound to, or null. */
  readonly obligations: Obligations | null;
  /** Header fields that rules add for the upstream. */
  readonly upstreamHeaders: HeaderValues;
}

const noRoles: ReadonlySet<string> = new Set();
const noHeaders: HeaderValues = [];

/**
 * Permits or refuses the action of the route.
 * Checks: what decide.ts checks; a route that needs a model has one; obligations can be fulfilled on this route. An
 * unknown model and one that nothing permits are answered alike, so that nothing is revealed; a model that a deny rule
 * takes from a caller who otherwise may use it is 403.
 * Does not check: the credential (authenticate), how often (limit), the content (guard).
 * `parts` are the snapshot, or the snapshot with answers that were gathered.
 * On `generate` routes without a model, the first model that the principal may use is taken.
 */
export function authorize(parsed: Parsed, parts: DecisionParts = parsed.snapshot): Authorized {
  const { route, outcome } = parsed;
  const authorized = parsed as Parsed & { effective: Effective; model: string | null }; // Filled in place: see exchange.ts.
  const model = parsed.model ?? defaultModel(parsed, parts);
  const decision = decide(evaluationRequest(parsed, model), parts);
  if (decision.decision === 'deny') {
    outcome.decidedBy = decision.decidedBy;
    throw refusalFor(decision, route.action, model);
  }
  authorized.model = model;
  outcome.model = model;
  outcome.decidedBy = decision.decidedBy;
  const { obligations } = decision;
  const roles = route.anonymous ? noRoles : decision.roles;
  authorized.effective = {
    roles,
    decidedBy: decision.decidedBy ?? '',
    visibleModels: route.kind === 'models' ? visibleModels(evaluationRequest(parsed, null), parts) : [],
    obligations,
    upstreamHeaders: obligations === null ? noHeaders : bind(obligations, parsed),
  };
  return authorized;
}

/** @returns the obliged header fields. @throws GatewayError `access_denied` when the route cannot do what is obliged */
function bind(obligations: Obligations, { route, principal, outcome }: Parsed): HeaderValues {
  const fulfilment = fulfilmentOf(obligations, { route, principal });
  outcome.obligedBy = obligations.rules.map((rule) => rule.id);
  if (fulfilment.problem === null) return fulfilment.headers;
  outcome.decidedBy = fulfilment.rule;
  const reason = `${fulfilment.rule} obligation_unfulfilled ${fulfilment.problem}`;
  throw new GatewayError('access_denied', { params: { action: route.action }, reason });
}

/** The question that a request puts. */
export function evaluationRequest(parsed: Parsed, model: string | null): EvaluationRequest {
  const { route, principal, body } = parsed;
  return {
    subject: { type: route.anonymous ? 'anonymous' : 'principal', id: principal.key, properties: principal },
    action: { name: route.action },
    resource: model === null ? { type: 'gateway', id: 'sallyport' } : { type: 'model', id: model },
    context: {
      now: parsed.receivedAt,
      callerAddress: parsed.callerAddress,
      headers: parsed.request.headers,
      route: route.name,
      body: body?.json ?? null,
    },
  };
}

/** The model of a request that names none: required where the action is about a model. */
function defaultModel(parsed: Parsed, parts: DecisionParts): string | null {
  const { route } = parsed;
  if (route.kind !== 'generate' && route.kind !== 'openai') return null;
  const decisions = [...parts.models.keys()].map((model): [string, Decision] => [
    model,
    decide(evaluationRequest(parsed, model), parts),
  ]);
  const first = decisions.find(([, { decision }]) => decision === 'permit');
  const withoutModel = decide(evaluationRequest(parsed, null), parts);
  // Who may not do this at all is told that, and not that a model is missing.
  if (first === undefined && isUnpermittedAction(withoutModel))
    throw refusalFor(withoutModel, route.action, null);
  if (route.kind === 'openai')
    throw new GatewayError('body_invalid', { params: { problem: 'model is missing' }, param: 'model' });
  if (first !== undefined) return first[0];
  // A rule that stands between the caller and a model of his is the answer; else he has none.
  const ruled = decisions.find(([, { decidedBy }]) => decidedBy !== null);
  if (ruled !== undefined) throw refusalFor(ruled[1], route.action, ruled[0]);
  throw new GatewayError('model_not_found', {
    params: { model: '(none named)' },
    param: 'model',
    reason: 'no_model_permitted',
  });
}

const isUnpermittedAction = ({ code }: Decision): boolean =>
  code === 'no_known_role' || code === 'action_not_permitted' || code === 'separation_of_duties';

function refusalFor(decision: Decision, action: string, model: string | null): GatewayError {
  const { code, decidedBy, reasons, stepUp } = decision;
  const isRule = decidedBy?.startsWith('rules.') === true;
  const reason = isRule ? [decidedBy, ...reasons.map((each) => each.code)].join(' ') : code;
  if (stepUp !== null) return new GatewayError('insufficient_user_authentication', { reason, stepUp });
  if (code === 'model_unknown' || code === 'model_not_permitted')
    return new GatewayError('model_not_found', { params: { model: model ?? '' }, param: 'model', reason });
  if (decidedBy === null && action.startsWith('admin.'))
    return new GatewayError('admin_access_required', { reason });
  return new GatewayError('access_denied', { params: { action }, reason });
}
