// policies/limits.yaml: how many requests, for whom, in which window. Routes name the limits that hold for them.
import { z } from 'zod';
import { duration } from '../../core/duration.ts';
import type { LimitRule } from './store.ts';

/** Whom a limit counts: `principal` is the person or application behind the credential, `caller_address` the peer. */
const limitSubjects = ['principal', 'caller_address'] as const;

const oneDayMs = 86_400_000;

const window = duration
  .refine((windowMs) => windowMs >= 1_000 && windowMs <= oneDayMs, 'a window is between 1s and 24h')
  // Redis counts windows in whole seconds.
  .refine((windowMs) => windowMs % 1_000 === 0, 'a window is a whole number of seconds')
  .describe('Length of the window, from 1s to 24h in whole seconds.');

const requests = z.int().min(1).max(1_000_000_000).describe('Requests that one window admits.');

/** Schema of policies/limits.yaml. */
export const limitsSchema = z.strictObject({
  /** Limits by name; a limit holds only on routes that name it. */
  limits: z
    .record(
      z.string().regex(/^[a-z0-9-]{1,64}$/, 'the name of a limit is lower-case letters, digits and hyphens'),
      z.strictObject({
        by: z
          .enum(limitSubjects)
          .describe('`principal`: whoever the credential belongs to; `caller_address`: the peer.'),
        requests,
        window,
      }),
    )
    .default({}),
  /** Wrong credentials from one address; further ones are refused before they are looked at. */
  failed_authentications: z.strictObject({ requests, window }).prefault({ requests: 1000, window: '1m' }),
});
/** The parsed limits.yaml. */
export type LimitsPolicy = z.output<typeof limitsSchema>;

/** One limit of limits.yaml, with the part of its headers that never changes. */
export interface CompiledLimit {
  readonly rule: LimitRule;
  readonly by: (typeof limitSubjects)[number];
  /** Its member of the `RateLimit-Policy` header. */
  readonly policyItem: string;
}

/** The compiled limits.yaml. */
export interface Limits {
  readonly names: ReadonlySet<string>;
  readonly byName: ReadonlyMap<string, CompiledLimit>;
  readonly failedAuthentications: LimitRule;
}

/** The counter of wrong credentials; no limit in YAML can take this name. */
const failedAuthenticationsName = 'failed_authentications';

/** Compiles limits.yaml; that the routes name existing limits is checked by the policy loader. */
export function compileLimits(policy: LimitsPolicy): Limits {
  const byName = new Map<string, CompiledLimit>();
  for (const [name, entry] of Object.entries(policy.limits)) {
    byName.set(name, {
      rule: { name, requests: entry.requests, windowMs: entry.window },
      by: entry.by,
      // draft-ietf-httpapi-ratelimit-headers §3: q is the quota, w the window in seconds.
      policyItem: `"${name}";q=${entry.requests};w=${entry.window / 1_000}`,
    });
  }
  const { requests: failures, window: windowMs } = policy.failed_authentications;
  return {
    names: new Set(byName.keys()),
    byName,
    failedAuthentications: { name: failedAuthenticationsName, requests: failures, windowMs },
  };
}
