// Condition `scopes`: what the client was given by whoever signed in.
import { z } from 'zod';
import type { Condition } from './condition.ts';

const schema = z
  .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'a scope is one word (RFC 6749 §3.3)'))
  .min(1)
  .describe('Scopes as they stand in the access token, e.g. `LLM.Access`.');

/** Any of the listed scopes, exact. */
export const scopes = {
  name: 'scopes',
  codes: ['scopes_matched', 'scopes_not_matched'],
  settled: true,
  schema,
  compile:
    (names) =>
    ({ principal }) =>
      names.some((name) => principal.scopes.has(name)),
} as const satisfies Condition<typeof schema>;
