// `introspection:` of an entry in issuers.yaml: which opaque credentials are looked up at this issuer, and how (RFC 7662).
import { z } from 'zod';
import { duration } from '../../../core/duration.ts';
import { secretReference } from '../../../core/secret.ts';

const between = (minMs: number, maxMs: number, text: string): z.ZodType<number, string> =>
  duration.refine((ms) => ms >= minMs && ms <= maxMs, text);

/** Schema of the member. */
export const introspectionSchema = z.strictObject({
  /** Where credentials are looked up, instead of the metadata's introspection_endpoint. Not for `embedded`. */
  endpoint: z
    .string()
    .refine(
      (text) => /^https?:\/\/[^?#@\s]+$/.test(text) && URL.canParse(text),
      'an endpoint has an https:// address without query, fragment or credentials',
    )
    .optional(),
  /** Client id of the gateway at the issuer. Not for `embedded`. */
  client_id: z.string().min(1).optional(),
  /** Secret of that client, env:NAME or file:/path. */
  client_secret: secretReference.optional(),
  /** How the client authenticates. */
  client_authentication: z.enum(['client_secret_basic', 'client_secret_post']).default('client_secret_basic'),
  /** How its opaque credentials begin, e.g. `sp_`; may be left out when no other issuer is asked. */
  token_prefixes: z
    .array(
      z
        .string()
        .regex(/^[A-Za-z0-9\-._~+/]{2,32}$/, 'a prefix is 2 to 32 characters that a credential may hold')
        // A JWT begins so: it must never be sent to a lookup because of its first letters.
        .refine((prefix) => !/^e[w-y]/.test(prefix), 'a JWT begins so'),
    )
    .default([]),
  /** Looks up access tokens of this issuer that are JWTs too, after their signature: revocation at the issuer is then seen. */
  also_jwt: z.boolean().default(false),
  /** How long an answer is used at most; never past the expiry of the credential. */
  cache: between(0, 300_000, 'cache is at most 5m').prefault('30s'),
  /** How long a credential that was refused is refused without asking again. */
  negative_cache: between(0, 60_000, 'negative_cache is at most 1m').prefault('5s'),
  /** How long the issuer may take. */
  timeout: between(100, 10_000, 'timeout is 100ms to 10s').prefault('2s'),
});
/** The parsed member. */
export type IntrospectionPolicy = z.output<typeof introspectionSchema>;
