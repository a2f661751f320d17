import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  httpAnswer,
  json,
  raw,
  requestId,
  startFakeUpstream,
  type FakeUpstream,
} from '../../support/fake-upstream.ts';
import { ask, call, codeOf, startStubGateway, type StubGateway } from './stub-gateway.ts';

const completion = {
  id: 'cmpl-1',
  choices: [{ message: { content: 'hello' } }],
  usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
};

describe('an answer that is not streamed', () => {
  let upstream: FakeUpstream;
  let gateway: StubGateway;
  before(async () => {
    upstream = await startFakeUpstream(json(completion));
    gateway = await startStubGateway({
      url: upstream.url,
      upstream: { api_key: 'env:FORWARD_TEST_KEY', timeouts: { first_byte_ms: 5000 } },
    });
  });
  after(async () => {
    await gateway.close();
    await upstream.close();
  });
  process.env['FORWARD_TEST_KEY'] = 'upstream-secret';

  it('reaches the caller byte for byte, with our headers and the usage noted', async () => {
    upstream.use(
      json(completion, {
        headers: {
          'openai-processing-ms': '12',
          server: 'evil/1.0',
          'set-cookie': 'a=b',
          'x-powered-by': 'x',
          location: 'http://10.0.0.1/',
        },
      }),
    );
    const answer = await ask(gateway);
    assert.equal(answer.status, 200);
    assert.equal(answer.text, JSON.stringify(completion));
    assert.equal(answer.headers['cache-control'], 'no-store');
    assert.match(String(answer.headers['x-request-id']), /^req_/);
    assert.equal(answer.headers['x-ratelimit-remaining-requests'], '59');
    assert.equal(answer.headers['openai-processing-ms'], '12');
    for (const name of ['server', 'set-cookie', 'x-powered-by', 'location'])
      assert.equal(answer.headers[name], undefined);
    const outcome = gateway.outcomes.at(-1);
    assert.deepEqual(
      [outcome?.upstream, outcome?.promptTokens, outcome?.completionTokens, outcome?.streamed],
      ['fake', 3, 2, false],
    );
  });

  it('sends the bytes that were judged and a head from the fixed list, nothing of the caller', async () => {
    upstream.use(json(completion));
    const body = '{ "model":"tiny-gpt2",  "messages":[], "odd": "\\u00e9" }';
    await call(gateway, {
      body,
      headers: {
        'content-type': 'application/json',
        authorization: 'Bearer caller',
        cookie: 'a=b',
        'x-forwarded-user': 'root',
        'x-stainless-lang': 'js',
        te: 'trailers',
        'openai-organization': 'org',
        'sallyport-assertion': 'forged',
      },
    });
    const request = upstream.requests.at(-1);
    assert.equal(request?.body.toString(), body);
    assert.deepEqual([...request.headers.keys()].sort(), [
      'accept',
      'authorization',
      'connection',
      'content-length',
      'content-type',
      'host',
      'user-agent',
      'x-request-id',
    ]);
    assert.deepEqual(request.headers.get('authorization'), ['Bearer upstream-secret']);
    assert.match(request.headers.get('user-agent')?.[0] ?? '', /^sallyport\//);
  });

  const refusals: [title: string, status: number, error: object | string, expected: [number, string]][] = [
    [
      'a prompt longer than the context',
      400,
      { code: 'context_length_exceeded', message: 'secret path /srv/x' },
      [400, 'context_length_exceeded'],
    ],
    [
      'another 400',
      400,
      { code: 'whatever', message: 'secret path /srv/x', param: 'max_tokens' },
      [400, 'body_invalid'],
    ],
    ['a 422', 422, { message: 'secret path /srv/x' }, [400, 'body_invalid']],
    ['a 413', 413, 'secret path /srv/x', [400, 'body_invalid']],
    [
      'an unknown model',
      404,
      { code: 'model_not_found', message: 'secret path /srv/x' },
      [404, 'model_not_found'],
    ],
    ['a 404 about the model', 404, { code: 404, param: 'model' }, [404, 'model_not_found']],
    ['an unknown path', 404, '<html>secret path /srv/x</html>', [404, 'endpoint_not_found']],
    [
      'a wrong key of ours (401)',
      401,
      { code: 'invalid_api_key', message: 'secret path /srv/x' },
      [502, 'upstream_unavailable'],
    ],
    ['a 403', 403, { message: 'secret path /srv/x' }, [502, 'upstream_unavailable']],
    ['a 429', 429, { message: 'secret path /srv/x' }, [503, 'server_is_overloaded']],
    ['a 503', 503, { code: 'server_is_overloaded' }, [503, 'server_is_overloaded']],
    [
      'a 500 with a stack',
      500,
      'Error: secret path /srv/x\n at foo (/srv/x.js:1:1)',
      [502, 'upstream_invalid_response'],
    ],
    ['a 502', 502, '<html>nginx secret path /srv/x</html>', [502, 'upstream_unavailable']],
    ['a 504', 504, '', [504, 'upstream_timeout']],
    ['a 418', 418, '', [502, 'upstream_invalid_response']],
  ];
  for (const [title, status, error, [expectedStatus, expectedCode]] of refusals) {
    it(`turns ${title} into ${expectedStatus} ${expectedCode} without the upstream's words`, async () => {
      upstream.use(
        json(typeof error === 'string' ? error : { error }, {
          status,
          headers: { 'retry-after': '7', 'www-authenticate': 'Basic' },
        }),
      );
      const answer = await ask(gateway);
      assert.deepEqual([answer.status, codeOf(answer)], [expectedStatus, expectedCode]);
      assert.doesNotMatch(answer.text, /secret|srv/);
      assert.equal(answer.headers['www-authenticate'], undefined);
      assert.equal(answer.headers['retry-after'], expectedStatus === 503 ? '7' : undefined);
    });
  }

  it('names the parameter that the upstream refuses', async () => {
    upstream.use(json({ error: { message: 'x', param: 'max_tokens' } }, { status: 400 }));
    assert.equal(JSON.parse((await ask(gateway)).text).error.param, 'max_tokens');
    upstream.use(json({ error: { message: 'x', param: '<script>' } }, { status: 400 }));
    assert.equal(JSON.parse((await ask(gateway)).text).error.param, null);
  });

  // Each answer gets the echo behind its status line, so that it is judged by its own fault.
  const garbage: [title: string, answer: () => string, reason: string][] = [
    [
      'an HTML page with 200',
      () => httpAnswer(200, { 'content-type': 'text/html' }, '<html>'),
      'upstream_content_type',
    ],
    ['no content type', () => httpAnswer(200, {}, '{}'), 'upstream_content_type'],
    [
      'JSON that is cut',
      () => httpAnswer(200, { 'content-type': 'application/json' }, '{"a":'),
      'upstream_not_json',
    ],
    [
      'a JSON array',
      () => httpAnswer(200, { 'content-type': 'application/json' }, '[]'),
      'upstream_not_json',
    ],
    ['an empty body', () => httpAnswer(200, { 'content-type': 'application/json' }, ''), 'upstream_not_json'],
    [
      'bytes that are not UTF-8',
      () => httpAnswer(200, { 'content-type': 'application/json', 'content-length': '9' }, '{"a":"\xff"}'),
      'upstream_not_json',
    ],
    [
      'an error inside a 200',
      () => httpAnswer(200, { 'content-type': 'application/json' }, '{"error":{"message":"internal"}}'),
      'upstream_error_in_200',
    ],
    [
      'a content coding nobody asked for',
      () => httpAnswer(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }, '{}'),
      'upstream_content_type',
    ],
    [
      'an event stream nobody asked for',
      () => httpAnswer(200, { 'content-type': 'text/event-stream' }, 'data: {}\n\n'),
      'upstream_content_type',
    ],
    ['204 without a body', () => 'HTTP/1.1 204 No Content\r\n\r\n', 'upstream_content_type'],
    [
      'a redirect to an internal address',
      () => httpAnswer(302, { location: 'http://169.254.169.254/' }, ''),
      'upstream_302',
    ],
    [
      'a switch of protocols',
      () => 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
      'upstream_101',
    ],
    ['a bare 101', () => 'HTTP/1.1 101 Switching Protocols\r\n\r\n', 'upstream_101'],
    ['100 Continue without end', () => 'HTTP/1.1 100 Continue\r\n\r\n', 'upstream_100'],
    [
      'two content lengths',
      () =>
        'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\n{}   ',
      'upstream_two_lengths',
    ],
    [
      'content length and chunks',
      () =>
        'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
      'upstream_two_lengths',
    ],
    [
      'garbage instead of a chunk length',
      () =>
        'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n',
      'upstream_bad_chunk',
    ],
    [
      '200 kB of headers',
      () => `HTTP/1.1 200 OK\r\nx-long: ${'a'.repeat(200_000)}\r\ncontent-length: 2\r\n\r\n{}`,
      'upstream_head_too_long',
    ],
    [
      '10,000 header fields',
      () => `HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(10_000)}\r\n{}`,
      'upstream_head_too_long',
    ],
    ['no HTTP at all', () => 'SSH-2.0-OpenSSH_9.2\r\n', 'upstream_bad_status_line'],
    [
      'a header with a NUL',
      () => 'HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\n{}',
      'upstream_bad_field',
    ],
    [
      'a negative content length',
      () => 'HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}',
      'upstream_bad_length',
    ],
  ];
  for (const [title, answerOf, reason] of garbage) {
    it(`refuses ${title} with 502 and then serves the next request`, async () => {
      upstream.use(
        raw((request) => answerOf().replace('\r\n', `\r\nx-request-id: ${requestId(request)}\r\n`)),
      );
      const answer = await ask(gateway);
      assert.deepEqual(
        [answer.status, codeOf(answer), gateway.outcomes.at(-1)?.refusal?.reason],
        [502, 'upstream_invalid_response', reason],
      );
      assert.doesNotMatch(answer.text, /169\.254|internal|SSH/);
      upstream.use(json(completion));
      assert.equal((await ask(gateway)).status, 200);
    });
  }

  it('refuses an answer of more than 16 MB with 502', async () => {
    upstream.use(
      raw((request) =>
        httpAnswer(
          200,
          { 'content-type': 'application/json', 'x-request-id': requestId(request) },
          `{"a":"${'x'.repeat(17 * 1024 * 1024)}"}`,
        ),
      ),
    );
    assert.deepEqual(
      [(await ask(gateway)).status, gateway.outcomes.at(-1)?.refusal?.reason],
      [502, 'upstream_too_long'],
    );
  });

  it('refuses a body that is shorter than its length with 502', async () => {
    upstream.use(
      (_request, socket) =>
        void socket.end('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{}'),
    );
    assert.equal((await ask(gateway)).status, 502);
  });

  it('refuses to send a body that names another model than was authorized', async () => {
    const other = await startStubGateway({ url: upstream.url, pathModel: 'tiny-gpt2' });
    const count = upstream.requests.length;
    assert.deepEqual(codeOf(await ask(other, { model: 'secret-model' })), 'internal_error');
    assert.equal(upstream.requests.length, count);
    await other.close();
  });

  it('adds the model of an Azure-style path behind the opening brace', async () => {
    upstream.use(json(completion));
    const azure = await startStubGateway({ url: upstream.url, pathModel: 'tiny-gpt2' });
    await call(azure, { body: ' {"messages":[]}' });
    assert.equal(upstream.requests.at(-1)?.body.toString(), ' {"model":"tiny-gpt2","messages":[]}');
    await call(azure, { body: '{}' });
    assert.equal(upstream.requests.at(-1)?.body.toString(), '{"model":"tiny-gpt2"}');
    await azure.close();
  });
});

describe('an upstream that does not answer', () => {
  it('is 502 when nothing listens, on TCP and on a Unix socket', async () => {
    const gone = await startFakeUpstream(json({}));
    await gone.close();
    for (const url of [gone.url, 'unix:/tmp/sallyport-no-such.sock']) {
      const gateway = await startStubGateway({ url });
      const answer = await ask(gateway);
      assert.deepEqual([answer.status, codeOf(answer)], [502, 'upstream_unavailable']);
      assert.doesNotMatch(answer.text, /127\.0\.0\.1:|no-such/);
      await gateway.close();
    }
  });

  it('is 504 when it hangs, and 504 when it stops in mid-answer', async () => {
    const upstream = await startFakeUpstream(() => undefined);
    const gateway = await startStubGateway({
      url: upstream.url,
      upstream: { timeouts: { first_byte_ms: 150, idle_ms: 150 } },
    });
    assert.equal(codeOf(await ask(gateway)), 'upstream_timeout');
    upstream.use(raw('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{'));
    assert.equal((await ask(gateway)).status, 504);
    await gateway.close();
    await upstream.close();
  });

  it('is 502 when it closes or resets without a word', async () => {
    const upstream = await startFakeUpstream((_request, socket) => void socket.end());
    const gateway = await startStubGateway({ url: upstream.url });
    assert.equal(codeOf(await ask(gateway)), 'upstream_unavailable');
    upstream.use((_request, socket) => void socket.resetAndDestroy());
    assert.equal(codeOf(await ask(gateway)), 'upstream_unavailable');
    await gateway.close();
    await upstream.close();
  });

  it('is 502 when its headers never end', async () => {
    const { endlessHeaders } = await import('../../support/fake-upstream.ts');
    const upstream = await startFakeUpstream(endlessHeaders);
    const gateway = await startStubGateway({ url: upstream.url });
    assert.equal(codeOf(await ask(gateway)), 'upstream_invalid_response');
    await upstream.idle();
    await gateway.close();
    await upstream.close();
  });

  it('is dropped at once when the caller goes away', async () => {
    const upstream = await startFakeUpstream(() => undefined);
    const gateway = await startStubGateway({ url: upstream.url });
    const abort = new AbortController();
    const asking = fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      body: '{"model":"tiny-gpt2"}',
      signal: abort.signal,
    });
    await upstream.arrived(1);
    abort.abort();
    await assert.rejects(asking);
    await upstream.idle();
    await gateway.ended(1);
    assert.deepEqual([gateway.outcomes[0]?.aborted, gateway.outcomes[0]?.refusal], [true, null]);
    await gateway.close();
    await upstream.close();
  });
});
