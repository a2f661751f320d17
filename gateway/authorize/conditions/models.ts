// Condition `models`: what the request is about.
import { z } from 'zod';
import { modelMatcher, modelPattern } from '../patterns.ts';
import type { Condition } from './condition.ts';

const schema = z
  .array(modelPattern)
  .min(1)
  .describe('Models or patterns such as `premium-*`. A request about no model does not match.');

/** Any of the listed models or patterns. */
export const models = {
  name: 'models',
  codes: ['models_matched', 'models_not_matched'],
  settled: true,
  schema,
  compile(patterns) {
    const matchers = patterns.map(modelMatcher);
    return ({ model }) => model !== null && matchers.some((matches) => matches(model));
  },
} as const satisfies Condition<typeof schema>;
