// `gateway.decision_point`: a service of OpenID AuthZEN 1.0 that must permit, too, what the policies permit.
import { z } from 'zod';
import { outsideFaults, outsideKeys, serviceUrl } from '../outside/outside-config.ts';
import { actionPattern, modelPattern } from '../patterns.ts';

/** Schema of `gateway.decision_point`. */
export const decisionPointSchema = z
  .strictObject({
    url: serviceUrl
      .optional()
      .describe(
        'Its identifier; the endpoints are read from `/.well-known/authzen-configuration` there. Either this or `evaluation_url`.',
      ),
    evaluation_url: serviceUrl
      .optional()
      .describe(
        'Its Access Evaluation endpoint, e.g. https://pdp.internal/access/v1/evaluation, where it has no metadata.',
      ),
    evaluations_url: serviceUrl
      .optional()
      .describe(
        'Its Access Evaluations endpoint, beside `evaluation_url`; without one each model of a list is asked for alone.',
      ),
    actions: z
      .array(actionPattern)
      .min(1)
      .default(['*'])
      .describe('Actions that it is asked about; `chat.*` stands for every action below `chat.`.'),
    models: z
      .array(modelPattern)
      .min(1)
      .default(['*'])
      .describe(
        'Models that it is asked about; requests about no model are asked about by their action alone.',
      ),
    subject_type: z.string().min(1).max(128).default('user').describe('`subject.type` in its questions.'),
    subject_id: z
      .enum(['key', 'subject'])
      .default('key')
      .describe(
        '`subject.id`: `key` names issuer and subject (as in the audit log), `subject` the subject alone, which two issuers may share.',
      ),
    claims: z
      .array(z.string().min(1))
      .max(32)
      .default([])
      .describe('Claims of the access token that it gets as `subject.properties`; no others are sent.'),
    context: z
      .array(z.enum(['route', 'client_id', 'caller_address']))
      .default(['route', 'client_id'])
      .describe('What it gets as `context`.'),
    on_failure: z
      .enum(['deny', 'insecurely_permit'])
      .default('deny')
      .describe(
        'While it cannot be reached, is silent or answers 5xx or 429: refuse with 503, or let pass what the policies permit. An answer that is none never permits.',
      ),
    ...outsideKeys,
  })
  .superRefine((config, context) => {
    const { url, evaluation_url, evaluations_url } = config;
    const issue = (path: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [path], message });
    if ((url === undefined) === (evaluation_url === undefined))
      issue('url', 'state url (with metadata) or evaluation_url, one of them');
    if (evaluations_url !== undefined && evaluation_url === undefined)
      issue('evaluations_url', 'evaluations_url stands beside evaluation_url');
    for (const { path, message } of outsideFaults(config, { url, evaluation_url, evaluations_url }))
      issue(path, message);
  });
/** The parsed section. */
export type DecisionPointConfig = z.output<typeof decisionPointSchema>;
