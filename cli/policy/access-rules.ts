// Who gets access otherwise than by a role that is claimed: assignments of roles.yaml, and permit rules.
import { factsOf } from '../../gateway/authorize/decide.ts';
import { concerns, type Rule } from '../../gateway/authorize/compiled-rules.ts';
import { shownObligations } from '../../gateway/authorize/index.ts';
import type { Snapshot } from '../../gateway/snapshot.ts';
import { holderOf, questionsOf, type AccessMoment, type Permission } from './access.ts';
import type { OpenedPolicies } from './opened-policies.ts';
import { writtenConditions } from './reason-words.ts';

/** What a permit rule gives to whoever fits its conditions, and what it obliges to itself. */
export interface RuleAccess extends Permission {
  /** As they are written, in one line; empty for a rule that holds for everybody. */
  readonly conditions: string;
}

/** What the permit rules give, each on its actions, models and resources; left out is what a deny rule takes from everybody. */
export function accessByRules(
  opened: OpenedPolicies,
  snapshot: Snapshot,
  moment: AccessMoment,
): RuleAccess[] {
  const permits = snapshot.rules.all.filter(({ effect }) => effect === 'permit');
  if (permits.length === 0) return [];
  const denials = snapshot.rules.all.filter((rule) => rule.effect === 'deny' && isForEverybody(rule));
  const nobody = holderOf([], '');
  const questions = questionsOf(opened.bundle, snapshot);
  return permits.flatMap((permit) => {
    const own = permit.obliging === null ? null : shownObligations(snapshot.rules.obligationsOf([permit]));
    const conditions = writtenConditions(permit.id.slice('rules.'.length), opened);
    return questions.flatMap(({ request, ...asked }) => {
      const evaluated = request(nobody, moment);
      const facts = factsOf(evaluated, snapshot);
      const isAbout = (rule: Rule): boolean =>
        concerns(rule, evaluated) && rule.aboutWhat.every((condition) => condition.test(facts));
      return isAbout(permit) && !denials.some(isAbout)
        ? [{ ...asked, decidedBy: permit.id, obligations: asked.resource === null ? own : null, conditions }]
        : [];
    });
  });
}

/** Whether a rule says what it is about and nothing of whom or when. */
const isForEverybody = ({ conditions, aboutWhat }: Rule): boolean => conditions.length === aboutWhat.length;

/** The assignments of one role, each in words: `groups a, b; issuers corp`. */
export function holdersOf(role: string, { bundle }: Pick<OpenedPolicies, 'bundle'>): string[] {
  return bundle.roles.assignments
    .filter((assignment) => assignment.role === role)
    .map((assignment) =>
      Object.entries(assignment)
        .filter(([key]) => key !== 'role')
        .map(([key, value]) => `${key} ${typeof value === 'string' ? value : (value ?? []).join(', ')}`)
        .join('; '),
    );
}
