// policies/roles.yaml: what each role permits, on which models, which roles it includes, who holds a role by assignment,
// and which roles nobody may combine.
import { z } from 'zod';
import { identityTypeSchema } from './identity-type.ts';
import { actionPattern, modelPattern, resourcePattern, roleName } from './patterns.ts';

const role = z.strictObject({
  inherits: z.array(roleName).default([]).describe('Roles whose permissions and models this role includes.'),
  permits: z
    .array(actionPattern)
    .default([])
    .describe(
      'Actions of routes.yaml and access.yaml that this role permits; `admin.*` stands for every action below `admin.`.',
    ),
  models: z
    .array(modelPattern)
    .default([])
    .describe(
      'Models that this role may use; `premium-*` and `*` are patterns. Any other model does not exist for the caller.',
    ),
  resources: z
    .array(resourcePattern)
    .default([])
    .describe(
      'Resources of other services (access.yaml) that this role may use: a type and an id, such as `document:42` or `document:*`.',
    ),
});

const names = z.array(z.string().min(1)).min(1).optional();

const assignment = z
  .strictObject({
    role: roleName.describe('The role that is given.'),
    groups: names.describe('Groups, as in the `groups` claim; a member of any of them holds the role.'),
    client_ids: names.describe(
      'Client applications. Alone, they stand for the applications themselves (`identity_type: any`: for whoever comes through them).',
    ),
    identity_type: identityTypeSchema.optional(),
    subjects: names.describe(
      'Subjects, as in the claim that identifies the subject; name `issuers` with them, because two issuers may use one subject for two people.',
    ),
    issuers: z
      .array(z.string())
      .min(1)
      .optional()
      .describe(
        'Names in issuers.yaml whose tokens this holds for; default: every issuer. Name them when more than one issuer is trusted.',
      ),
  })
  .refine(({ groups, client_ids, subjects }) => (groups ?? client_ids ?? subjects) !== undefined, {
    error: 'an assignment names groups, client_ids or subjects',
  });

const dutyPair = z.tuple([roleName, roleName]);

/** Schema of policies/roles.yaml. */
export const rolesSchema = z.strictObject({
  roles: z
    .record(roleName, role)
    .describe('Every role this gateway knows; a claimed role that is not here gives nothing.'),
  assignments: z
    .array(assignment)
    .default([])
    .describe(
      'Roles given to members of groups, to client applications and to subjects, for tokens that do not carry roles. An assignment that states several keys asks for all of them.',
    ),
  separation_of_duties: z
    .array(dutyPair)
    .default([])
    .describe(
      'Pairs of roles that nobody may combine. Roles and assignments that join a pair are refused when the file is read; a caller who holds both, because the issuer says so, is refused everything.',
    ),
});
/** The parsed roles.yaml. */
export type RolesPolicy = z.output<typeof rolesSchema>;
