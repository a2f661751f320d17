// Answers the question of a test as the gateway would answer another service: the same reading, the same decision. That the
// asking service may ask is not looked at; a test of the route's action says that.
import { GatewayError } from '../../../core/errors.ts';
import { answerOf, prepare } from '../../access/judge.ts';
import { questionOf } from '../../access/question.ts';
import type { Decision, ForeignQuestion, Obligations } from '../../authorize/index.ts';
import type { Snapshot } from '../../snapshot.ts';
import type { Ask } from './ask-schema.ts';

/** What another service would be answered, beside what a request would be (evaluate.ts). */
export interface AskedAnswer {
  readonly question: ForeignQuestion;
  /** Null for a permit; `reason` is what decided, or why nothing could. */
  readonly refusal: { readonly code: 'deny'; readonly reason: string } | null;
  readonly decidedBy: string | null;
  /** Null when no rule was asked. */
  readonly decision: Decision | null;
  readonly obligations: Obligations | null;
}

/** Answers a question. @throws GatewayError `body_invalid` for one that the gateway could not read (askProblem) */
export function answerAsked(ask: Ask, snapshot: Snapshot, now: number): AskedAnswer {
  const question = readAsk(ask);
  const { permitted, code, decision } = answerOf(prepare(question, { snapshot, now }), snapshot);
  return {
    question,
    refusal: permitted ? null : { code: 'deny', reason: code },
    decidedBy: decision?.decidedBy ?? null,
    decision,
    obligations: decision?.obligations ?? null,
  };
}

/** Why the gateway could not read a question: a name or a list that is too long; null when it can. */
export function askProblem(ask: Ask): string | null {
  try {
    readAsk(ask);
    return null;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return error.publicMessage;
  }
}

const readAsk = ({ action, ...rest }: Ask): ForeignQuestion =>
  questionOf({ ...rest, action: typeof action === 'string' ? { name: action } : action });
