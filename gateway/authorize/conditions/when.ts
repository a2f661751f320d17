// Condition `when`: an expression in CEL over principal, request, resource and environment (cel/environment.ts).
import { z } from 'zod';
import type { Condition } from './condition.ts';

const schema = z
  .string()
  .min(1)
  .max(4_096)
  .describe(
    'An expression in CEL that yields true or false, over `principal`, `request`, `resource` and `environment`. It is type-checked when the file is read; one that fails on a request denies it (on a permit rule without obligations: permits nothing).',
  );

/** The expression yields true. Does not check the expression: the policy loader does, once (cel/check-expression.ts). */
export const when = {
  name: 'when',
  codes: ['when_matched', 'when_not_matched'],
  settled: false,
  schema,
  compile: (expression, { compileExpression }) => compileExpression(expression),
} as const satisfies Condition<typeof schema>;
