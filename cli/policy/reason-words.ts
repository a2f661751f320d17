// Why a request was refused or permitted, in plain words with the place in the policies that says so.
import { matchesAction } from '../../gateway/authorize/patterns.ts';
import type { Decision, Reason } from '../../gateway/authorize/evaluation.ts';
import type { RuleEntry } from '../../gateway/authorize/rules-policy.ts';
import type { Answer } from '../../gateway/policies/evaluation/evaluate.ts';
import { explainAuthentication } from './authentication-words.ts';
import type { OpenedPolicies } from './opened-policies.ts';
import { shownList, shownValue } from './shown-value.ts';

/** A sentence and where in the policies it follows from. */
export interface Explanation {
  /** `policies/issuers.yaml:6`, or null when no line says it. */
  readonly place: string | null;
  readonly text: string;
}

/** The explanation in one line. */
export function inOneLine({ place, text }: Explanation): string {
  return place === null ? text : `${place} ${text}`;
}

/** Why the answer is what it is. */
export function explainAnswer(answer: Answer, opened: OpenedPolicies): Explanation {
  if (answer.stage === 'authenticate') return explainAuthentication(answer, opened);
  if (answer.stage === 'guard')
    return {
      place: guardPlace(answer, opened),
      text: answer.refusal?.reason ?? 'the body is not acceptable',
    };
  return explainAuthorization(answer, opened);
}

function explainAuthorization(answer: Answer, opened: OpenedPolicies): Explanation {
  const { decidedBy, refusal, route } = answer;
  if (decidedBy === 'anonymous')
    return { place: routePlace(answer, opened), text: 'the route is open to anybody' };
  if (decidedBy?.startsWith('rules.') === true) return explainRule(decidedBy, answer, opened);
  if (decidedBy !== null) {
    const role = decidedBy.slice('roles.'.length);
    const text =
      refusal === null
        ? `role ${role} permits ${askedFor(route.action, answer.model)}`
        : 'holds two roles that nobody may combine';
    return { place: deciderPlace(decidedBy, opened), text };
  }
  if (refusal?.code === 'body_invalid')
    return { place: routePlace(answer, opened), text: refusal.publicMessage };
  const isServed = answer.model === null || opened.context.models.has(answer.model);
  return {
    place: isServed ? opened.placeOf('roles.yaml', ['roles']) : null,
    text: `${whyNoRole(answer, opened)} (${refusal?.reason ?? ''})`,
  };
}

function explainRule(decidedBy: string, answer: Answer, opened: OpenedPolicies): Explanation {
  const { decision, refusal, route, model } = answer;
  const name = decidedBy.slice('rules.'.length);
  const rule = opened.bundle.rules.rules.find((each) => each.name === name);
  const problem = /^\S+ obligation_unfulfilled (.*)$/.exec(refusal?.reason ?? '')?.[1];
  if (problem !== undefined)
    return {
      place: deciderPlace(decidedBy, opened),
      text: `rule ${name} obliges to what cannot be done for ${askedFor(route.action, model)}: ${unfulfilledWords(problem)}`,
    };
  const codes = ownCodes(decision?.reasons ?? [], decidedBy);
  const conflict = codes.includes('obligations_conflict')
    ? '; another rule that matches sets one of its upstream headers to a different value'
    : '';
  return {
    place: deciderPlace(decidedBy, opened),
    text: `${ruleWords(name, { isPermit: refusal === null, decision, asked: askedFor(route.action, model) }, opened)}${claimsSeen(rule, answer)}${conflict}`,
  };
}

/** `rule owners-write permits write on document:42: when … (when_matched)`. */
export function ruleWords(
  name: string,
  { isPermit, decision, asked }: { isPermit: boolean; decision: Decision | null; asked: string },
  opened: OpenedPolicies,
): string {
  const verb = isPermit ? 'permits' : decision?.stepUp === null ? 'denies' : 'asks for another sign-in for';
  const codes = ownCodes(decision?.reasons ?? [], `rules.${name}`);
  return `rule ${name} ${verb} ${asked}: ${conditionsOf(name, opened)} (${codes.join(', ')})`;
}

/** Why an obligation could not be fulfilled. */
export function unfulfilledWords(problem: string): string {
  switch (problem) {
    case 'no_header_value':
      return 'the principal lacks what a header is to hold';
    case 'body_unread':
      return 'the route reads no body that guards and ceilings could judge';
    case 'no_messages':
      return 'the route has no messages for a system message';
    default:
      return problem;
  }
}

const askedFor = (action: string, model: string | null): string =>
  model === null ? action : `${action} on ${model}`;

function whyNoRole(
  { decision, route, model, principal }: Answer,
  { bundle, context }: OpenedPolicies,
): string {
  const roles = [...(decision?.roles ?? [])].filter((role) => Object.hasOwn(bundle.roles.roles, role));
  if (roles.length === 0)
    return `no role of roles.yaml is held: the roles claimed are ${shownList(principal?.roles ?? []) || 'none'}, the groups ${groupsSeen(principal)}`;
  if (model !== null && !context.models.has(model))
    return `no upstream serves the model ${shownValue(model)}`;
  const permitting = roles.filter((role) =>
    bundle.roles.roles[role]?.permits.some((pattern) => matchesAction(pattern, route.action)),
  );
  if (permitting.length === 0) return `no role held (${roles.join(', ')}) permits ${route.action}`;
  const models = permitting.map((role) => `${role} has ${bundle.roles.roles[role]?.models.join(', ') ?? ''}`);
  return `no role held permits ${route.action} on ${model ?? 'any model'}: ${models.join('; ')}`;
}

function groupsSeen(principal: Answer['principal']): string {
  if (principal?.groupsUnknown === true) return 'not known (too many for the token)';
  return shownList(principal?.groups ?? []) || 'none';
}

/** The conditions of a rule as they are written, in one line. */
function conditionsOf(name: string, { writtenRules }: OpenedPolicies): string {
  const rule = writtenRules().find((each) => each['name'] === name) ?? {};
  const text = Object.entries(rule)
    .filter(([key]) => !['name', 'description', 'effect', 'obligations'].includes(key))
    .map(([key, value]) => `${key} ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('; ');
  return text.length > 160 ? `${text.slice(0, 157)}…` : text;
}

/** What the token says in the claims that the rule's expression reads. */
function claimsSeen(rule: RuleEntry | undefined, { principal }: Answer): string {
  const named = [...(rule?.when ?? '').matchAll(/\bprincipal\.claims\.([A-Za-z_]\w*)/g)].map(
    ([, name = '']) => name,
  );
  if (named.length === 0) return '';
  const claims = principal?.claims ?? {};
  const seen = [...new Set(named)].map((name) => `${name} ${shownValue(claims[name])}`);
  return `; the token says ${seen.join(', ')}`;
}

/** The codes of one rule's conditions, each once. */
export function ownCodes(reasons: readonly Reason[], rule: string): string[] {
  return [...new Set(reasons.filter((reason) => reason.rule === rule).map((reason) => reason.code))];
}

/** Where a role or rule is written. */
export function deciderPlace(decidedBy: string, { bundle, placeOf }: OpenedPolicies): string | null {
  if (decidedBy === 'roles.separation_of_duties') return placeOf('roles.yaml', ['separation_of_duties']);
  if (decidedBy.startsWith('roles.'))
    return placeOf('roles.yaml', ['roles', decidedBy.slice('roles.'.length)]);
  if (!decidedBy.startsWith('rules.')) return null;
  const index = bundle.rules.rules.findIndex((rule) => `rules.${rule.name}` === decidedBy);
  return index === -1 ? null : placeOf('rules.yaml', ['rules', index]);
}

/** Where the route is written. */
export function routePlace({ route }: Pick<Answer, 'route'>, { placeOf }: OpenedPolicies): string {
  return placeOf('routes.yaml', ['routes', route.name]);
}

function guardPlace({ refusal, route }: Answer, opened: OpenedPolicies): string {
  const name = /^guards\.([a-z0-9-]+)/.exec(refusal?.reason ?? '')?.[1];
  return name === undefined || !Object.hasOwn(opened.bundle.guards.guards, name)
    ? routePlace({ route }, opened)
    : opened.placeOf('guards.yaml', ['guards', name]);
}
