// An answer in AuthZEN's words. Why something is denied is for those alone who may know it; what a sign-in lacks is for
// every asker, because its caller can mend it.
import { shownObligations, type StepUp } from '../authorize/index.ts';
import type { Answer } from './judge.ts';
import type { Json } from './question.ts';

/** `{decision}`, with a context where there is something to say. */
export function decisionObject({ permitted, code, decision }: Answer, explains: boolean): Json {
  const context: Json = {
    ...(decision?.stepUp == null ? {} : stepUpContext(decision.stepUp)),
    ...(explains ? explanation({ permitted, code, decision }) : {}),
  };
  return Object.keys(context).length === 0 ? { decision: permitted } : { decision: permitted, context };
}

/** RFC 9470 §3: what a stronger or fresher sign-in must be, in the words of a challenge. */
function stepUpContext({ acrValues, amr, maxAge }: StepUp): Json {
  return {
    reason: 'insufficient_user_authentication',
    ...(acrValues.length === 0 ? {} : { acr_values: acrValues.join(' ') }),
    ...(amr.length === 0 ? {} : { amr_values: amr.join(' ') }),
    ...(maxAge === null ? {} : { max_age: maxAge }),
  };
}

function explanation({ permitted, code, decision }: Answer): Json {
  const [first] = decision?.reasons ?? [];
  const where = first === undefined || first.line === 0 ? '' : ` (${first.file}:${first.line})`;
  return {
    id: code,
    reason_admin: { en: `${decision?.decidedBy ?? 'default'}: ${code}${where}` },
    ...(decision?.obligations == null ? {} : { obligations: shownObligations(decision.obligations) }),
    ...(permitted ? {} : { reason_user: { en: 'The policies do not permit this.' } }),
  };
}
