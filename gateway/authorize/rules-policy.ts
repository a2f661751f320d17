// policies/rules.yaml: what roles alone cannot say. The file is optional. A rule's conditions own their schemas.
import { z } from 'zod';
import { actions } from './conditions/actions.ts';
import { clients } from './conditions/clients.ts';
import { identityTypes } from './conditions/identity-type.ts';
import { issuers } from './conditions/issuers.ts';
import { models } from './conditions/models.ts';
import { networks } from './conditions/network.ts';
import { requireSignIn } from './conditions/require.ts';
import { resources } from './conditions/resources.ts';
import { roles } from './conditions/roles.ts';
import { scopes } from './conditions/scopes.ts';
import { time } from './conditions/time.ts';
import { when } from './conditions/when.ts';
import { obligationsSchema } from './obligations-policy.ts';

const rule = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'a rule is named by lower-case letters, digits and . _ -')
    .describe('Unique; decisions, audit records and tests name it as `rules.<name>`.'),
  description: z.string().max(500).optional().describe('Why the rule is there; for people.'),
  effect: z
    .enum(['permit', 'deny'])
    .optional()
    .describe(
      '`deny` overrules every permit; `permit` adds to what roles permit. A rule without an effect has `require` (whoever matches and is permitted must have signed in so), `obligations`, or both.',
    ),
  actions: actions.schema.optional(),
  models: models.schema.optional(),
  resources: resources.schema.optional(),
  issuers: issuers.schema.optional(),
  clients: clients.schema.optional(),
  identity_type: identityTypes.schema.optional(),
  roles: roles.schema.optional(),
  scopes: scopes.schema.optional(),
  network: networks.schema.optional(),
  time: time.schema.optional(),
  when: when.schema.optional(),
  require: requireSignIn.schema.optional(),
  obligations: obligationsSchema.optional(),
});

/** Schema of policies/rules.yaml. */
export const rulesSchema = z.strictObject({
  rules: z
    .array(rule)
    .default([])
    .describe(
      'Rules; a rule matches when each condition that it states does, and a list matches when one of its entries does. The order does not matter.',
    ),
});
/** The parsed rules.yaml. */
export type RulesPolicy = z.output<typeof rulesSchema>;
/** One rule as it is written. */
export type RuleEntry = RulesPolicy['rules'][number];
