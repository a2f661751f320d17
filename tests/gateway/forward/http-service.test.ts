import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createAssertionVerifier } from '../../../core/assertion.ts';
import {
  endlessHeaders,
  httpAnswer,
  json,
  raw,
  startFakeUpstream,
  type FakeUpstream,
} from '../../support/fake-upstream.ts';
import { call, startStubGateway, type Answer, type StubGateway } from './stub-gateway.ts';

const route = {
  kind: 'http',
  name: 'accounts.register',
  path: '/users',
  upstreamPath: '/users',
  surface: 'problem',
  maxBodyBytes: 2000,
} as const;
const upstreamOptions = { assertion: 'identity', timeouts: { first_byte_ms: 300 } };

function problemCode(answer: Answer): string {
  return JSON.parse(answer.text).code;
}

/** Sends raw bytes and collects whatever comes until the connection ends or `marker` is seen. */
function rawCall(gateway: StubGateway, bytes: string, marker: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(gateway.url);
    const socket = connect(Number(port), hostname);
    let text = '';
    socket.on('data', (piece) => {
      text += piece.toString('latin1');
      if (text.includes(marker)) socket.end();
    });
    socket.on('close', () => resolve(text));
    socket.on('error', reject);
    socket.write(bytes, 'latin1');
  });
}

describe('a request to an internal HTTP service', () => {
  let upstream: FakeUpstream;
  let gateway: StubGateway;
  before(async () => {
    upstream = await startFakeUpstream(json({ detail: 'ok' }));
    gateway = await startStubGateway({ url: upstream.url, upstream: upstreamOptions, route });
  });
  after(async () => {
    await gateway.close();
    await upstream.close();
  });

  it('arrives with its body, its query and an assertion about the caller', async () => {
    upstream.use(json({ id: 1 }, { status: 201 }));
    const answer = await call(gateway, {
      path: '/users?page=2',
      body: '{"username":"alice"}',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
    });
    assert.deepEqual([answer.status, answer.text], [201, '{"id":1}']);
    const request = upstream.requests.at(-1);
    assert.deepEqual(
      [request?.method, request?.path, request?.body.toString()],
      ['POST', '/users?page=2', '{"username":"alice"}'],
    );
    const verify = createAssertionVerifier({
      jwksFile: join(gateway.folder, 'run', 'gateway-jwks.json'),
      audience: 'urn:sallyport:identity',
    });
    assert.deepEqual(await verify(request?.headers.get('sallyport-assertion')?.[0]), {
      subject: 'contoso|alice',
      roles: ['LLM.User'],
      clientId: 'client-1',
      credential: 'none',
    });
  });

  it('carries nothing of the caller but what is on the list', async () => {
    await call(gateway, {
      path: '/users',
      body: '{}',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'curl/8',
        authorization: 'Bearer secret',
        cookie: 'a=b',
        'proxy-authorization': 'Basic x',
        'x-forwarded-for': '6.6.6.6',
        'x-forwarded-user': 'root',
        x_user_id: 'root',
        forwarded: 'for=6.6.6.6',
        te: 'trailers',
        connection: 'x-request-id, close',
        'keep-alive': '300',
        'sallyport-assertion': 'forged',
        'x-http-method-override': 'DELETE',
      },
    });
    const request = upstream.requests.at(-1);
    assert.deepEqual([...(request?.headers.keys() ?? [])].sort(), [
      'connection',
      'content-length',
      'content-type',
      'host',
      'sallyport-assertion',
      'user-agent',
      'x-forwarded-for',
      'x-request-id',
    ]);
    assert.deepEqual(request?.headers.get('x-forwarded-for'), ['127.0.0.1']);
    assert.deepEqual(request.headers.get('connection'), ['close']);
    assert.equal(request.headers.get('host')?.[0], new URL(upstream.url).host);
    assert.notEqual(request.headers.get('sallyport-assertion')?.[0], 'forged');
  });

  it('keeps from the caller what the service says about itself', async () => {
    upstream.use(
      json(
        { detail: 'Incorrect password' },
        {
          status: 401,
          headers: {
            'www-authenticate': 'Bearer',
            server: 'evil',
            'set-cookie': 'a=b',
            location: 'http://10.0.0.1',
            'x-powered-by': 'x',
            connection: 'x-drop',
            'x-drop': '1',
          },
        },
      ),
    );
    const answer = await call(gateway, { path: '/users', body: '{}' });
    assert.deepEqual(
      [answer.status, answer.text, answer.headers['www-authenticate']],
      [401, '{"detail":"Incorrect password"}', 'Bearer'],
    );
    for (const name of ['server', 'set-cookie', 'location', 'x-powered-by', 'x-drop'])
      assert.equal(answer.headers[name], undefined);
    assert.equal(answer.headers['cache-control'], 'no-store');
    assert.match(String(answer.headers['x-request-id']), /^req_/);
  });

  for (const fields of [
    'Trailer: X-T\r\n',
    'TE: trailers\r\n',
    'Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n',
    'Keep-Alive: x\r\n',
    'X-Odd: \xe9\xff\r\n',
    'User-Agent: \xe9\r\n',
    '__proto__: x\r\nconstructor: y\r\n',
  ]) {
    it(`is not harmed by ${JSON.stringify(fields.trim())}`, async () => {
      upstream.use(json({ detail: 'ok' }));
      const text = await rawCall(
        gateway,
        `POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n${fields}\r\n{}`,
        '"ok"',
      );
      assert.match(text, /^HTTP\/1\.1 200 /);
      assert.doesNotMatch(
        upstream.requests.at(-1)?.head ?? '',
        /trailer|upgrade|\nte:|http2-settings|x-odd|user-agent|proto/i,
      );
      assert.equal((await call(gateway, { path: '/users', body: '{}' })).status, 200);
    });
  }

  it('may come in chunks with a trailer, which is not forwarded', async () => {
    const text = await rawCall(
      gateway,
      'POST /users HTTP/1.1\r\nHost: x\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-T: 1\r\n\r\n',
      '"ok"',
    );
    assert.match(text, /^HTTP\/1\.1 200 /);
    assert.equal(upstream.requests.at(-1)?.body.toString(), '{}');
    assert.doesNotMatch(upstream.received.at(-1)?.toString() ?? '', /x-t/i);
  });

  it('is refused as a WebSocket', async () => {
    const count = upstream.requests.length;
    const text = await rawCall(
      gateway,
      'POST /users HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n',
      'malformed_request',
    );
    assert.match(text, /^HTTP\/1\.1 400 /);
    assert.equal(upstream.requests.length, count);
  });

  it('is refused with a body on GET, whose framing Node would lose', async () => {
    const count = upstream.requests.length;
    for (const framing of [
      'Content-Length: 2\r\n\r\n{}',
      'Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
    ]) {
      const text = await rawCall(gateway, `GET /users HTTP/1.1\r\nHost: x\r\n${framing}`, 'body_invalid');
      assert.match(text, /^HTTP\/1\.1 400 /);
    }
    assert.equal(upstream.requests.length, count);
  });

  it('is refused with 413 when its stated length is above the limit', async () => {
    const count = upstream.requests.length;
    const answer = await call(gateway, { path: '/users', body: 'x'.repeat(2001) });
    assert.deepEqual(
      [answer.status, problemCode(answer), upstream.requests.length],
      [413, 'body_too_large', count],
    );
  });

  it('is refused with 413 when its chunks add up to more than the limit', async () => {
    const count = upstream.requests.length;
    const chunks = `3e8\r\n${'x'.repeat(1000)}\r\n`;
    const text = await rawCall(
      gateway,
      `POST /users HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${chunks.repeat(3)}0\r\n\r\n`,
      'body_too_large',
    );
    assert.match(text, /^HTTP\/1\.1 413 /);
    assert.equal(upstream.requests.length, count);
  });

  const bad: [title: string, answer: string, status: number, code: string][] = [
    [
      'redirects',
      httpAnswer(302, { location: 'http://169.254.169.254/' }, ''),
      502,
      'upstream_invalid_response',
    ],
    ['answers 304', 'HTTP/1.1 304 Not Modified\r\n\r\n', 502, 'upstream_invalid_response'],
    ['compresses', httpAnswer(200, { 'content-encoding': 'gzip' }, 'xx'), 502, 'upstream_invalid_response'],
    [
      'switches protocols',
      'HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
      502,
      'upstream_invalid_response',
    ],
    ['sends garbage', 'garbage\r\n\r\n', 502, 'upstream_invalid_response'],
    [
      'sends 200 kB of headers',
      `HTTP/1.1 200 OK\r\nx: ${'a'.repeat(200_000)}\r\n\r\n`,
      502,
      'upstream_invalid_response',
    ],
    [
      'sends two lengths',
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{} ',
      502,
      'upstream_invalid_response',
    ],
    [
      'sends length and chunks',
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      502,
      'upstream_invalid_response',
    ],
  ];
  for (const [title, answerText, status, code] of bad) {
    it(`becomes ${status} when the service ${title}, and the next one is served`, async () => {
      upstream.use(raw(answerText));
      const answer = await call(gateway, { path: '/users', body: '{}' });
      assert.deepEqual([answer.status, problemCode(answer)], [status, code]);
      assert.doesNotMatch(answer.text, /169\.254/);
      upstream.use(json({ detail: 'ok' }));
      assert.equal((await call(gateway, { path: '/users', body: '{}' })).status, 200);
    });
  }

  it('becomes 502 when headers never end', async () => {
    upstream.use(endlessHeaders);
    assert.equal((await call(gateway, { path: '/users', body: '{}' })).status, 502);
  });

  it('becomes 504 when the service hangs, 502 when it hangs up', async () => {
    upstream.use(() => undefined);
    assert.equal(problemCode(await call(gateway, { path: '/users', body: '{}' })), 'upstream_timeout');
    upstream.use((_request, socket) => void socket.end());
    assert.equal(problemCode(await call(gateway, { path: '/users', body: '{}' })), 'upstream_unavailable');
    upstream.use((_request, socket) => void socket.resetAndDestroy());
    assert.equal(problemCode(await call(gateway, { path: '/users', body: '{}' })), 'upstream_unavailable');
  });

  it('whose answer breaks off is cut for the caller too, never completed', async () => {
    upstream.use(
      (_request, socket) =>
        void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"a"', () => socket.destroy()),
    );
    const answer = await call(gateway, { path: '/users', body: '{}' }).catch(() => null);
    assert.notEqual(answer?.isWhole, true);
    upstream.use(json({ detail: 'ok' }));
    assert.equal((await call(gateway, { path: '/users', body: '{}' })).status, 200);
  });

  it('uses one connection each, so that no second answer can reach another caller', async () => {
    upstream.use(
      (request, socket) =>
        void socket.write(httpAnswer(200, {}, request.body.toString()) + httpAnswer(200, {}, 'stray')),
    );
    const before = upstream.connectionCount;
    const answers = await Promise.all(
      Array.from({ length: 144 }, (_, name) => call(gateway, { path: '/users', body: `caller ${name}` })),
    );
    answers.forEach((answer, name) =>
      assert.ok(answer.status === 502 || answer.text === `caller ${name}`, answer.text),
    );
    assert.equal(upstream.connectionCount - before, 144);
  });

  it('is dropped at the service when its caller goes away', async () => {
    upstream.use(() => undefined);
    const count = upstream.requests.length;
    const ended = gateway.outcomes.length;
    const abort = new AbortController();
    const asking = fetch(`${gateway.url}/users`, { method: 'POST', body: '{}', signal: abort.signal });
    await upstream.arrived(count + 1);
    abort.abort();
    await assert.rejects(asking);
    await upstream.idle();
    await gateway.ended(ended + 1);
    assert.deepEqual([gateway.outcomes.at(-1)?.aborted, gateway.outcomes.at(-1)?.refusal], [true, null]);
  });
});

describe('an internal HTTP service', () => {
  it('that is down is 502 and names no address', async () => {
    const gone = await startFakeUpstream(json({}));
    await gone.close();
    const gateway = await startStubGateway({ url: gone.url, upstream: upstreamOptions, route });
    const answer = await call(gateway, { path: '/users', body: '{}' });
    assert.deepEqual([answer.status, problemCode(answer)], [502, 'upstream_unavailable']);
    assert.doesNotMatch(answer.text, /127\.0\.0\.1|ECONN/);
    await gateway.close();
  });

  it('may listen on a Unix socket', async () => {
    const upstream = await startFakeUpstream(
      json({ ok: true }),
      join(tmpdir(), `sallyport-http-${process.pid}.sock`),
    );
    const gateway = await startStubGateway({ url: upstream.url, upstream: upstreamOptions, route });
    assert.equal((await call(gateway, { path: '/users', body: '{}' })).text, '{"ok":true}');
    await gateway.close();
    await upstream.close();
  });
});
