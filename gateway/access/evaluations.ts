// Several questions in one request: defaults, and the three ways of going through them.
import { GatewayError } from '../../core/errors.ts';
import { decisionObject } from './answer.ts';
import { judgeAll, prepare, type Prepared } from './judge.ts';
import { isObject, malformed, questionOf, withDefaults, type Json, type Question } from './question.ts';
import type { Asker } from './asker.ts';

/** Most questions in one request. */
export const maxEvaluations = 100;

const semantics = ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'] as const;
type Semantic = (typeof semantics)[number];

/** Answers one question. @throws GatewayError `body_invalid` */
export async function evaluate(json: Json, asker: Asker): Promise<Json> {
  const question = questionOf(json);
  const prepared = prepare(question, asker);
  const judge = await judgeAll([prepared], asker.snapshot);
  const answer = judge(prepared);
  asker.note(question, answer);
  return decisionObject(answer, asker.explains);
}

/**
 * Answers many questions, in their order. One that is not of the form is answered `false` with an error of its own.
 * Without questions of its own the request is one question itself.
 * @throws GatewayError `body_invalid`
 */
export async function evaluateAll(json: Json, asker: Asker): Promise<Json> {
  const { evaluations } = json;
  if (evaluations === undefined || (Array.isArray(evaluations) && evaluations.length === 0))
    return evaluate(json, asker);
  if (!Array.isArray(evaluations)) throw malformed('evaluations is not a list', 'evaluations');
  if (evaluations.length > maxEvaluations)
    throw malformed(`there are more than ${maxEvaluations} evaluations`, 'evaluations');
  const semantic = semanticOf(json);
  const items = (evaluations as unknown[]).map((item) => readOne(item, json, asker));
  const judge = await judgeAll(
    items.flatMap((item) => (item instanceof GatewayError ? [] : [item.prepared])),
    asker.snapshot,
  );
  const answers: Json[] = [];
  for (const item of items) {
    await asker.breathe();
    let isPermitted = false;
    if (item instanceof GatewayError) answers.push(errorObject(item));
    else {
      const answer = judge(item.prepared);
      isPermitted = answer.permitted;
      asker.note(item.question, answer);
      answers.push(decisionObject(answer, asker.explains));
    }
    if (isPermitted ? semantic === 'permit_on_first_permit' : semantic === 'deny_on_first_deny') break;
  }
  return { evaluations: answers };
}

interface Item {
  readonly question: Question;
  readonly prepared: Prepared;
}

/** A question of several; one that is not of the form is an answer here, anything else a fault of ours. */
function readOne(item: unknown, defaults: Json, asker: Asker): Item | GatewayError {
  try {
    const question = questionOf(withDefaults(item, defaults));
    return { question, prepared: prepare(question, asker) };
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'body_invalid') return error;
    throw error;
  }
}

// AuthZEN 1.0 §7.2.1: a decision that fails is closed, and says so in its own context.
const errorObject = (error: GatewayError): Json => ({
  decision: false,
  context: { error: { status: error.definition.status, message: error.publicMessage } },
});

function semanticOf({ options }: Json): Semantic {
  if (options === undefined) return 'execute_all';
  if (!isObject(options)) throw malformed('options is not an object', 'options');
  const { evaluations_semantic: named = 'execute_all' } = options;
  const semantic = semantics.find((each) => each === named);
  if (semantic === undefined)
    throw malformed(`options.evaluations_semantic is none of ${semantics.join(', ')}`, 'options');
  return semantic;
}
