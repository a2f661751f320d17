// Condition `roles`: what the principal holds, after assignments and hierarchy.
import { z } from 'zod';
import { roleName } from '../patterns.ts';
import type { Condition } from './condition.ts';

const schema = z
  .array(roleName)
  .min(1)
  .describe('Roles of roles.yaml; held directly, by assignment or through a role that includes them.');

/** Any of the listed roles; it cannot be said while the groups that may give one are not known. */
export const roles = {
  name: 'roles',
  codes: ['roles_matched', 'roles_not_matched'],
  settled: true,
  schema,
  compile:
    (names) =>
    ({ roles: held, uncertainRoles }) => {
      if (names.some((name) => held.has(name))) return true;
      if (names.some((name) => uncertainRoles.has(name))) throw new Error('the groups are not known');
      return false;
    },
} as const satisfies Condition<typeof schema>;
