// `gateway.relations`: who holds the relationships that rules ask for.
import { z } from 'zod';
import { outsideFaults, outsideKeys, serviceUrl } from '../outside/outside-config.ts';

const ulid = z
  .string()
  .regex(/^[ABCDEFGHJKMNPQRSTVWXYZ0-9]{26}$/, 'an id of OpenFGA is 26 capital letters and digits');

const embedded = z.strictObject({
  engine: z
    .literal('embedded')
    .describe('The tuples of policies/relations.yaml and those of the embedded identity, in this process.'),
  identity: z
    .boolean()
    .default(true)
    .describe(
      'Whether the tuples that the embedded identity holds count, too, where `embedded_identity` is set.',
    ),
});

const openfga = z
  .strictObject({
    engine: z
      .literal('openfga')
      .describe(
        'A store of OpenFGA; policies/relations.yaml then says only which types and relations there are.',
      ),
    url: serviceUrl.describe('Where the HTTP API of OpenFGA is, e.g. https://openfga.internal:8080.'),
    store_id: ulid.describe('The store.'),
    authorization_model_id: ulid.describe(
      'The model that answers; named, so that a new model is used only when you say so.',
    ),
    consistency: z
      .enum(['minimize_latency', 'higher_consistency'])
      .default('minimize_latency')
      .describe('`higher_consistency` makes OpenFGA pass over its caches.'),
    ...outsideKeys,
  })
  .superRefine((config, context) => {
    for (const { path, message } of outsideFaults(config, { url: config.url }))
      context.addIssue({ code: 'custom', path: [path], message });
  });

/** Schema of `gateway.relations`. */
export const relationsConfigSchema = z.discriminatedUnion('engine', [embedded, openfga]);
/** The parsed section. */
export type RelationsConfig = z.output<typeof relationsConfigSchema>;
/** The section for OpenFGA. */
export type OpenFgaConfig = Extract<RelationsConfig, { engine: 'openfga' }>;
