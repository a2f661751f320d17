// The section `basic` of policies/issuers.yaml: passwords of local accounts as HTTP Basic credentials. Off without it.
import { z } from 'zod';
import { duration } from '../../../core/duration.ts';

/** Schema of the section. */
export const basicSchema = z.strictObject({
  /** Whose passwords: `embedded`, the accounts of the embedded identity server. */
  accounts: z.literal('embedded'),
  /** How long a password that was good is not asked about again; at most 60s. */
  cache: duration.refine((ms) => ms <= 60_000, 'cache is at most 60s').prefault('10s'),
  /** TLS ends at a proxy in front, and the way between is private: passwords arrive here in clear text. */
  accept_behind_proxy: z.boolean().default(false),
});
/** The parsed section. */
export type BasicPolicy = z.output<typeof basicSchema>;
