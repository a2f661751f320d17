import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from '../../core/errors.ts';
import { parseTarget } from '../../gateway/request-target.ts';

const refused = [
  '',
  '*',
  'v1/models',
  '//v1/models',
  '/v1//models',
  '/./v1/models',
  '/v1/./models',
  '/v1/../admin',
  '/v1/models/..',
  '/..',
  '/.',
  '/.git/config',
  '/.well-known/../v1/models',
  '/.well-known/.hidden',
  '/v1/%6dodels',
  '/v1%2fmodels',
  '/v1/%2e%2e/admin',
  '/v1/models%00',
  '/v1/models%0a',
  '/v1/models;x=1',
  '/v1/..;/admin',
  '/v1\\models',
  '/\\evil.example',
  '/v1/models#/healthz',
  '/v1/models%23',
  '/v1/mod els',
  '/v1/modèls',
  '/v1/models\t',
  'http://evil.example/v1/models',
  'evil.example:443',
  '/v1/models?x=<script>',
  '/v1/models?x=#y',
  '/v1/models?x=\\',
  '/v1/%c0%ae%c0%ae/admin',
  '/v1/models?a=b c',
  `/${'a'.repeat(9000)}`,
  '/v1/models|x',
  '/v1/{model}',
  '/v1/"models"',
  '/v1/`models`',
  '/v1/[models]',
  '/v1/^models',
];

describe('parseTarget', () => {
  for (const target of refused) {
    it(`refuses ${target.slice(0, 60)}`, () => {
      assert.throws(
        () => parseTarget(target),
        (error: unknown) => error instanceof GatewayError && error.code === 'malformed_request',
      );
    });
  }

  it('splits path and query without decoding either', () => {
    assert.deepEqual(parseTarget('/openai/deployments/tiny-gpt2/completions?api-version=2024-10-21&x=%41'), {
      path: '/openai/deployments/tiny-gpt2/completions',
      query: 'api-version=2024-10-21&x=%41',
    });
  });

  it('lets the well-known prefix of RFC 8615 through', () => {
    assert.equal(
      parseTarget('/.well-known/oauth-protected-resource').path,
      '/.well-known/oauth-protected-resource',
    );
  });
});
