// policies/guards.yaml: named guards, each of one kind. Routes name the guards that hold for them.
import { z } from 'zod';
import { deniedWords } from './denied-words.ts';
import { parameterCeilings } from './parameter-ceilings.ts';

/** Schema of policies/guards.yaml, composed from the kinds. */
export const guardsSchema = z.strictObject({
  guards: z
    .record(
      z.string().regex(/^[a-z0-9-]{1,64}$/, 'the name of a guard is lower-case letters, digits and hyphens'),
      z.discriminatedUnion('kind', [deniedWords.schema, parameterCeilings.schema]),
    )
    .default({})
    .describe('Guards by name; a guard holds only on routes that name it.'),
});
/** The parsed guards.yaml. */
export type GuardsPolicy = z.output<typeof guardsSchema>;
