// The form of policies/tests/*.yaml: who asks for what, or what another service asks, and what the policies must answer.
import { isIP } from 'node:net';
import { z } from 'zod';
import { tupleText } from '../../authorize/relations/relations-policy.ts';
import type { ErrorCode } from '../../../core/errors.ts';
import { obligationsSchema } from '../../authorize/index.ts';
import { askSchema } from './ask-schema.ts';

const texts = z.array(z.string());

const bearer = {
  issuer: z
    .string()
    .optional()
    .describe('Name in issuers.yaml whose token it is; default: the first that fits.'),
  subject: z.string().min(1).optional().describe('The subject; for Entra the `oid`.'),
  client_id: z
    .string()
    .min(1)
    .optional()
    .describe('The client application; default: the first that the issuer lists.'),
  tenant: z
    .string()
    .min(1)
    .optional()
    .describe('Tenant of an Entra token, listed or not; default: the first that the issuer lists.'),
  overage: z
    .boolean()
    .optional()
    .describe('An Entra token of somebody in too many groups: it lists none, and says so.'),
  roles: texts.optional().describe('Roles that the token claims.'),
  groups: texts.optional().describe('Groups that the token claims.'),
  scopes: texts
    .optional()
    .describe("Scopes that the token claims; default: those that the issuer's entry requires."),
  with: z
    .record(z.string(), z.unknown())
    .optional()
    .describe('Further claims, laid over the others; `null` removes a claim.'),
};

/** A good token of one kind with what differs. */
const bearerSchema = z.strictObject(bearer);
export type Bearer = z.output<typeof bearerSchema>;

const kinds = ['claims', 'entra-v1', 'entra-v2', 'app-only', 'certificate'] as const;

const certificate = z.strictObject({
  subject: z
    .record(z.string(), z.union([z.string(), texts]))
    .optional()
    .describe('Attributes of the subject, e.g. `{ O: Example, OU: [Lab, Berlin] }`.'),
  uri: texts.optional().describe('Subject alternative names that are URIs, such as a SPIFFE id.'),
  dns: texts.optional().describe('Subject alternative names that are DNS names.'),
  email: texts.optional().describe('Subject alternative names that are mail addresses.'),
  ip: texts.optional().describe('Subject alternative names that are IP addresses.'),
  fingerprint: z.string().optional().describe('SHA-256 of the certificate, hex.'),
  issued_by: texts.optional().describe('SHA-256 fingerprints of the authorities above it, hex.'),
});
/** What a test writes down of a client certificate. */
export type WrittenCertificate = z.output<typeof certificate>;

const credentialShape = {
  ...bearer,
  claims: z
    .record(z.string(), z.unknown())
    .optional()
    .describe('The whole claim set, taken as it is; `iat`, `nbf` and `exp` are filled in when absent.'),
  type: z
    .string()
    .optional()
    .describe('The `typ` header beside `claims`; default: the first that the issuer accepts.'),
  'entra-v1': bearerSchema.optional().describe("A person's Entra v1.0 access token."),
  'entra-v2': bearerSchema.optional().describe("A person's Entra v2.0 access token."),
  'app-only': bearerSchema
    .optional()
    .describe("An application's own access token (client credentials): roles, no scopes, nobody behind it."),
  basic: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Name of a local account that sends its password (HTTP Basic); the keys of a token say the rest.',
    ),
  certificate: certificate
    .optional()
    .describe('No access token but a client certificate that is valid and for client authentication.'),
};

const credential = z.strictObject(credentialShape).superRefine((given, context) => {
  const named = kinds.filter((kind) => given[kind] !== undefined);
  const direct = Object.keys(bearer).filter((key) => Object.hasOwn(given, key));
  if (named.length > 1 || (named.length === 1 && direct.length > 0))
    context.addIssue({
      code: 'custom',
      message: `state one kind of credential: ${kinds.join(', ')}, or the keys of a token directly`,
    });
  if (given.type !== undefined && given.claims === undefined)
    context.addIssue({ code: 'custom', path: ['type'], message: 'type stands beside claims only' });
});
export type Credential = z.output<typeof credential>;

/** What a test can expect: the refusals of the stages that are asked. */
const outcomes = [
  'permit',
  'deny',
  'missing_credentials',
  'invalid_token',
  'insufficient_scope',
  'insufficient_user_authentication',
  'access_denied',
  'admin_access_required',
  'model_not_found',
  'body_invalid',
  'parameter_above_ceiling',
  'content_blocked',
] as const satisfies readonly (ErrorCode | 'permit' | 'deny')[];

/** When a test is that does not say: a Wednesday. */
export const usualNow = '2026-01-07T12:00:00Z';

/** What both forms of a test state, beside who and what. */
const common = {
  name: z.string().min(1).describe('What must hold, as a sentence; unique within the file.'),
  now: z.iso
    .datetime({ offset: true, error: 'a time is written 2026-11-22T10:00:00Z' })
    .default(usualNow)
    .describe('When, as an ISO 8601 time with its zone; default: 2026-01-07T12:00:00Z, a Wednesday.'),
  relations: z
    .array(tupleText)
    .optional()
    .describe('Tuples that hold beside those of relations.yaml, e.g. `model:gpt2#viewer@user:alice`.'),
  by: z.string().optional().describe('What must decide: `roles.<role>` or `rules.<rule>`.'),
  because: z
    .string()
    .optional()
    .describe('Code of a reason that must be given, e.g. `client_id` or `when_matched`.'),
  expect_obligations: z
    .union([z.literal('none'), obligationsSchema], {
      error: '`none`, or a mapping such as { limits: [interns] }',
    })
    .optional()
    .describe(
      'What a permit must be bound to, in the words of rules.yaml; keys that are not stated may be anything. `none`: to nothing.',
    ),
};

const requestTest = z.strictObject({
  ...common,
  as: z
    .union([z.literal('nobody'), credential], {
      error: '`nobody`, or a mapping such as { roles: [LLM.User] }',
    })
    .describe(
      'Who asks: `nobody` sends no credential; else an access token, written in full (`claims`) or by what matters in it.',
    ),
  do: z.string().min(1).describe('The action of a route, e.g. `chat.completions.create`.'),
  route: z
    .string()
    .optional()
    .describe('Name of the route in routes.yaml; default: the first with this action.'),
  model: z.string().min(1).optional().describe('The model that is asked for.'),
  request: z
    .record(z.string(), z.unknown())
    .optional()
    .describe('The request body, for rules over `request` and for guards; without it no guard runs.'),
  headers: z
    .record(
      z.string().regex(/^[!#$%&'*+\-.^_`|~0-9a-z]+$/, 'a header field is named in lower case'),
      z.string(),
    )
    .optional()
    .describe('Header fields of the request, for rules over `request.headers`; names in lower case.'),
  from: z
    .string()
    .refine((address) => isIP(address) !== 0, 'an IP address')
    .default('127.0.0.1')
    .describe('Address of the caller.'),
  expect: z.enum(outcomes).describe('`permit`, `deny` (any refusal), or the code that the caller must get.'),
});
/** A test of a request to the gateway. */
export type RequestTest = z.output<typeof requestTest>;

const questionTest = z.strictObject({
  ...common,
  ask: askSchema.describe('What another service asks, as in `POST /access/v1/evaluation`.'),
  expect: z.enum(['permit', 'deny']).describe('The answer that it must get.'),
});
/** A test of a question that another service asks. */
export type QuestionTest = z.output<typeof questionTest>;

const policyTest = z
  .union([requestTest, questionTest])
  .refine((test) => test.expect_obligations === undefined || test.expect === 'permit', {
    path: ['expect_obligations'],
    error: 'only a permit is bound to anything',
  });
export type PolicyTest = z.output<typeof policyTest>;

/** Schema of a file of policy tests. */
export const policyTestsSchema = z.array(policyTest).superRefine((tests, context) => {
  const names = tests.map((test) => test.name);
  for (const [index, name] of names.entries()) {
    if (names.indexOf(name) < index)
      context.addIssue({ code: 'custom', path: [index, 'name'], message: 'another test has this name' });
  }
});
