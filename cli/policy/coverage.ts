// Which roles and rules no test was decided by.
import { deciderPlace } from './reason-words.ts';
import type { OpenedPolicies } from './opened-policies.ts';
import type { TestResult } from '../../gateway/policies/evaluation/run-tests.ts';
import { decidersOf } from '../../gateway/policies/evaluation/test-files.ts';

export interface Coverage {
  readonly total: number;
  readonly decided: number;
  /** 0 to 100; 100 when there is nothing to decide. */
  readonly percent: number;
  readonly neverDecided: readonly { readonly name: string; readonly place: string }[];
}

/** Roles and rules that decided at least one test, or bound its permit, of all there are. */
export function coverageOf(results: readonly TestResult[], opened: OpenedPolicies): Coverage {
  const deciders = decidersOf(opened.bundle).filter((name) => name !== 'anonymous');
  const decided = new Set(
    results.flatMap(({ answer }) => [
      answer?.decidedBy,
      // A rule that binds a permit decides what is permitted, though not whether.
      ...(answer?.obligations?.rules.map((rule) => rule.id) ?? []),
    ]),
  );
  const missing = deciders.filter((name) => !decided.has(name));
  const count = deciders.length - missing.length;
  return {
    total: deciders.length,
    decided: count,
    percent: deciders.length === 0 ? 100 : Math.floor((count / deciders.length) * 100),
    neverDecided: missing.map((name) => ({ name, place: deciderPlace(name, opened) ?? '' })),
  };
}
