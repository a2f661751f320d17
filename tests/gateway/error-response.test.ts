import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError, errorCatalogue, type ErrorCode } from '../../core/errors.ts';
import { renderRefusal, surfaceOf, type RefusalContext } from '../../gateway/error-response.ts';

const openai: RefusalContext = {
  id: 'req_00000000000000000000000000',
  surface: 'openai',
  publicUrl: 'https://llm.example.com',
  scopes: ['api://sallyport/LLM.Access'],
};
const problem: RefusalContext = { ...openai, surface: 'problem' };
const codes = Object.keys(errorCatalogue) as ErrorCode[]; // The catalogue's keys are its codes.

describe('renderRefusal', () => {
  for (const code of codes) {
    it(`answers ${code} with the status, members and headers of the catalogue on both surfaces`, () => {
      const refusal = new GatewayError(code, { reason: 'private', cause: new Error('private') });
      for (const context of [openai, problem]) {
        const rendered = renderRefusal(refusal, context);
        assert.equal(rendered.status, errorCatalogue[code].status);
        assert.equal(rendered.headers['x-request-id'], context.id);
        assert.equal(rendered.headers['cache-control'], 'no-store');
        assert.equal(Number(rendered.headers['content-length']), Buffer.byteLength(rendered.body));
        assert.doesNotMatch(rendered.body + JSON.stringify(rendered.headers), /private/);
        // RFC 9110 §15.5.2: a 401 carries at least one challenge.
        if (rendered.status === 401)
          assert.match(rendered.headers['www-authenticate'] ?? '', /^Bearer realm=/);
        const needsRetryAfter = rendered.status === 429 || rendered.status === 503;
        assert.equal(rendered.headers['retry-after'] !== undefined, needsRetryAfter);
      }
    });
  }

  it('gives all four members of the OpenAI error object and a link to the page of the code', () => {
    const { error } = JSON.parse(
      renderRefusal(new GatewayError('body_invalid', { param: 'n' }), openai).body,
    );
    assert.deepEqual(Object.keys(error), ['message', 'type', 'param', 'code', 'doc_url']);
    assert.equal(error.param, 'n');
    assert.equal(error.doc_url, 'https://llm.example.com/docs/errors/body_invalid');
  });

  it('says Not authenticated as detail on the problem surface', () => {
    const body = JSON.parse(renderRefusal(new GatewayError('missing_credentials'), problem).body);
    assert.equal(body.detail, 'Not authenticated');
    assert.equal(body.type, 'https://llm.example.com/docs/errors/missing_credentials');
  });

  it('tells SDKs not to retry when the wait is longer than 20 seconds, and lets them below', () => {
    const wait = (seconds: number): string | undefined =>
      renderRefusal(new GatewayError('rate_limit_exceeded', { retryAfterSeconds: seconds }), openai).headers[
        'x-should-retry'
      ];
    assert.equal(wait(21), 'false');
    assert.equal(wait(20), undefined);
  });

  it('tells SDKs not to retry what cannot succeed later', () => {
    assert.equal(
      renderRefusal(new GatewayError('content_blocked'), openai).headers['x-should-retry'],
      'false',
    );
    assert.equal(
      renderRefusal(new GatewayError('upstream_unavailable'), openai).headers['x-should-retry'],
      undefined,
    );
  });

  it('never lets a parameter break out of the message', () => {
    const refusal = new GatewayError('model_not_found', {
      params: { model: 'a"b\\c\r\nd\u202e' + 'x'.repeat(500) },
    });
    const { error } = JSON.parse(renderRefusal(refusal, openai).body);
    assert.match(error.message, /^[\x20-\x21\x23-\x5B\x5D-\x7E]+$/);
    assert.ok(error.message.length < 250);
  });
});

describe('surfaceOf', () => {
  it('is OpenAI where SDKs ask whose base URL lacks /v1, because they show no text in another shape', () => {
    for (const path of [
      '/chat/completions',
      '/completions?x',
      '/embeddings',
      '/models',
      '/models/a',
      '/responses',
    ])
      assert.equal(surfaceOf(path), 'openai', path);
    for (const path of ['/chat', '/modelsx', '/completion']) assert.equal(surfaceOf(path), 'problem', path);
  });

  it('is OpenAI under /v1 and /openai, and problem+json elsewhere', () => {
    for (const path of ['/v1', '/v1/models', '/v1?x', '/openai/deployments/a'])
      assert.equal(surfaceOf(path), 'openai', path);
    for (const path of ['/', '/v1x', '/v10/models', '/generate', '/users', '/openai.json'])
      assert.equal(surfaceOf(path), 'problem', path);
  });
});
