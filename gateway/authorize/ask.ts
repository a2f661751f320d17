// The stage with whoever must be asked outside: relations that are held elsewhere before the decision, a decision point
// after it. Without either it is authorize itself, at once.
import type { Authorized, Parsed } from '../exchange.ts';
import { confirm, confirmed, decisionPointName } from './decision-point/confirm.ts';
import type { DecisionPoint } from './decision-point/decision-point.ts';
import type { EvaluationRequest } from './evaluation.ts';
import { authorize, evaluationRequest, type Effective } from './index.ts';
import { gatherAnswers, mustGather } from './relations/gather.ts';

/** Permits or refuses the action of the route; a promise only when somebody else is asked. */
export function authorizeAsking(parsed: Parsed): Authorized | Promise<Authorized> {
  const { snapshot, services, route } = parsed;
  const point = services.decisionPoint;
  // Of a route that is open to anybody nobody is asked: there is no subject.
  if (point === null || route.anonymous) {
    if (snapshot.relations.remote === null) return authorize(parsed);
    return withRelations(parsed);
  }
  if (!point.concerns(route.action, null)) return withRelations(parsed);
  return Promise.resolve(withRelations(parsed)).then((authorized) => withPoint(authorized, point));
}

function withRelations(parsed: Parsed): Authorized | Promise<Authorized> {
  const { snapshot } = parsed;
  if (snapshot.relations.remote === null) return authorize(parsed);
  const questions = questionsOf(parsed);
  if (!mustGather(questions, snapshot)) return authorize(parsed);
  return gatherAnswers(questions, snapshot).then((parts) => authorize(parsed, parts));
}

/** Every question that the stage puts: about the model, or about each where the request names none or lists them. */
function questionsOf(parsed: Parsed): EvaluationRequest[] {
  const { route, snapshot, model } = parsed;
  if (model !== null && route.kind !== 'models') return [evaluationRequest(parsed, model)];
  const models = route.kind === 'http' ? [] : [...snapshot.models.keys()];
  return [null, ...models].map((each) => evaluationRequest(parsed, each));
}

/** What is permitted so far, less what the decision point takes away. */
async function withPoint(authorized: Authorized, point: DecisionPoint): Promise<Authorized> {
  const { route, outcome, model, id, services } = authorized;
  if (route.kind !== 'models' && !point.concerns(route.action, model)) return authorized;
  const confirmation = { point, requestId: id, log: services.log };
  const decidedBy = outcome.decidedBy;
  // Whatever is thrown from here on, it is the decision point that decided.
  outcome.decidedBy = decisionPointName;
  if (route.kind === 'models') await leaveModels(authorized, confirmation);
  else await confirm(evaluationRequest(authorized, model), confirmation);
  outcome.decidedBy = decidedBy;
  return authorized;
}

/** A list holds the models that the decision point permits as well; about others it is not asked. */
async function leaveModels(
  authorized: Authorized,
  confirmation: Parameters<typeof confirmed>[1],
): Promise<void> {
  const { route, pathModel, effective } = authorized;
  const wanted = effective.visibleModels.filter((model) => pathModel === null || model === pathModel);
  const asked = wanted.filter((model) => confirmation.point.concerns(route.action, model));
  const requests = asked.map((model) => evaluationRequest(authorized, model));
  const permitted = await confirmed(requests, confirmation);
  const denied = new Set(asked.filter((_, index) => !permitted.has(index)));
  const filled = authorized as { effective: Effective }; // Filled in place: see exchange.ts.
  filled.effective = { ...effective, visibleModels: wanted.filter((model) => !denied.has(model)) };
}
