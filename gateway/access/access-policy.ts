// policies/access.yaml: what other services may ask the gateway about (OpenID AuthZEN): their types of resources with the
// actions on them, and the subjects and resources that are known here. The file is optional.
import { z } from 'zod';
import { actionName, roleName, typeName } from '../authorize/patterns.ts';

const identifier = z
  .string()
  .min(1)
  .max(1_024)
  .describe('As the asking services name it; compared as exact text.');
const properties = z.record(z.string(), z.unknown());

const subject = z.strictObject({
  roles: z.array(roleName).default([]).describe('Roles of roles.yaml that the subject holds.'),
  properties: properties
    .default({})
    .describe('`subject.properties` in rules; what stands here overrules what an asking service states.'),
});

const subjectType = z.strictObject({
  roles_property: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Property in which the asking service states roles (a text or a list of texts). Default: none; then only roles written here count.',
    ),
  subjects: z.record(identifier, subject).default({}).describe('Known subjects by id.'),
});

const resourceType = z.strictObject({
  actions: z
    .array(actionName)
    .min(1)
    .describe('Every action that there is on resources of this type; roles and rules may name no other.'),
  resources: z
    .record(identifier, properties)
    .default({})
    .describe(
      'Known resources by id, with `resource.properties` for rules, which overrule what an asking service states. A search finds these and no others.',
    ),
});

const ownSubjects = ['principal', 'anonymous'];
const ownResources = ['model', 'gateway'];

/** Schema of policies/access.yaml. */
export const accessSchema = z.strictObject({
  subject_types: z
    .record(
      typeName.refine((name) => !ownSubjects.includes(name), 'the gateway has subjects of this type itself'),
      subjectType,
    )
    .default({})
    .describe(
      'Types of subjects of other services. `principal` is always known: whoever has an access token.',
    ),
  resource_types: z
    .record(
      typeName.refine(
        (name) => !ownResources.includes(name),
        'the gateway has resources of this type itself',
      ),
      resourceType,
    )
    .default({})
    .describe('Types of resources of other services. `model` and `gateway` are always known: what is here.'),
});
/** The parsed access.yaml. */
export type AccessPolicy = z.output<typeof accessSchema>;
