// Condition `require`: how, and how recently, the caller signed in. It is no condition of whether a rule matches: a caller
// who lacks it is told what is needed (RFC 9470), and may come back with it.
import { z } from 'zod';
import { duration } from '../../../core/duration.ts';
import type { StepUp } from '../evaluation.ts';
import type { Condition, RuleFacts } from './condition.ts';

const word = z
  .string()
  .regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'one word without blanks, quotes or backslashes');

const schema = z
  .strictObject({
    acr: z
      .array(word)
      .min(1)
      .optional()
      .describe('Accepted `acr` values, best first; the challenge lists them.'),
    amr: z.array(word).min(1).optional().describe('Each of these must be in `amr`, e.g. `mfa`.'),
    max_age: duration
      .refine((ms) => ms >= 1_000 && ms % 1_000 === 0, 'max_age is in whole seconds, from 1s')
      .optional()
      .describe('How long ago the sign-in (`auth_time`) may be.'),
  })
  .refine((value) => Object.values(value).some((member) => member !== undefined), {
    error: 'require names acr, amr or max_age',
  })
  .describe(
    'Sign-in that the rule asks for; a caller without it gets 401 `insufficient_user_authentication`.',
  );

type Requirement = z.output<typeof schema>;

/** The sign-in satisfies every member; what the access token does not say counts as not satisfied. */
export const requireSignIn = {
  name: 'require',
  codes: ['require_matched', 'require_not_matched'],
  settled: false,
  schema,
  compile:
    ({ acr, amr, max_age: maxAgeMs }) =>
    ({ principal, request }: RuleFacts) =>
      (acr === undefined || (principal.acr !== null && acr.includes(principal.acr))) &&
      (amr === undefined || amr.every((method) => principal.amr.includes(method))) &&
      // RFC 9470 §4: the time since auth_time is what max_age bounds.
      (maxAgeMs === undefined ||
        (principal.authTime !== null && request.context.now - principal.authTime * 1_000 <= maxAgeMs)),
} as const satisfies Condition<typeof schema>;

/** What a challenge says of a requirement. */
export function stepUpOf({ acr, amr, max_age: maxAgeMs }: Requirement): StepUp {
  return { acrValues: acr ?? [], amr: amr ?? [], maxAge: maxAgeMs === undefined ? null : maxAgeMs / 1_000 };
}
