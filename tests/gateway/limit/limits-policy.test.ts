import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigurationError, parseYaml } from '../../../core/yaml-file.ts';
import { compileLimits, limitsSchema } from '../../../gateway/limit/limits-policy.ts';

const parse = (source: string): ReturnType<typeof compileLimits> =>
  compileLimits(parseYaml(source, limitsSchema, 'limits.yaml').value);

describe('limits.yaml', () => {
  it('compiles each limit with its rule and header', () => {
    const limits = parse('limits:\n  per-person: { by: principal, requests: 60, window: 1m }\n');
    assert.deepEqual(limits.byName.get('per-person'), {
      rule: { name: 'per-person', quota: 60, windowMs: 60_000 },
      by: 'principal',
      unit: 'requests',
      openAnswerTokens: 256,
      policyItem: '"per-person";q=60;w=60',
      limitItemStart: '"per-person";r=',
      quotaText: '60',
    });
  });

  it('limits failed authentications also when the file says nothing', () => {
    const { quota, windowMs } = parse('limits: {}').failedAuthentications;
    assert.deepEqual([quota, windowMs], [1000, 60_000]);
  });

  for (const [fault, source] of [
    ['no requests', 'limits: { a: { by: principal, requests: 0, window: 1m } }'],
    ['half a request', 'limits: { a: { by: principal, requests: 1.5, window: 1m } }'],
    ['a window below a second', 'limits: { a: { by: principal, requests: 1, window: 500ms } }'],
    [
      'a window that is no whole number of seconds',
      'limits: { a: { by: principal, requests: 1, window: 1500ms } }',
    ],
    [
      'a window above a day, which timers cannot keep',
      'limits: { a: { by: principal, requests: 1, window: 25h } }',
    ],
    ['a window without a unit', 'limits: { a: { by: principal, requests: 1, window: 60 } }'],
    ['an unknown subject', 'limits: { a: { by: subnet, requests: 1, window: 1m } }'],
    ['a misspelt key', 'limits: { a: { by: principal, request: 1, window: 1m } }'],
    ['a name that would break a header', 'limits: { "a\\"b": { by: principal, requests: 1, window: 1m } }'],
    ['failed authentications without a number', 'failed_authentications: { window: 1m }'],
    ['an unknown section', 'limit: {}'],
  ] as const) {
    it(`refuses ${fault}`, () => assert.throws(() => parse(source), ConfigurationError));
  }
});
