// The one place where a decision is made, for the pipeline and for the policy tools alike. Deny overrides: a rule of
// effect deny beats every permit; permits are the roles and the rules of effect permit; nothing else is permitted.
import type { Authorization } from './compiled-roles.ts';
import type { Rule, Rules } from './compiled-rules.ts';
import type { RuleFacts } from './conditions/condition.ts';
import type { Decision, EvaluationRequest, Reason, StepUp } from './evaluation.ts';
import { matchRule, traceRules } from './match-rule.ts';
import { noRelations, type RelationLookup } from './relations/index.ts';

/** What a decision is made from; a Snapshot is one. */
export interface DecisionParts {
  /** The compiled roles.yaml. */
  readonly authorization: Authorization;
  /** The compiled rules.yaml. */
  readonly rules: Rules;
  /** Model id → name of the upstream that serves it. */
  readonly models: ReadonlyMap<string, string>;
  /** The compiled relations.yaml, or the answers that were gathered (relations/gather.ts); absent: there are no relations. */
  readonly relations?: RelationLookup;
}

/** `trace` looks at every rule and adds every condition to the reasons, for tools; the decision is the same. */
export interface DecideOptions {
  readonly trace?: boolean;
}

/** Who or what permitted, or why nothing did. */
type Base =
  | { readonly permitted: true; readonly by: string; readonly reasons: readonly Reason[] }
  | { readonly permitted: false; readonly reason: Reason; readonly stepUp: Rule | null };

/**
 * Decides an evaluation request; pure.
 * Checks: duties that one principal may not combine, that a role or a permit rule permits the action on the model, that
 * no deny rule matches, that the sign-in is as rules require. A deny rule that cannot be evaluated denies, a permit
 * rule that cannot be permits nothing, a rule with obligations that cannot be denies: what it might oblige to is not known.
 * Does not check: the credential (authenticate), how often (limit), the content (guard).
 */
export function decide(
  request: EvaluationRequest,
  parts: DecisionParts,
  options: DecideOptions = {},
): Decision {
  const facts = factsOf(request, parts);
  const decision = judge(facts, parts);
  if (options.trace !== true) return decision;
  const traced = traceRules(facts, parts.rules.all).filter((reason) => !decision.reasons.includes(reason));
  return { ...decision, reasons: [...decision.reasons, ...traced] };
}

/** The facts that rules are matched against. */
export function factsOf(request: EvaluationRequest, parts: DecisionParts): RuleFacts {
  const { authorization, models } = parts;
  const principal = request.subject.properties;
  const model = request.resource.type === 'model' ? request.resource.id : null;
  return {
    request,
    action: request.action.name,
    model,
    principal,
    roles: authorization.effectiveRoles(principal),
    uncertainRoles: authorization.uncertainRoles(principal),
    upstream: model === null ? '' : (models.get(model) ?? ''),
    relations: parts.relations ?? noRelations,
  };
}

function judge(facts: RuleFacts, parts: DecisionParts): Decision {
  const { authorization, rules } = parts;
  const pair = authorization.conflictingDuties(facts.principal);
  if (pair !== null)
    return denied(facts, {
      decidedBy: 'roles.separation_of_duties',
      reasons: [conflict(pair, authorization)],
    });
  const candidates = rules.candidates(facts);
  const base = baseOf(facts, parts, candidates.permits);
  if (!base.permitted && base.stepUp === null)
    return denied(facts, { decidedBy: null, reasons: [base.reason] });
  const objection = firstObjection(candidates.denies, facts);
  if (objection !== null) return denied(facts, objection);
  if (!base.permitted) return denied(facts, lacking(base.stepUp));
  const demand = firstDemand(candidates.requires, facts);
  if (demand !== null) return denied(facts, demand);
  const bound = candidates.obliging.length === 0 ? nothing : bindings(candidates.obliging, facts);
  if (bound.denial !== null) return denied(facts, bound.denial);
  const obligations = bound.rules.length === 0 ? null : rules.obligationsOf(bound.rules);
  if (obligations !== null && obligations.conflict !== null)
    return denied(facts, contradiction(bound.rules, obligations.conflict));
  return {
    decision: 'permit',
    reasons: base.reasons,
    decidedBy: base.by,
    code: base.reasons[0]?.code ?? 'role_permits',
    stepUp: null,
    roles: facts.roles,
    obligations,
  };
}

/** The rules that bind a permit, or the denial by one of which that cannot be said. */
interface Bindings {
  readonly rules: readonly Rule[];
  readonly denial: Denial | null;
}

const nothing: Bindings = { rules: [], denial: null };

/** A rule binds when it matches and its sign-in, if it asks for one, is there. */
function bindings(obliging: readonly Rule[], facts: RuleFacts): Bindings {
  const rules: Rule[] = [];
  for (const rule of obliging) {
    const { matched, failed } = matchRule(rule, facts);
    if (failed !== null) return { rules: [], denial: { decidedBy: rule.id, reasons: [failed] } };
    if (matched && rule.require?.test(facts) !== false) rules.push(rule);
  }
  return { rules, denial: null };
}

/** Two rules set one header field to different values: nothing could fulfil both. */
function contradiction(rules: readonly Rule[], header: string): Denial {
  const rule = rules.find(({ obliging }) =>
    Object.hasOwn(obliging?.obligations.upstream_headers ?? {}, header),
  );
  const [matched] = rule?.matched ?? [];
  return {
    decidedBy: rule?.id ?? null,
    reasons:
      matched === undefined ? [] : [{ ...matched, condition: 'obligations', code: 'obligations_conflict' }],
  };
}

interface Denial {
  readonly decidedBy: string | null;
  readonly reasons: readonly Reason[];
  readonly stepUp?: StepUp | null;
}

const denied = ({ roles }: RuleFacts, { decidedBy, reasons, stepUp }: Denial): Decision => ({
  decision: 'deny',
  reasons,
  decidedBy,
  code: reasons[0]?.code ?? 'action_not_permitted',
  stepUp: stepUp ?? null,
  roles,
  obligations: null,
});

/** The first deny rule that matches or cannot be evaluated. */
function firstObjection(denies: readonly Rule[], facts: RuleFacts): Denial | null {
  for (const rule of denies) {
    const { matched, failed } = matchRule(rule, facts);
    if (failed !== null) return { decidedBy: rule.id, reasons: [failed] };
    if (matched) return { decidedBy: rule.id, reasons: rule.matched };
  }
  return null;
}

/** The first rule that asks for a sign-in which the principal lacks. */
function firstDemand(requires: readonly Rule[], facts: RuleFacts): Denial | null {
  for (const rule of requires) {
    const { matched, failed } = matchRule(rule, facts);
    if (failed !== null) return { decidedBy: rule.id, reasons: [failed] };
    if (matched && rule.require?.test(facts) !== true) return lacking(rule);
  }
  return null;
}

function lacking(rule: Rule | null): Denial {
  const reasons = rule === null || rule.require === null ? [] : [rule.require.notMatched, ...rule.matched];
  return { decidedBy: rule?.id ?? null, reasons, stepUp: rule?.stepUp ?? null };
}

function conflict(pair: readonly [string, string], authorization: Authorization): Reason {
  return {
    rule: `roles.${pair[0]}`,
    file: 'roles.yaml',
    line: authorization.lineOf(pair[0]),
    condition: 'separation_of_duties',
    code: 'separation_of_duties',
  };
}

/** What the roles permit, and else what a permit rule adds; on routes open to anybody, everything. */
function baseOf(facts: RuleFacts, { authorization, models }: DecisionParts, permits: readonly Rule[]): Base {
  const { principal, action, model, roles } = facts;
  if (facts.request.subject.type === 'anonymous')
    return { permitted: true, by: 'anonymous', reasons: [inRoles('anonymous', 'route_is_anonymous')] };
  const { foreign } = facts.request;
  const role =
    foreign === undefined
      ? authorization.permits(principal, action, model)
      : authorization.permitsOn(principal, action, foreign.resource);
  // A role's models are configured ones; a permit rule must not reach beyond them either.
  if (role !== null) return authorization.permitBy(role);
  const isKnown = model === null || models.has(model);
  let stepUp: Rule | null = null;
  for (const rule of isKnown ? permits : []) {
    if (!matchRule(rule, facts).matched) continue;
    if (rule.require === null || rule.require.test(facts))
      return { permitted: true, by: rule.id, reasons: rule.matched };
    stepUp ??= rule;
  }
  const roleOnAction = model === null ? null : authorization.permits(principal, action, null);
  const code =
    roleOnAction !== null
      ? isKnown
        ? 'model_not_permitted'
        : 'model_unknown'
      : roles.size === 0
        ? 'no_known_role'
        : 'action_not_permitted';
  return { permitted: false, reason: inRoles('default', code), stepUp };
}

const inRoles = (rule: string, code: string): Reason => ({
  rule,
  file: 'roles.yaml',
  line: 0,
  condition: 'permits',
  code,
});
