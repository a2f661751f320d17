// What the parser of node:http lets through although it is no HTTP/1.1 request: other versions, a Host that is none,
// a transfer coding in HTTP/1.0, CONNECT without an answer; and a fault behind a whole request, which cost that request its answer.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startTestGateway, type TestGateway } from '../support/start-gateway.ts';
import { auditRecordsOf } from './audit-records.ts';
import { sendRaw, type RawExchange } from './raw-connection.ts';

let gateway: TestGateway;
let accessToken: string;

before(async () => {
  gateway = await startTestGateway();
  accessToken = await gateway.mint();
});
after(() => gateway.close());

const body = '{"model":"tiny-gpt2","messages":[{"role":"user","content":"hello"}]}';
const chunkedBody = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;

function post(parts: { version?: string; host?: string; framing?: string; body?: string } = {}): string {
  const {
    version = 'HTTP/1.1',
    host = 'Host: localhost',
    framing = `Content-Length: ${body.length}`,
  } = parts;
  return [
    `POST /v1/chat/completions ${version}`,
    host,
    `Authorization: Bearer ${accessToken}`,
    'Content-Type: application/json',
    framing,
    '',
    parts.body ?? body,
  ].join('\r\n');
}

async function refusedWith(status: number, bytes: string): Promise<RawExchange> {
  const seen = gateway.upstream.requests.length;
  const exchange = await sendRaw(bytes, { port: gateway.port });
  assert.equal(exchange.answers[0]?.status, status, exchange.text);
  assert.ok(exchange.closed, 'the connection stays open');
  assert.equal(gateway.upstream.requests.length, seen);
  return exchange;
}

async function assertRefused(bytes: string, status: number): Promise<void> {
  await refusedWith(status, bytes);
}

describe('the request line', () => {
  for (const version of ['HTTP/2.0', 'HTTP/1.2', 'HTTP/9.9', 'http/1.1']) {
    it(`refuses the version ${version}`, () => assertRefused(post({ version }), 400));
  }
  it('refuses HTTP/0.9', () => assertRefused('GET /v1/models\r\n\r\n', 400));
  it('refuses Transfer-Encoding in HTTP/1.0', () =>
    assertRefused(
      post({ version: 'HTTP/1.0', framing: 'Transfer-Encoding: chunked', body: chunkedBody }),
      400,
    ));
  it('serves HTTP/1.0 with Content-Length', async () => {
    const exchange = await sendRaw(post({ version: 'HTTP/1.0' }), { port: gateway.port, until: 1 });
    assert.equal(exchange.answers[0]?.status, 200, exchange.text);
  });
  it('answers CONNECT, and records it', async () => {
    const { answers } = await refusedWith(
      405,
      'CONNECT internal.example:443 HTTP/1.1\r\nHost: internal.example:443\r\n\r\n',
    );
    const records = await auditRecordsOf(gateway, answers);
    assert.deepEqual(
      records.map(({ code }) => code),
      ['method_not_allowed'],
    );
  });
});

describe('the Host header', () => {
  for (const host of [
    'x/#@evil.example',
    'x/healthz',
    'user@localhost',
    'user:password@localhost',
    'localhost, evil.example',
    'local host',
    'localhost:99999',
    'localhost:8080:8080',
    'localhost:-1',
    'localhost:8080/x',
    'http://localhost',
    'localhost?x',
    'localhost#x',
    'local\\host',
    '[::1',
    '::1',
    '%6cocalhost',
    '<script>',
    "a'--",
  ]) {
    it(`refuses ${host}`, () => assertRefused(post({ host: `Host: ${host}` }), 400));
  }
  for (const host of [
    'localhost',
    'LOCALHOST:8080',
    '127.0.0.1:1',
    '[::1]:8080',
    'gate-way.example.com.',
    '',
  ]) {
    it(`takes ${host === '' ? 'an empty one' : host}`, async () => {
      const exchange = await sendRaw(post({ host: `Host: ${host}` }), { port: gateway.port, until: 1 });
      assert.equal(exchange.answers[0]?.status, 200, exchange.text);
    });
  }
});

describe('a fault behind a whole request', () => {
  for (const [title, fault] of [
    ['a space before a colon', 'POST / HTTP/1.1\r\nHost : x\r\n\r\n'],
    ['an unknown transfer coding', 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n'],
    ['garbage', '\x00\x01\x02\r\n\r\n'],
  ] as const) {
    it(`does not cost that request its answer: ${title}`, async () => {
      const exchange = await sendRaw(post() + post() + fault + post(), { port: gateway.port });
      assert.deepEqual(
        exchange.answers.map(({ status }) => status),
        [200, 200, 400],
      );
      assert.ok(exchange.closed);
      const records = await auditRecordsOf(gateway, exchange.answers);
      assert.deepEqual(records.map(({ code }) => code).sort(), ['malformed_request', 'ok', 'ok']);
    });
  }
});
