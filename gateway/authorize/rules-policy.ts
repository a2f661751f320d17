// policies/rules.yaml: what roles alone cannot say. The file is optional.
import { z } from 'zod';

const rule = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'a rule is named by lower-case letters, digits and . _ -')
    .describe('Unique; decisions, audit records and tests name it as `rules.<name>`.'),
  effect: z.enum(['permit', 'deny']).optional().describe('`deny` overrules every permit; `permit` adds one.'),
});

/** Schema of policies/rules.yaml. */
export const rulesSchema = z.strictObject({
  rules: z.array(rule).default([]).describe('Rules; their order does not matter.'),
});
export type RulesPolicy = z.output<typeof rulesSchema>;
export type RuleEntry = RulesPolicy['rules'][number];
