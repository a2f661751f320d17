// Matches one rule against the facts of a request.
import { concerns, type Rule } from './compiled-rules.ts';
import type { RuleFacts } from './conditions/condition.ts';
import type { Reason } from './evaluation.ts';

/** Whether a rule matches; `failed` is the condition that could not be evaluated. */
export interface RuleMatch {
  readonly matched: boolean;
  readonly failed: Reason | null;
}

const yes: RuleMatch = { matched: true, failed: null };
const no: RuleMatch = { matched: false, failed: null };

/** Matches the conditions that were not settled before (compiled-rules.ts). */
export function matchRule(rule: Rule, facts: RuleFacts): RuleMatch {
  for (const condition of rule.changing) {
    try {
      if (!condition.test(facts)) return no;
    } catch {
      return { matched: false, failed: condition.failed };
    }
  }
  return yes;
}

/** Every rule up to its first condition that does not match, as reasons. */
export function traceRules(facts: RuleFacts, rules: readonly Rule[]): Reason[] {
  return rules.flatMap((rule) => {
    if (!concerns(rule, facts.request)) return [];
    const reasons: Reason[] = [];
    for (const condition of [...rule.conditions, ...(rule.require === null ? [] : [rule.require])]) {
      const reason = traced(() => condition.test(facts), condition);
      reasons.push(reason);
      if (reason !== condition.matched) return reasons;
    }
    return reasons.length === 0 ? rule.matched : reasons;
  });
}

function traced(test: () => boolean, condition: Rule['conditions'][number]): Reason {
  try {
    return test() ? condition.matched : condition.notMatched;
  } catch {
    return condition.failed;
  }
}
