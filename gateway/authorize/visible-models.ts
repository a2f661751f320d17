// Which models a caller sees in a list: those that roles or permit rules give, less those that deny rules take.
import { factsOf, type DecisionParts } from './decide.ts';
import type { EvaluationRequest } from './evaluation.ts';
import { matchRule } from './match-rule.ts';

/** Models of a list, in configuration order; each is judged as if the request were about it. */
export function visibleModels(request: EvaluationRequest, parts: DecisionParts): readonly string[] {
  const { authorization, rules, models } = parts;
  const held = authorization.permittedModels(request.subject.properties);
  if (rules.all.length === 0) return held.filter((id) => models.has(id));
  return [...models.keys()].filter((id) => {
    const facts = factsOf({ ...request, resource: { type: 'model', id } }, parts);
    const { denies, permits } = rules.candidates(facts);
    const isGiven = held.includes(id) || permits.some((rule) => matchRule(rule, facts).matched);
    return isGiven && !denies.some((rule) => isTaken(matchRule(rule, facts)));
  });
}

const isTaken = ({ matched, failed }: ReturnType<typeof matchRule>): boolean => matched || failed !== null;
