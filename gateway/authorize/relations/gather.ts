// Asks a store elsewhere before rules are matched: rules are tried with the answers so far, what they asked in vain is
// fetched in one batch, and they are tried again, a few times at most. What is then still unknown works against the caller.
import { decide, factsOf, type DecisionParts } from '../decide.ts';
import type { Decision, EvaluationRequest } from '../evaluation.ts';
import { matchRule } from '../match-rule.ts';
import type { RelationLookup, RemoteRelations } from './index.ts';
import { questionKey, type RelationAnswer, type RelationQuestion } from './store.ts';

/** Rounds of asking; a second one only follows where an answer leads to another question. */
const maxRounds = 3;
/** Questions of one request. */
const maxQuestions = 500;

/** Whether the rules on these requests ask a store elsewhere. */
export function mustGather(requests: readonly EvaluationRequest[], parts: DecisionParts): boolean {
  const remote = parts.relations?.remote ?? null;
  return (
    remote !== null &&
    parts.rules.asksRelations &&
    requests.some((request) => parts.rules.candidates(factsOf(request, parts)).asking.length > 0)
  );
}

/** The same parts with the answers that the rules on these requests ask for. Never rejects. */
export async function gatherAnswers(
  requests: readonly EvaluationRequest[],
  parts: DecisionParts,
): Promise<DecisionParts> {
  const remote = parts.relations?.remote ?? null;
  if (remote === null) return parts;
  const gathered = createGathered(remote);
  const answered = { ...parts, relations: gathered.lookup };
  for (let round = 0; round < maxRounds; round++) {
    for (const request of requests) {
      const facts = factsOf(request, answered);
      for (const rule of parts.rules.candidates(facts).asking) matchRule(rule, facts);
    }
    const questions = gathered.unanswered();
    if (questions.length === 0) break;
    gathered.add(questions, await remote.store.check(questions));
  }
  return answered;
}

/** Decides, after asking whom the rules ask; for whoever decides outside the pipeline. Never rejects. */
export async function decideAsking(request: EvaluationRequest, parts: DecisionParts): Promise<Decision> {
  return decide(request, mustGather([request], parts) ? await gatherAnswers([request], parts) : parts);
}

interface Gathered {
  readonly lookup: RelationLookup;
  /** Questions that were put and have no answer yet. */
  unanswered(): readonly RelationQuestion[];
  add(questions: readonly RelationQuestion[], answers: readonly RelationAnswer[]): void;
}

function createGathered(remote: RemoteRelations): Gathered {
  const answers = new Map<string, RelationAnswer>();
  let open = new Map<string, RelationQuestion>();
  return {
    lookup: {
      remote: null,
      related(facts, asked) {
        const question = remote.question(facts, asked);
        const key = questionKey(question);
        const answer = answers.get(key);
        if (answer === undefined && answers.size + open.size < maxQuestions) open.set(key, question);
        if (answer === undefined || answer === null) throw new Error('the relation is not known');
        return answer;
      },
    },
    unanswered() {
      const questions = [...open.values()];
      open = new Map();
      return questions;
    },
    add(questions, given) {
      for (const [index, question] of questions.entries())
        answers.set(questionKey(question), given[index] ?? null);
    },
  };
}
