// Condition `actions`: what the caller wants to do.
import { z } from 'zod';
import { actionPattern, matchesAction } from '../patterns.ts';
import type { Condition } from './condition.ts';

const schema = z
  .array(actionPattern)
  .min(1)
  .describe(
    'Actions of routes.yaml and access.yaml; `admin.*` stands for every action below `admin.`. Default: every action of routes that need a caller; routes open to anybody (`anonymous`) only when a rule names their action.',
  );

/** Any of the listed actions, or of the actions below a pattern. */
export const actions = {
  name: 'actions',
  codes: ['actions_matched', 'actions_not_matched'],
  settled: true,
  schema,
  compile:
    (patterns) =>
    ({ action }) =>
      patterns.some((pattern) => matchesAction(pattern, action)),
} as const satisfies Condition<typeof schema>;
