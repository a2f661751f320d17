// The AuthZEN endpoints in the OpenAPI document: what each takes and gives.
import type { AccessOperation } from '../access/endpoints.ts';

type Schema = Readonly<Record<string, unknown>>;

const reference = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
const object = (required: readonly string[], properties: Readonly<Record<string, Schema>>): Schema => ({
  type: 'object',
  required,
  properties,
});
const text: Schema = { type: 'string' };
const free: Schema = { type: 'object', additionalProperties: true };

const question = {
  subject: reference('AccessEntity'),
  action: reference('AccessAction'),
  resource: reference('AccessEntity'),
  context: free,
};
const sought = object(['type'], { type: text });
const page = object([], { ['token']: text, limit: { type: 'integer', minimum: 0, maximum: 1_000 } });

/** `components.schemas` of these endpoints. */
export const accessSchemas: Readonly<Record<string, Schema>> = {
  AccessEntity: object(['type', 'id'], { type: text, id: text, properties: free }),
  AccessAction: object(['name'], { name: text, properties: free }),
  AccessQuestion: object(['subject', 'action', 'resource'], question),
  AccessQuestions: object([], {
    ...question,
    evaluations: { type: 'array', items: object([], question), maxItems: 100 },
    options: object([], {
      evaluations_semantic: {
        type: 'string',
        enum: ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'],
      },
    }),
  }),
  AccessDecision: object(['decision'], { decision: { type: 'boolean' }, context: free }),
  AccessDecisions: object([], {
    evaluations: { type: 'array', items: reference('AccessDecision') },
    decision: { type: 'boolean', description: 'When the request held one question and no evaluations.' },
  }),
  SubjectSearch: object(['subject', 'action', 'resource'], { ...question, subject: sought, page }),
  ResourceSearch: object(['subject', 'action', 'resource'], { ...question, resource: sought, page }),
  ActionSearch: object(['subject', 'resource'], {
    subject: question.subject,
    resource: question.resource,
    context: free,
    page,
  }),
  SearchResults: object(['results'], {
    results: { type: 'array', items: object([], { type: text, id: text, name: text }) },
    page: object(['next_token'], { next_token: text, count: { type: 'integer' } }),
  }),
};

/** What each endpoint takes and gives. */
export const accessOperations = {
  evaluation: {
    summary: 'May this subject do this (AuthZEN)',
    tag: 'Decisions',
    request: 'AccessQuestion',
    answer: 'AccessDecision',
  },
  evaluations: {
    summary: 'Several questions at once (AuthZEN)',
    tag: 'Decisions',
    request: 'AccessQuestions',
    answer: 'AccessDecisions',
  },
  'search/subject': {
    summary: 'Which subjects may do this (AuthZEN)',
    tag: 'Decisions',
    request: 'SubjectSearch',
    answer: 'SearchResults',
  },
  'search/resource': {
    summary: 'On which resources may this subject do this (AuthZEN)',
    tag: 'Decisions',
    request: 'ResourceSearch',
    answer: 'SearchResults',
  },
  'search/action': {
    summary: 'What may this subject do on this resource (AuthZEN)',
    tag: 'Decisions',
    request: 'ActionSearch',
    answer: 'SearchResults',
  },
} as const satisfies Readonly<Record<AccessOperation, unknown>>;
