// The contract of a rule's condition: its schema, its two reason codes, and the test that it compiles to.
import type { z } from 'zod';
import type { Principal } from '../../principal.ts';
import type { EvaluationRequest } from '../evaluation.ts';
import type { RelationLookup } from '../relations/index.ts';

/** What a condition may look at. */
export interface RuleFacts {
  readonly request: EvaluationRequest;
  readonly action: string;
  /** Null for actions about no model; such a request matches no rule that names models. */
  readonly model: string | null;
  readonly principal: Principal;
  /** Roles after assignments and hierarchy. */
  readonly roles: ReadonlySet<string>;
  /** Roles that unknown groups may give besides. */
  readonly uncertainRoles: ReadonlySet<string>;
  /** Name of the upstream that serves the model; empty without a model. */
  readonly upstream: string;
  /** Answers `related`. */
  readonly relations: RelationLookup;
}

/** Whether a condition holds. A throw means that it cannot be said, which never works in favour of the caller. */
export type Test = (facts: RuleFacts) => boolean;

/** What the conditions of one bundle share. */
export interface Surroundings {
  /** Compiles a CEL expression (cel/compile-expression.ts). */
  readonly compileExpression: (expression: string) => Test;
}

/** One key of a rule, one file in this folder; the list of them is index.ts. */
export interface Condition<Schema extends z.ZodType> {
  /** The key in rules.yaml. */
  readonly name: string;
  /** Reason codes, for what matched and what did not. */
  readonly codes: readonly [matched: string, notMatched: string];
  /** Depends on principal, action and model alone, so that it is settled once for all their requests. */
  readonly settled: boolean;
  readonly schema: Schema;
  compile(value: z.output<Schema>, surroundings: Surroundings): Test;
}
