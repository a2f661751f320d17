// Condition `issuers`: by whom the access token was signed.
import { z } from 'zod';
import type { Condition } from './condition.ts';

const schema = z.array(z.string().min(1)).min(1).describe('Names in issuers.yaml.');

/** Any of the listed issuers. */
export const issuers = {
  name: 'issuers',
  codes: ['issuers_matched', 'issuers_not_matched'],
  settled: true,
  schema,
  compile(names) {
    const listed = new Set(names);
    return ({ principal }) => listed.has(principal.issuerName);
  },
} as const satisfies Condition<typeof schema>;
