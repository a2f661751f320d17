// Compiles rules.yaml. Rules that cannot match cost nothing: they are set aside once per action and model, then once per
// principal by the conditions that cannot change between two requests.
import type { ModelAttributes } from '../model-attributes.ts';
import { PrincipalMemo } from '../principal-memo.ts';
import { createExpressionCompiler } from './cel/compile-expression.ts';
import type { RuleFacts } from './conditions/condition.ts';
import { prepareConditions, prepareRequire, type PreparedCondition } from './conditions/index.ts';
import { stepUpOf } from './conditions/require.ts';
import type { EvaluationRequest, Reason, StepUp } from './evaluation.ts';
import { joinObligations, type ObligingRule, type Obligations } from './obligations.ts';
import type { RuleEntry, RulesPolicy } from './rules-policy.ts';

/** One compiled rule. */
export interface Rule {
  /** `rules.<name>`. */
  readonly id: string;
  readonly effect: 'permit' | 'deny' | 'require';
  /** Whether the rule names its actions; only then it holds on routes that are open to anybody. */
  readonly namesActions: boolean;
  /** Whether the rule names resources of other services; only then it permits anything on them. */
  readonly namesResources: boolean;
  readonly conditions: readonly RuleCondition[];
  /** Conditions on the action and the model. */
  readonly aboutWhat: readonly RuleCondition[];
  /** Conditions on the principal that are settled once. */
  readonly aboutWhom: readonly RuleCondition[];
  /** Whether its `when` names `related`. */
  readonly asksRelations: boolean;
  /** The conditions that may change from request to request. */
  readonly changing: readonly RuleCondition[];
  /** The `require` of the rule, or null. */
  readonly require: RuleCondition | null;
  readonly stepUp: StepUp | null;
  /** The reasons when all conditions match. */
  readonly matched: readonly Reason[];
  /** What the rule binds a permit to, or null. */
  readonly obliging: ObligingRule | null;
}

/** A condition with its reasons, made once. */
export interface RuleCondition extends PreparedCondition {
  readonly matched: Reason;
  readonly notMatched: Reason;
  /** The condition could not be evaluated. */
  readonly failed: Reason;
}

/** Rules that may match a question, by effect, in the order of the file. */
export interface Candidates {
  readonly denies: readonly Rule[];
  readonly permits: readonly Rule[];
  readonly requires: readonly Rule[];
  /** Rules of any effect that have obligations. */
  readonly obliging: readonly Rule[];
  /** Those of them that ask for relations. */
  readonly asking: readonly Rule[];
}

/** The compiled rules.yaml. */
export interface Rules {
  /** Every rule, in the order of the file. */
  readonly all: readonly Rule[];
  /** Whether any rule asks for relations. */
  readonly asksRelations: boolean;
  /** The rules whose settled conditions match; `facts` decide nothing else. */
  candidates(facts: RuleFacts): Candidates;
  /** The joint obligations of rules that have some; the same rules share one value. */
  obligationsOf(rules: readonly Rule[]): Obligations;
}

const none: Candidates = { denies: [], permits: [], requires: [], obliging: [], asking: [] };

/** No rules at all: rules.yaml is optional. */
export const noRules: Rules = {
  all: [],
  asksRelations: false,
  candidates: () => none,
  obligationsOf: obligationsOfRules,
};

/** Bounds of what is kept: questions (action and model) in all and of one principal, distinct sets of rules. */
const kept = { questions: 4_096, perPrincipal: 256, sets: 4_096 };

/**
 * Compiles the rules. `lines` are the lines of the rules in the file, for reasons; `modelAttributes` what `resource` holds.
 * Checks nothing: names, expressions and contradictions are judged by the policy loader (gateway/policies/rule-faults.ts).
 */
export function compileRules(
  policy: RulesPolicy,
  lines: readonly number[] = [],
  modelAttributes?: ReadonlyMap<string, ModelAttributes>,
): Rules {
  if (policy.rules.length === 0) return noRules;
  const compileExpression = createExpressionCompiler(modelAttributes);
  const all = policy.rules.map((entry, index) =>
    compileRule(entry, lines[index] ?? 0, { compileExpression }),
  );
  const byQuestion = new Map<string, readonly Rule[]>();
  const perPrincipal = new PrincipalMemo<Map<string, Candidates>>();
  // Principals for whom the same rules remain share one set.
  const sets = new Map<string, Candidates>();
  const joint = new Map<string, Obligations>();

  const rulesAbout = (facts: RuleFacts): readonly Rule[] =>
    all.filter((rule) => rule.aboutWhat.every((condition) => condition.test(facts)));

  /** Rules whose actions and models match, whoever asks. */
  const rulesOn = (question: string, facts: RuleFacts): readonly Rule[] => {
    const known = byQuestion.get(question);
    if (known !== undefined) return known;
    const found = rulesAbout(facts);
    if (byQuestion.size < kept.questions) byQuestion.set(question, found);
    return found;
  };

  const settle = (rules: readonly Rule[], facts: RuleFacts): Candidates => {
    const asked = rules.filter((rule) => concerns(rule, facts.request));
    const left: Rule[] = [];
    // A rule of which something cannot be said is not the one that others share.
    let isShared = true;
    for (const rule of asked) {
      const remaining = settled(rule, facts);
      if (remaining === null) continue;
      if (remaining !== rule) isShared = false;
      left.push(remaining);
    }
    if (left.length === 0) return none;
    const key = left.map((rule) => rule.id).join(' ');
    const set = (isShared ? sets.get(key) : undefined) ?? {
      denies: left.filter((rule) => rule.effect === 'deny'),
      permits: left.filter((rule) => rule.effect === 'permit'),
      requires: left.filter((rule) => rule.effect === 'require' && rule.require !== null),
      obliging: left.filter((rule) => rule.obliging !== null),
      asking: left.filter((rule) => rule.asksRelations),
    };
    if (isShared && sets.size < kept.sets) sets.set(key, set);
    return set;
  };

  return {
    all,
    asksRelations: all.some((rule) => rule.asksRelations),
    candidates(facts) {
      const { principal, action, model, upstream } = facts;
      // Ids of other services are without number: what is kept is for the gateway's own requests. So are obligations.
      if (facts.request.foreign !== undefined)
        return { ...settle(rulesAbout(facts), facts), obliging: none.obliging };
      // Nothing permits a model that nobody serves, and callers must not fill what is kept.
      if (model !== null && upstream === '') return none;
      const question = model === null ? action : `${action} ${model}`;
      const rules = rulesOn(question, facts);
      if (rules.length === 0) return none;
      const questions = perPrincipal.get(principal) ?? new Map<string, Candidates>();
      const known = questions.get(question);
      if (known !== undefined) return known;
      const found = settle(rules, facts);
      if (questions.size === 0) perPrincipal.set(principal, questions);
      if (questions.size < kept.perPrincipal) questions.set(question, found);
      return found;
    },
    obligationsOf(rules) {
      const key = rules.map((rule) => rule.id).join(' ');
      const obligations = joint.get(key) ?? obligationsOfRules(rules);
      if (joint.size < kept.sets) joint.set(key, obligations);
      return obligations;
    },
  };
}

/** The rule if its settled conditions match, else null; those that cannot be said remain to fail on each request. */
function settled(rule: Rule, facts: RuleFacts): Rule | null {
  let unsaid: readonly RuleCondition[] | null = null;
  for (const condition of rule.aboutWhom) {
    try {
      if (!condition.test(facts)) return null;
    } catch {
      unsaid = [...(unsaid ?? []), condition];
    }
  }
  return unsaid === null ? rule : { ...rule, changing: [...rule.changing, ...unsaid] };
}

function obligationsOfRules(rules: readonly Rule[]): Obligations {
  return joinObligations(rules.flatMap((rule) => rule.obliging ?? []));
}

const isAboutWhat = ({ name }: RuleCondition): boolean =>
  name === 'actions' || name === 'models' || name === 'resources';

/** Whether a rule is about such a question at all: permits reach open routes and other services only where they say so. */
export function concerns(rule: Rule, { subject, foreign }: EvaluationRequest): boolean {
  if (foreign !== undefined) return rule.namesResources || rule.effect !== 'permit';
  return rule.namesActions || subject.type === 'principal';
}

function compileRule(
  entry: RuleEntry,
  line: number,
  surroundings: Parameters<typeof prepareConditions>[1],
): Rule {
  const rule = `rules.${entry.name}`;
  const reason = (condition: string, code: string): Reason => ({
    rule,
    file: 'rules.yaml',
    line,
    condition,
    code,
  });
  const withReasons = (prepared: PreparedCondition): RuleCondition => ({
    ...prepared,
    matched: reason(prepared.name, prepared.codes[0]),
    notMatched: reason(prepared.name, prepared.codes[1]),
    failed: reason(prepared.name, `${prepared.name}_failed`),
  });
  const conditions = prepareConditions(entry, surroundings).map(withReasons);
  const prepared = prepareRequire(entry, surroundings);
  return {
    id: rule,
    effect: entry.effect ?? 'require',
    namesActions: entry.actions !== undefined,
    namesResources: entry.resources !== undefined,
    conditions,
    aboutWhat: conditions.filter(isAboutWhat),
    aboutWhom: conditions.filter((condition) => condition.settled && !isAboutWhat(condition)),
    asksRelations: entry.when !== undefined && /\brelated\b/.test(entry.when),
    changing: conditions.filter((condition) => !condition.settled),
    require: prepared === null ? null : withReasons(prepared),
    stepUp: entry.require === undefined ? null : stepUpOf(entry.require),
    obliging: entry.obligations === undefined ? null : { id: rule, obligations: entry.obligations },
    matched:
      conditions.length === 0
        ? [reason('effect', 'effect_matched')]
        : conditions.map((condition) => condition.matched),
  };
}
