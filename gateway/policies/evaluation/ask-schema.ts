// The `ask` of a policy test: a question of another service, as it would stand in an AuthZEN request.
import { isIP } from 'node:net';
import { z } from 'zod';

const text = z.string().min(1);
const properties = z.record(z.string(), z.unknown()).optional();

const subject = z.strictObject({
  type: text.describe('`principal`, or a type of `subject_types` in access.yaml.'),
  id: text.describe('Of a principal: its subject.'),
  properties: properties.describe(
    'What the asking service states; of a principal: its claims, `iss` among them.',
  ),
});

const action = z.strictObject({
  name: text.describe('An action of the type of resource.'),
  properties: properties.describe('For a model: the parameters of the request.'),
});

const resource = z.strictObject({
  type: text.describe('A type of `resource_types` in access.yaml, `model` or `gateway`.'),
  id: text.describe('Of the resource, listed in access.yaml or not; of a model: its name.'),
  properties: properties.describe('What the asking service states; what access.yaml says overrules it.'),
});

const context = z.looseObject({
  ip_address: z
    .string()
    .refine((address) => isIP(address) !== 0, 'an IP address')
    .optional()
    .describe("The caller's address."),
  headers: z.record(z.string(), z.string()).optional().describe('Header fields of a request to a model.'),
  route: z.string().optional().describe('Chooses among routes with the same action.'),
});

/** Schema of `ask`. */
export const askSchema = z.strictObject({
  subject: subject.describe('Who wants to do it.'),
  action: z.union([text, action]).describe('What; a text is its name.'),
  resource: resource.describe('On what.'),
  context: context.optional().describe('In which circumstances; `environment.context` in rules.'),
});
/** A question as a test writes it. */
export type Ask = z.output<typeof askSchema>;
