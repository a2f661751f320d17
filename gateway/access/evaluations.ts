// Several questions in one request: defaults, and the three ways of going through them.
import { GatewayError } from '../../core/errors.ts';
import { decisionObject } from './answer.ts';
import { judge, type Answer } from './judge.ts';
import { isObject, malformed, questionOf, withDefaults, type Json, type Question } from './question.ts';
import type { Asker } from './asker.ts';

/** Most questions in one request. */
export const maxEvaluations = 100;

const semantics = ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'] as const;
type Semantic = (typeof semantics)[number];

/** Answers one question. @throws GatewayError `body_invalid` */
export function evaluate(json: Json, asker: Asker): Json {
  const question = questionOf(json);
  const answer = judge(question, asker);
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
  const answers: Json[] = [];
  for (const item of evaluations as unknown[]) {
    await asker.breathe();
    const { object, permitted } = evaluateOne(item, json, asker);
    answers.push(object);
    if (permitted ? semantic === 'permit_on_first_permit' : semantic === 'deny_on_first_deny') break;
  }
  return { evaluations: answers };
}

function evaluateOne(item: unknown, defaults: Json, asker: Asker): { object: Json; permitted: boolean } {
  const read = readOne(item, defaults);
  if (read instanceof GatewayError) return failed(read);
  const answer = answerOne(read, asker);
  if (answer instanceof GatewayError) return failed(answer);
  asker.note(read, answer);
  return { object: decisionObject(answer, asker.explains), permitted: answer.permitted };
}

const failed = (error: GatewayError): { object: Json; permitted: boolean } => ({
  object: {
    decision: false,
    context: { error: { status: error.definition.status, message: error.publicMessage } },
  },
  permitted: false,
});

const readOne = (item: unknown, defaults: Json): Question | GatewayError =>
  orRefusal(() => questionOf(withDefaults(item, defaults)));

const answerOne = (question: Question, asker: Asker): Answer | GatewayError =>
  orRefusal(() => judge(question, asker));

/** A request that is not of the form is an answer here; anything else is a fault of ours and ends the whole. */
function orRefusal<T>(run: () => T): T | GatewayError {
  try {
    return run();
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'body_invalid') return error;
    throw error;
  }
}

function semanticOf({ options }: Json): Semantic {
  if (options === undefined) return 'execute_all';
  if (!isObject(options)) throw malformed('options is not an object', 'options');
  const { evaluations_semantic: named = 'execute_all' } = options;
  const semantic = semantics.find((each) => each === named);
  if (semantic === undefined)
    throw malformed(`options.evaluations_semantic is none of ${semantics.join(', ')}`, 'options');
  return semantic;
}
