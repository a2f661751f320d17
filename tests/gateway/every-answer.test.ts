// What holds for every answer of a gateway, whatever part of it gave it: an id that leads to exactly one audit record and
// one count, no inside of ours, and the headers that clients rely on.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { chunk, json, lastChunk, streamHead, type Script } from '../support/fake-upstream.ts';
import { chatAnswer, startTestGateway, type TestGateway } from '../support/start-gateway.ts';
import { auditRecordsOf, readAuditRecords } from '../regressions/audit-records.ts';
import { sendRaw } from '../regressions/raw-connection.ts';

/** A stream for who asks for one; it stays open when the prompt says so. */
const upstream: Script = (request, socket) => {
  const body = request.body.toString();
  if (!body.includes('"stream":true')) return json(chatAnswer)(request, socket);
  socket.write(streamHead(request) + chunk('data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'));
  if (!body.includes('stay')) socket.write(chunk('data: [DONE]\n\n') + lastChunk);
};

let gateway: TestGateway;
let credentials: Readonly<Record<string, string>>;

before(async () => {
  gateway = await startTestGateway({ script: upstream });
  credentials = {
    user: await gateway.mint(),
    administrator: await gateway.mint({ roles: ['LLM.Admin'] }),
    nobody: await gateway.mint({ roles: [] }),
    'without scope': await gateway.mint({ scp: 'openid' }),
    bad: `${await gateway.mint()}x`,
  };
});
after(() => gateway.close());

interface Request {
  readonly who?: string;
  readonly fields?: readonly string[];
  readonly body?: string;
}

const chat = (more = ''): string =>
  `{"model":"tiny-gpt2","messages":[{"role":"user","content":"hi"}]${more}}`;

function bytesOf(line: string, { who, fields = [], body }: Request): string {
  const type = fields.some((field) => /^content-type/i.test(field)) ? [] : ['Content-Type: application/json'];
  return [
    `${line} HTTP/1.1`,
    'Host: localhost',
    'Connection: close',
    ...(who === undefined ? [] : [`Authorization: Bearer ${credentials[who] ?? ''}`]),
    ...(body === undefined ? [] : [...type, `Content-Length: ${Buffer.byteLength(body)}`]),
    ...fields,
    '',
    body ?? '',
  ].join('\r\n');
}

/** How many requests the gateway has counted. */
async function counted(): Promise<number> {
  const text = await (await fetch(`${gateway.internalUrl}/metrics`)).text();
  return [...text.matchAll(/^sallyport_requests_total\{.*\} (\d+)$/gm)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  );
}

/** Waits until the gateway has counted so many, and a moment longer for one too many. */
async function countedSettled(atLeast: number): Promise<number> {
  for (let attempt = 0; attempt < 100 && (await counted()) < atLeast; attempt++) await delay(20);
  await delay(30);
  return counted();
}

const post = 'POST /v1/chat/completions';
const user = 'user';
const json200 = chat();
const cases: readonly [line: string, request: Request, status: number, code: string][] = [
  [post, { who: user, body: json200 }, 200, 'ok'],
  [post, { who: user, body: chat(',"stream":true') }, 200, 'ok'],
  [
    'POST /openai/deployments/tiny-gpt2/chat/completions?api-version=1',
    { who: user, body: json200 },
    200,
    'ok',
  ],
  ['GET /v1/models', { who: user }, 200, 'ok'],
  ['GET /openai/models?api-version=1', { who: user }, 200, 'ok'],
  ['GET /admin/users', { who: 'administrator' }, 200, 'ok'],
  ['POST /users', { body: '{}' }, 200, 'ok'],
  [post, { body: json200 }, 401, 'missing_credentials'],
  [post, { who: 'bad', body: json200 }, 401, 'invalid_token'],
  [post, { who: user, body: json200, fields: ['Authorization: Bearer x'] }, 400, 'invalid_request'],
  [post, { who: user, body: json200, fields: ['api-key: x'] }, 400, 'invalid_request'],
  [`${post}?access_token=x`, { body: json200 }, 400, 'invalid_request'],
  [post, { who: 'without scope', body: json200 }, 403, 'insufficient_scope'],
  [post, { who: 'nobody', body: json200 }, 403, 'access_denied'],
  ['GET /admin/users', { who: user }, 403, 'admin_access_required'],
  [post, { who: user, body: json200.replace('tiny-gpt2', 'gpt-9') }, 404, 'model_not_found'],
  ['GET /v1/models/gpt-9', { who: user }, 404, 'model_not_found'],
  ['GET /v1/nothing', { who: user }, 404, 'endpoint_not_found'],
  ['POST /chat/completions', { who: user, body: json200 }, 404, 'endpoint_not_found'],
  ['DELETE /v1/models', { who: user }, 405, 'method_not_allowed'],
  ['POST /healthz', {}, 405, 'method_not_allowed'],
  ['CONNECT localhost:1', {}, 405, 'method_not_allowed'],
  ['GET /v1//models', { who: user }, 400, 'malformed_request'],
  ['G@RBAGE', {}, 400, 'malformed_request'],
  [post, { who: user, body: json200, fields: ['a_b: c'] }, 400, 'malformed_request'],
  [post, { who: user, body: '{"model":1}' }, 400, 'body_invalid'],
  [post, { who: user, body: '{"a":1,"a":2}' }, 400, 'body_invalid'],
  [post, { who: user, body: chat(`,"x":"${'x'.repeat(1_100_000)}"`) }, 413, 'body_too_large'],
  [post, { who: user, body: json200, fields: ['Content-Type: text/plain'] }, 415, 'unsupported_media_type'],
  [post, { who: user, body: json200, fields: ['Expect: the-moon'] }, 417, 'expectation_failed'],
  [post, { who: user, body: json200, fields: [`a: ${'x'.repeat(40_000)}`] }, 431, 'headers_too_large'],
  [
    post,
    { who: user, body: json200, fields: Array.from({ length: 110 }, (_, n) => `a${n}: 1`) },
    431,
    'headers_too_large',
  ],
  [post, { who: user, body: chat(',"max_tokens":9999') }, 400, 'parameter_above_ceiling'],
  [post, { who: user, body: json200.replace('hi', 'sallyport-denied-example') }, 400, 'content_blocked'],
];

describe('every answer', () => {
  for (const [line, request, status, code] of cases) {
    const { who = 'anybody', body, fields } = request;
    const title = [line, `by ${who}`, body?.slice(0, 40), fields?.[0]?.slice(0, 30)]
      .filter(Boolean)
      .join(', ');
    it(`has an id, one record and one count: ${status} ${code} (${title})`, async () => {
      const before = await counted();
      const { answers, text } = await sendRaw(bytesOf(line, request), { port: gateway.port });
      assert.equal(answers.length, 1);
      const [{ head, body: content } = { head: '', body: '' }] = answers;
      assert.equal(answers[0]?.status, status, content);
      assert.equal([...head.matchAll(/\r\nx-request-id: req_[0-9A-Z]{26}\r\n/g)].length, 1, head);
      assert.doesNotMatch(text, /\n\s+at |node:internal|\.[jt]s:\d|x-powered-by/i);
      assert.equal(
        /\r\nwww-authenticate: Bearer realm=/i.test(head),
        status === 401 || /invalid_request|insufficient_scope/.test(code),
      );
      if (status >= 400) assert.ok(content.includes(`"code":"${code}"`), content);
      if (status === 405) assert.match(head, /\r\nallow: /i);
      const records = await auditRecordsOf(gateway, answers);
      assert.deepEqual(
        records.map((record) => [record['status'], record.code]),
        [[status, code]],
      );
      assert.equal(await countedSettled(before + 1), before + 1);
    });
  }

  for (const path of [
    '/',
    '/healthz',
    '/readyz',
    '/docs',
    '/openapi.json',
    '/docs/errors/invalid_token',
    '/.well-known/oauth-protected-resource',
    '/assets/sallyport.css',
  ]) {
    it(`has an id on the public page ${path}, which is neither recorded nor counted`, async () => {
      const before = await counted();
      const answer = await fetch(gateway.url + path);
      await answer.arrayBuffer();
      assert.equal(answer.status, 200);
      assert.match(answer.headers.get('x-request-id') ?? '', /^req_[0-9A-Z]{26}$/);
      assert.equal(await countedSettled(0), before);
    });
  }
});

describe('a caller who goes away', () => {
  /** Sends bytes and leaves when the first ones come back, or after a moment. */
  const sendAndLeave = (bytes: string): Promise<void> =>
    new Promise((resolve) => {
      const socket = net.connect(gateway.port, '127.0.0.1', () => socket.write(bytes));
      const leave = (): void => {
        socket.destroy();
        resolve();
      };
      socket.on('error', leave);
      socket.on('data', leave);
      setTimeout(leave, 150);
    });

  const departures: readonly [title: string, cut: (bytes: string) => string, more: string, code: string][] = [
    ['in mid-stream', (bytes) => bytes, ',"stream":true,"user":"stay"', 'caller_gone'],
    ['while his body is under way', (bytes) => bytes.slice(0, -10), '', 'body_invalid'],
    [
      'before the head of his request is whole',
      () => 'GET /v1/models HTTP/1.1\r\nHost: x\r\n',
      '',
      'malformed_request',
    ],
  ];
  for (const [title, cut, more, code] of departures) {
    it(`${title} leaves one record and one count`, async () => {
      const before = await counted();
      const known = (await readAuditRecords(gateway)).length;
      await sendAndLeave(cut(bytesOf(post, { who: user, body: chat(more) })));
      assert.equal(await countedSettled(before + 1), before + 1);
      const records = (await readAuditRecords(gateway, known + 1)).slice(known);
      assert.deepEqual(
        records.map((record) => record.code),
        [code],
      );
      assert.equal(records[0]?.['aborted'] ?? true, true); // Known once there is a request.
    });
  }
});
