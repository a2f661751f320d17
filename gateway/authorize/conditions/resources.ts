// Condition `resources`: about which resource of another service the question is (gateway/access).
import { z } from 'zod';
import { resourceMatcher, resourcePattern } from '../patterns.ts';
import type { Condition } from './condition.ts';

const schema = z
  .array(resourcePattern)
  .min(1)
  .describe(
    'Resources of other services, a type of access.yaml and an id: `document:42`, `document:*`. Requests to the gateway itself do not match.',
  );

/** Any of the listed resources. */
export const resources = {
  name: 'resources',
  codes: ['resources_matched', 'resources_not_matched'],
  settled: true,
  schema,
  compile(patterns) {
    const matchers = patterns.map(resourceMatcher);
    return ({ request: { foreign } }) =>
      foreign !== undefined && matchers.some((matches) => matches(foreign.resource));
  },
} as const satisfies Condition<typeof schema>;
