// Asks a decision point over OpenID AuthZEN 1.0: one question or, for a list, several at once. Answers are kept for a
// while by the whole question; who asks the same at the same time shares one.
import { createAnswerCache } from '../outside/answer-cache.ts';
import type { AskedOutside } from '../outside/asked-outside.ts';
import { createCircuit } from '../outside/circuit.ts';
import { createJsonCaller, type JsonAnswer } from '../outside/json-caller.ts';
import type { EvaluationRequest } from '../evaluation.ts';
import { matchesAction, modelMatcher } from '../patterns.ts';
import type { DecisionPointConfig } from './decision-point-config.ts';
import { createEndpointSource } from './endpoints.ts';
import { evaluationQuestion, type EvaluationQuestion } from './evaluation-question.ts';
import { verdictIn, verdictsIn, type NoVerdict, type Verdict } from './verdict.ts';

/** A decision point, with a lifetime. */
export interface DecisionPoint {
  /** What happens while it is out of reach. */
  readonly onFailure: DecisionPointConfig['on_failure'];
  /** Whether it is asked about an action on a model (null: on none). */
  concerns(action: string, model: string | null): boolean;
  /** Verdicts on requests that differ in their resource alone, in their order. Never rejects. */
  verdicts(requests: readonly EvaluationRequest[], requestId: string): Promise<readonly Verdict[]>;
  /** Reads its metadata, so that the first request need not wait. Never rejects. */
  warm(): Promise<void>;
  /** Why it does not answer, in words for an operator; null when it does. */
  problem(): string | null;
  close(): Promise<void>;
}

/** Who hears of what is asked. */
export interface DecisionPointOptions {
  readonly onAsked: (asked: AskedOutside) => void;
  /** It stopped or began to answer; null: it answers. */
  readonly onTurn: (problem: string | null) => void;
}

/** Questions that are asked one by one go out so many at a time. */
const atATime = 8;

/** Creates it; opens connections when it is asked. @throws Error when a secret or PEM file cannot be read */
export function createDecisionPoint(
  config: DecisionPointConfig,
  { onAsked, onTurn }: DecisionPointOptions,
): DecisionPoint {
  const caller = createJsonCaller(config);
  const circuit = createCircuit({ onTurn });
  const source = createEndpointSource(config, caller);
  const models = config.models.map(modelMatcher);
  const cache = createAnswerCache<Verdict>({
    entries: config.cache_entries,
    ttlMs: config.cache_ms,
    keeps: ({ kind }) => kind === 'permit' || kind === 'deny',
    onHits: (count) => onAsked({ outcome: 'cached', count, seconds: null }),
  });

  let invalid: string | null = null;
  const noted = <Outcome extends Verdict | JsonAnswer>(outcome: Outcome): Outcome => {
    // A question that it does not take must not keep others from being asked: only silence does.
    if (!('kind' in outcome) || outcome.kind === 'permit' || outcome.kind === 'deny') circuit.succeeded();
    else if (outcome.kind === 'unreachable') circuit.failed(outcome.problem);
    invalid = 'kind' in outcome && outcome.kind === 'invalid' ? outcome.problem : null;
    return outcome;
  };

  /** One call; the answer, or why there is none. */
  const call = async (
    path: 'evaluation' | 'evaluations',
    body: object,
    requestId: string,
  ): Promise<JsonAnswer | NoVerdict> => {
    if (!circuit.admits())
      return { kind: 'unreachable', problem: circuit.problem() ?? 'it did not answer lately' };
    const endpoints = await source.endpoints();
    if ('kind' in endpoints) return noted(endpoints);
    const url = endpoints[path];
    if (url === null) return noted({ kind: 'invalid', problem: 'it has no such endpoint' });
    try {
      const answer = await caller.ask({ url, body, requestId });
      return noted(failureOf(answer, requestId) ?? answer);
    } catch (error) {
      const problem = error instanceof Error ? error.message : 'the request failed';
      return noted({ kind: 'unreachable', problem });
    }
  };

  const askOne = async (question: EvaluationQuestion, requestId: string): Promise<Verdict> => {
    const answer = await call('evaluation', question, requestId);
    return 'kind' in answer ? answer : noted(verdictIn(answer.json));
  };

  const askTogether = async (
    questions: readonly EvaluationQuestion[],
    requestId: string,
  ): Promise<readonly Verdict[]> => {
    const [first] = questions;
    if (first === undefined) return [];
    // AuthZEN 1.0 §7.1.1: what stands beside the evaluations holds for each.
    const { subject, action, context } = first;
    const shared = { subject, action, ...(context === undefined ? {} : { context }) };
    const evaluations = questions.map(({ resource }) => ({ resource }));
    const answer = await call('evaluations', { ...shared, evaluations }, requestId);
    return 'kind' in answer ? questions.map(() => answer) : verdictsIn(answer.json, questions.length);
  };

  const ask = async (
    questions: readonly EvaluationQuestion[],
    requestId: string,
  ): Promise<readonly Verdict[]> => {
    if (questions.length > 1) {
      const endpoints = await source.endpoints();
      if (!('kind' in endpoints) && endpoints.evaluations !== null) return askTogether(questions, requestId);
    }
    const verdicts: Verdict[] = [];
    for (let from = 0; from < questions.length; from += atATime) {
      const some = questions.slice(from, from + atATime);
      verdicts.push(...(await Promise.all(some.map((question) => askOne(question, requestId)))));
    }
    return verdicts;
  };

  return {
    onFailure: config.on_failure,
    concerns: (action, model) =>
      config.actions.some((pattern) => matchesAction(pattern, action)) &&
      (model === null || models.some((matches) => matches(model))),
    async verdicts(requests, requestId) {
      const questions = requests.map((request) => evaluationQuestion(request, config));
      const keys = questions.map((question) => JSON.stringify(question));
      return cache.answers(keys, async (positions) => {
        const startedAt = performance.now();
        const verdicts = await ask(
          positions.flatMap((position) => questions[position] ?? []),
          requestId,
        );
        const seconds = (performance.now() - startedAt) / 1_000;
        for (const [index, { kind }] of verdicts.entries()) {
          const outcome = kind === 'permit' || kind === 'deny' ? kind : 'failed';
          onAsked({ outcome, count: 1, seconds: index === 0 ? seconds : null });
        }
        return verdicts;
      });
    },
    async warm() {
      const endpoints = await source.endpoints();
      if ('kind' in endpoints) noted(endpoints);
    },
    problem: () => circuit.problem() ?? invalid,
    close: () => caller.close(),
  };
}

/** Why an answer is none, or null for one that may hold a verdict. */
function failureOf({ status, requestId }: JsonAnswer, asked: string): NoVerdict | null {
  if (status >= 500 || status === 429) return { kind: 'unreachable', problem: `the answer is ${status}` };
  if (status !== 200) return { kind: 'invalid', problem: `the answer is ${status}` };
  // AuthZEN 1.0 §10.1.6: an answer that names a request names the one that was asked.
  if (requestId !== null && requestId !== asked)
    return { kind: 'invalid', problem: 'the answer is to another request' };
  return null;
}
