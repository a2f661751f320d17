// The key `obligations` of a rule in policies/rules.yaml: what holds for a permitted request that the rule matches.
import { z } from 'zod';
import { ceilingsShape } from '../ceilings.ts';

const statesSomething = (value: object): boolean =>
  Object.values(value).some((member) => member !== undefined);
/** A mapping whose keys are misspelt is told that alone. */
const unlessFaulty = ({ issues }: { readonly issues: readonly unknown[] }): boolean => issues.length === 0;

/**
 * Names that credentials, forwarding, rewriting and request ids go by; the rest of `x-` is the operator's.
 * Hop-by-hop fields, `authorization`, `cookie`, `host` and our assertion do not begin with `x-` at all.
 */
const reservedHeaders =
  /^x-(access-token|accel-|amz-|api-key|auth|azure-|client-cert|client-ip|cluster-client|content-|csrf|envoy-|forwarded|goog-|http-|method|ms-|original-|real-|request-id|rewrite|sendfile|ssl-|token|xsrf)/;

/** What is wrong with the name of a header field, or null. */
function nameFault(name: string): string | null {
  if (!/^x-[a-z0-9][a-z0-9-]{0,62}$/.test(name))
    return 'a header for the upstream is named x-…, in lower-case letters, digits and hyphens';
  return reservedHeaders.test(name) ? 'this name is reserved for credentials or for proxies' : null;
}

const headerValue = z.union([
  z
    .string()
    // RFC 9110 §5.5: a field value holds no CR, LF or NUL, and no blanks at its ends.
    .regex(
      /^[\x21-\x7e]([\x20-\x7e]{0,254}[\x21-\x7e])?$/,
      'a value is printable ASCII, up to 256 characters',
    ),
  z.strictObject({
    from: z
      .enum(['subject', 'client_id', 'tenant_id', 'issuer'])
      .describe('What of the principal is sent, percent-encoded; `issuer` is the name in issuers.yaml.'),
  }),
]);

/** Schema of the key `obligations`. */
export const obligationsSchema = z
  .strictObject({
    limits: z
      .array(z.string())
      .min(1)
      .optional()
      .describe("Names in limits.yaml; they count besides the route's own."),
    guards: z
      .array(z.string())
      .min(1)
      .optional()
      .describe("Names in guards.yaml; they judge after the route's own."),
    ceilings: z
      .strictObject(ceilingsShape)
      .refine(statesSomething, { error: 'ceilings name at least one parameter', when: unlessFaulty })
      .describe(
        'The most that a request may ask for; where several rules state a ceiling, the lowest holds. A request that states no length of its answer gets the ceiling `max_tokens` for it, or what the API itself defines if that is less (16 on completions).',
      )
      .optional(),
    system_message: z
      .string()
      .max(8_192)
      .refine((text) => text.trim() !== '', 'a system message is not empty')
      .optional()
      .describe(
        'Taken as it is and put in front of `messages` as a message of the role `system`; for rules that name actions of chat routes only. The texts of several rules make one message, in the order of the file; guards and the ceiling `messages` see it, too.',
      ),
    upstream_headers: z
      .record(z.string(), headerValue)
      .superRefine((headers, context) => {
        const names = Object.keys(headers);
        if (names.length === 0) context.addIssue({ code: 'custom', message: 'there is no header here' });
        for (const name of names) {
          const message = nameFault(name);
          if (message !== null) context.addIssue({ code: 'custom', path: [name], message });
        }
      })
      .describe(
        'Header fields for the upstream: `x-…` with a text, or with `{ from: subject }` a value of the principal. Two rules that set one field to different values refuse the request.',
      )
      .optional(),
  })
  .refine(statesSomething, {
    error: 'obligations name limits, guards, ceilings, system_message or upstream_headers',
    when: unlessFaulty,
  })
  .describe(
    'What holds for every permitted request that the rule matches, whatever permitted it; the obligations of all rules that match hold together. One that cannot be fulfilled refuses the request.',
  );
/** The obligations of one rule, as they are written. */
export type ObligationsEntry = z.output<typeof obligationsSchema>;
