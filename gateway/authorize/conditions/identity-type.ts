// Condition `identity_type`: a person or an application.
import { identityTypeSchema, isIdentityType } from '../identity-type.ts';
import type { Condition } from './condition.ts';

/** The listed kind; a principal of whom it is unproven can be said to be neither. */
export const identityTypes = {
  name: 'identity_type',
  codes: ['identity_type_matched', 'identity_type_not_matched'],
  settled: true,
  schema: identityTypeSchema,
  compile:
    (demand) =>
    ({ principal }) => {
      if (isIdentityType(demand, principal)) return true;
      if (principal.identityType === 'unproven') throw new Error('who is behind the credential is not known');
      return false;
    },
} as const satisfies Condition<typeof identityTypeSchema>;
