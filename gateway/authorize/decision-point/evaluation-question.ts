// The question to a decision point, in the words of AuthZEN: who, what, on what. Never a prompt, and of the claims only
// those that the configuration lists.
import type { EvaluationRequest } from '../evaluation.ts';
import type { DecisionPointConfig } from './decision-point-config.ts';

type Properties = Readonly<Record<string, unknown>>;

/** AuthZEN 1.0 §6.1: an Access Evaluation request. */
export interface EvaluationQuestion {
  readonly subject: { readonly type: string; readonly id: string; readonly properties?: Properties };
  readonly action: { readonly name: string };
  readonly resource: { readonly type: string; readonly id: string };
  readonly context?: Properties;
}

/** Makes the question of an evaluation request of ours. */
export function evaluationQuestion(
  { subject, action, resource, context }: EvaluationRequest,
  config: Pick<DecisionPointConfig, 'subject_type' | 'subject_id' | 'claims' | 'context'>,
): EvaluationQuestion {
  const principal = subject.properties;
  const claims = config.claims.flatMap((name) =>
    Object.hasOwn(principal.claims, name) ? [[name, principal.claims[name]] as const] : [],
  );
  const values = {
    route: context.route,
    client_id: principal.clientId,
    caller_address: context.callerAddress,
  };
  const circumstances = config.context.flatMap((name) =>
    values[name] === null ? [] : [[name, values[name]] as const],
  );
  return {
    subject: {
      type: config.subject_type,
      id: config.subject_id === 'key' ? principal.key : principal.subject,
      ...(claims.length === 0 ? {} : { properties: Object.fromEntries(claims) }),
    },
    action,
    resource,
    ...(circumstances.length === 0 ? {} : { context: Object.fromEntries(circumstances) }),
  };
}
