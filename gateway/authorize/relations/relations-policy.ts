// policies/relations.yaml: who is related to what. Types with their relations, and tuples; `related()` in rules asks them.
import { z } from 'zod';
import { namePattern, parseTuple } from './names.ts';

const typeName = z.string().regex(namePattern, 'a type is named by letters, digits, _ and -');
const relationName = z.string().regex(namePattern, 'a relation is named by letters, digits, _ and -');

const word = '[A-Za-z][A-Za-z0-9_-]{0,49}';
const source = z
  .string()
  .regex(
    new RegExp(`^${word}(:\\*|#${word}| from ${word})?$`),
    'one of: a type (user), everybody of a type (user:*), a userset (team#member), another relation (owner), or one of a related object (viewer from parent)',
  );

/** A tuple as text; whether a model allows it is asked of tuple-index.ts. */
export const tupleText = z.string().superRefine((text, context) => {
  try {
    parseTuple(text);
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : 'not a tuple' });
  }
});

const principal = z.strictObject({
  subject: typeName.describe('Type of the subjects: `user` makes the subject alice `user:alice`.'),
  groups: typeName
    .optional()
    .describe(
      'Type of the groups in the token; the principal counts as `member` of each. Default: not read.',
    ),
  roles: typeName
    .optional()
    .describe(
      'Type of the roles that the principal holds (after assignments and hierarchy); he counts as `member` of each. Default: not read.',
    ),
});

/** Schema of policies/relations.yaml. */
export const relationsSchema = z.strictObject({
  types: z
    .record(
      typeName,
      z.record(
        relationName,
        z
          .array(source)
          .min(1)
          .describe(
            'Who has the relation: `user` (written as a tuple), `user:*` (everybody of the type), `team#member` (all who are `member` of a team that is written), `owner` (whoever is `owner` of the same object), `viewer from parent` (whoever is `viewer` of an object that is its `parent`).',
          ),
      ),
    )
    .default({})
    .describe('Types of objects, and the relations of each. A type of people has none: `user: {}`.'),
  principals: z
    .record(z.string(), principal)
    .optional()
    .describe(
      'Names in issuers.yaml, and what the people of each are called. Default with one issuer: its subjects are of type `user`, its groups of type `group` and its roles of type `role`, where these types are there. With several issuers it must be written.',
    ),
  tuples: z
    .array(tupleText)
    .default([])
    .describe('Relationships: `model:gpt2#viewer@user:alice`, `folder:labs#viewer@team:research#member`.'),
});
/** The parsed relations.yaml. */
export type RelationsPolicy = z.output<typeof relationsSchema>;

/** No types: `related` cannot be used. */
export const emptyRelations: RelationsPolicy = { types: {}, tuples: [] };
