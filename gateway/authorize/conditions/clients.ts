// Condition `clients`: through which client application.
import { z } from 'zod';
import type { Condition } from './condition.ts';

const schema = z
  .array(z.string().min(1))
  .min(1)
  .describe('Client ids (`azp`, `appid` or `client_id` of the access token).');

/** Any of the listed client ids, exact; a principal without a client does not match. */
export const clients = {
  name: 'clients',
  codes: ['clients_matched', 'clients_not_matched'],
  settled: true,
  schema,
  compile(clientIds) {
    const listed = new Set(clientIds);
    return ({ principal }) => principal.clientId !== null && listed.has(principal.clientId);
  },
} as const satisfies Condition<typeof schema>;
