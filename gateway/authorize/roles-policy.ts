// policies/roles.yaml: what each role permits, on which models, which roles it includes, and who holds a role by group.
import { z } from 'zod';

const roleName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/, 'a role is named by letters, digits and . _ : / -');

/** `admin.*` permits every action below `admin.`; `*` alone every action. */
const actionPattern = z
  .string()
  .regex(
    /^(\*|[a-z_]+(\.[a-z_]+)*(\.\*)?)$/,
    'an action is a dotted verb such as chat.completions.create, admin.* or *',
  );

/** `premium-*` stands for every configured model that begins so. */
const modelPattern = z
  .string()
  .regex(/^[A-Za-z0-9*][A-Za-z0-9*._:/-]{0,127}$/, 'a model is an id, or a pattern such as premium-* or *');

const role = z.strictObject({
  inherits: z.array(roleName).default([]).describe('Roles whose permissions and models this role includes.'),
  permits: z
    .array(actionPattern)
    .default([])
    .describe(
      'Actions of routes.yaml that this role permits; `admin.*` stands for every action below `admin.`.',
    ),
  models: z
    .array(modelPattern)
    .default([])
    .describe(
      'Models that this role may use; `premium-*` and `*` are patterns. Any other model does not exist for the caller.',
    ),
});

const assignment = z.strictObject({
  role: roleName.describe('The role that is given.'),
  groups: z
    .array(z.string().min(1))
    .min(1)
    .describe('Groups, as in the `groups` claim; a member of any of them holds the role.'),
  issuers: z
    .array(z.string())
    .min(1)
    .optional()
    .describe(
      'Names in issuers.yaml whose tokens this holds for; default: every issuer. Name them when more than one issuer is trusted.',
    ),
});

/** Schema of policies/roles.yaml. */
export const rolesSchema = z.strictObject({
  roles: z
    .record(roleName, role)
    .describe('Every role this gateway knows; a claimed role that is not here gives nothing.'),
  assignments: z
    .array(assignment)
    .default([])
    .describe('Roles given to members of groups, for tokens that carry groups instead of roles.'),
});
/** The parsed roles.yaml. */
export type RolesPolicy = z.output<typeof rolesSchema>;
