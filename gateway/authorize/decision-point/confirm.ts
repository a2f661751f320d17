// What the policies permit must be permitted by the decision point, too, where it is asked: it can take away, never give.
import { GatewayError } from '../../../core/errors.ts';
import type { Logger } from '../../../core/log.ts';
import type { EvaluationRequest } from '../evaluation.ts';
import type { DecisionPoint } from './decision-point.ts';
import type { NoVerdict, Verdict } from './verdict.ts';

/** What is asked about, and for which request. */
export interface Confirmation {
  readonly point: DecisionPoint;
  readonly requestId: string;
  readonly log: Logger;
}

/** What decided, in audit records. */
export const decisionPointName = 'decision_point';

/**
 * Confirms one request.
 * @throws GatewayError `access_denied`, `insufficient_user_authentication` or `decision_point_unavailable`
 */
export async function confirm(request: EvaluationRequest, confirmation: Confirmation): Promise<void> {
  const { point, requestId } = confirmation;
  const [verdict = missing] = await point.verdicts([request], requestId);
  if (verdict.kind === 'permit' || passesWithout(verdict, confirmation)) return;
  if (verdict.kind !== 'deny') throw unavailable(verdict);
  const reason = verdict.reason === null ? decisionPointName : `${decisionPointName} ${verdict.reason}`;
  if (verdict.stepUp !== null)
    throw new GatewayError('insufficient_user_authentication', { reason, stepUp: verdict.stepUp });
  throw new GatewayError('access_denied', { params: { action: request.action.name }, reason });
}

/**
 * Those of the requests (which differ in their resource alone) that are permitted, as their positions.
 * @throws GatewayError `decision_point_unavailable` when it says nothing about one of them
 */
export async function confirmed(
  requests: readonly EvaluationRequest[],
  confirmation: Confirmation,
): Promise<ReadonlySet<number>> {
  if (requests.length === 0) return new Set();
  const verdicts = await confirmation.point.verdicts(requests, confirmation.requestId);
  return new Set(
    requests.flatMap((_, index) => {
      const verdict = verdicts[index] ?? missing;
      if (verdict.kind === 'permit' || passesWithout(verdict, confirmation)) return [index];
      if (verdict.kind !== 'deny') throw unavailable(verdict);
      return [];
    }),
  );
}

const missing: Verdict = { kind: 'invalid', problem: 'there is no answer' };

/** Whether what the policies permit passes although there is no answer. */
function passesWithout(verdict: Verdict, { point, requestId, log }: Confirmation): boolean {
  if (verdict.kind !== 'unreachable' || point.onFailure !== 'insecurely_permit') return false;
  log.warn(
    { request_id: requestId, problem: verdict.problem },
    'permitted without the decision point, which does not answer',
  );
  return true;
}

const unavailable = (verdict: NoVerdict): GatewayError =>
  new GatewayError('decision_point_unavailable', {
    reason: `${decisionPointName} ${verdict.problem}`,
    retryAfterSeconds: 2,
  });
