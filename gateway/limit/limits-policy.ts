// policies/limits.yaml: how many requests or model tokens, for whom, in which window or period. Routes name the limits
// that hold for them.
import { z } from 'zod';
import { duration } from '../../core/duration.ts';
import { periods } from './period.ts';
import type { LimitRule } from './store.ts';

/** Whom a limit counts. */
const limitSubjects = ['principal', 'client', 'caller_address', 'gateway'] as const;
/** What it counts. */
type LimitUnit = 'requests' | 'model_tokens';

const oneDayMs = 86_400_000;

const window = duration
  .refine((windowMs) => windowMs >= 1_000 && windowMs <= oneDayMs, 'a window is between 1s and 24h')
  // Redis counts windows in whole seconds.
  .refine((windowMs) => windowMs % 1_000 === 0, 'a window is a whole number of seconds')
  .describe('Length of the window, from 1s to 24h in whole seconds.');

const requests = z.int().min(1).max(1_000_000_000).describe('Requests that one window admits.');

/** Model tokens that a request reserves for an answer whose length it leaves open. */
const openAnswerTokens = 256;

const limit = z
  .strictObject({
    by: z
      .enum(limitSubjects)
      .describe(
        '`principal`: whoever the credential belongs to; `client`: its client application; `caller_address`: the peer; `gateway`: everybody together.',
      ),
    requests: requests.optional(),
    model_tokens: z
      .int()
      .min(1)
      .max(1_000_000_000_000)
      .optional()
      .describe('Model tokens (prompt and answer) that one window or period admits.'),
    window: window.optional(),
    period: z
      .enum(periods)
      .optional()
      .describe('A period of the calendar in UTC, instead of a window; its count outlives the process.'),
    open_answer: z
      .int()
      .min(0)
      .max(1_000_000)
      .optional()
      .describe(
        `Model tokens reserved for an answer when the request states no maximum; default ${openAnswerTokens}.`,
      ),
  })
  .superRefine((entry, context) => {
    const refuse = (message: string, path: string[] = []): void => {
      context.addIssue({ code: 'custom', message, path });
    };
    if ((entry.requests === undefined) === (entry.model_tokens === undefined))
      refuse('state either requests: … or model_tokens: …');
    if ((entry.window === undefined) === (entry.period === undefined))
      refuse('state either window: … or period: …');
    if (entry.open_answer !== undefined && entry.model_tokens === undefined)
      refuse('open_answer goes with model_tokens', ['open_answer']);
  });

/** Schema of policies/limits.yaml. */
export const limitsSchema = z.strictObject({
  /** Limits by name; a limit holds only on routes that name it. */
  limits: z
    .record(
      z.string().regex(/^[a-z0-9-]{1,64}$/, 'the name of a limit is lower-case letters, digits and hyphens'),
      limit,
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
  readonly unit: LimitUnit;
  /** Model tokens reserved for an answer of open length. */
  readonly openAnswerTokens: number;
  /** Its member of the `RateLimit-Policy` header. */
  readonly policyItem: string;
  /** How its member of the `RateLimit` header begins, up to what remains. */
  readonly limitItemStart: string;
  /** The quota in digits. */
  readonly quotaText: string;
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
    byName.set(name, compileLimit(name, entry));
  }
  const { requests: failures, window: windowMs } = policy.failed_authentications;
  return {
    names: new Set(byName.keys()),
    byName,
    failedAuthentications: { name: failedAuthenticationsName, quota: failures, windowMs },
  };
}

const longestPeriodMs: Readonly<Record<(typeof periods)[number], number>> = {
  hour: 3_600_000,
  day: oneDayMs,
  week: 7 * oneDayMs,
  month: 31 * oneDayMs,
  year: 366 * oneDayMs,
};

function compileLimit(name: string, entry: LimitsPolicy['limits'][string]): CompiledLimit {
  const { by, period } = entry;
  const unit = entry.requests === undefined ? 'model_tokens' : 'requests';
  const quota = entry.requests ?? entry.model_tokens ?? 0; // The schema demands one of them.
  const windowMs = entry.window ?? (period === undefined ? 0 : longestPeriodMs[period]); // And one of these.
  // draft-ietf-httpapi-ratelimit-headers §3: q is the quota, w the window in seconds, qu the unit.
  const windowItem = period === undefined ? `;w=${windowMs / 1_000}` : '';
  const unitItem = unit === 'model_tokens' ? ';qu="model-tokens"' : '';
  return {
    rule: { name, quota, windowMs, ...(period === undefined ? {} : { period }) },
    by,
    unit,
    openAnswerTokens: entry.open_answer ?? openAnswerTokens,
    policyItem: `"${name}";q=${quota}${windowItem}${unitItem}`,
    limitItemStart: `"${name}";r=`,
    quotaText: String(quota),
  };
}
