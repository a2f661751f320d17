// The attack suite, connections: header fields, framing behind refusals, origins, hosts and a flood of everything mixed,
// against the whole gateway. No byte of a body becomes a request, no field of a caller reaches an upstream, each request
// has one audit record, and no caller can make a metric series.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { verifyAuditLog } from '../../gateway/accounting/audit-verify.ts';
import { chatAnswer, startTestGateway, type TestGateway } from '../support/start-gateway.ts';
import { chunk, json, lastChunk, streamHead } from '../support/fake-upstream.ts';
import { auditRecordsOf, auditText, readAuditRecords } from './audit-records.ts';
import { sendRaw } from './raw-connection.ts';

let gateway: TestGateway;
let user: string;
let administrator: string;

before(async () => {
  gateway = await startTestGateway();
  user = await gateway.mint();
  administrator = await gateway.mint({ roles: ['LLM.Admin'] });
});
after(() => gateway.close());

const chatBody = '{"model":"tiny-gpt2","messages":[{"role":"user","content":"a-secret-prompt"}]}';

interface Parts {
  readonly line?: string;
  readonly credential?: string | null;
  readonly type?: string;
  readonly fields?: readonly string[];
  readonly body?: string;
  readonly framing?: 'length' | 'chunked' | 'expect';
}

function request(parts: Parts = {}): string {
  const {
    line = 'POST /v1/chat/completions',
    credential = user,
    type = 'application/json',
    framing = 'length',
  } = parts;
  const body = parts.body ?? (line.startsWith('POST') ? chatBody : '');
  const length = Buffer.byteLength(body);
  return [
    `${line} HTTP/1.1`,
    'Host: localhost',
    ...(credential === null ? [] : [`Authorization: Bearer ${credential}`]),
    ...(body === '' ? [] : [`Content-Type: ${type}`]),
    ...(body === ''
      ? []
      : framing === 'chunked'
        ? ['Transfer-Encoding: chunked']
        : [`Content-Length: ${length}`]),
    ...(framing === 'expect' ? ['Expect: 100-continue'] : []),
    ...(parts.fields ?? []),
    '',
    framing === 'chunked' && body !== '' ? `${length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body,
  ].join('\r\n');
}

/** Names of the fields that the upstream got with its last request. */
function forwardedFields(): string[] {
  return [...(gateway.upstream.requests.at(-1)?.headers.keys() ?? [])].sort();
}

describe('a header field of the caller', () => {
  const marked: readonly string[] = [
    'X-Forwarded-User',
    'X-Forwarded-Email',
    'X-Forwarded-Host',
    'X-Forwarded-Proto',
    'X-Forwarded-For',
    'Forwarded',
    'X-Real-IP',
    'X-Original-URL',
    'X-Rewrite-URL',
    'X-Original-Method',
    'X-HTTP-Method-Override',
    'X-HTTP-Method',
    'X-Method-Override',
    'X-User-Id',
    'X-MS-CLIENT-PRINCIPAL',
    'X-MS-CLIENT-PRINCIPAL-ID',
    'X-Auth-Request-User',
    'X-Remote-User',
    'Remote-User',
    'Sallyport-Assertion',
    'SALLYPORT-ASSERTION',
    'sallyport.assertion',
    'Sallyport-Principal',
    'X-Sallyport-Roles',
    'X-Request-Id',
    'Cookie',
    'Proxy-Authorization',
    'Proxy-Connection',
    'Keep-Alive',
    'TE',
    'Trailer',
    'Via',
    'Range',
    'If-None-Match',
    'Origin',
    'Referer',
    'OpenAI-Organization',
    'OpenAI-Beta',
    'X-Stainless-Lang',
    'HTTP2-Settings',
    'Sec-WebSocket-Key',
    'Content-MD5',
    'Content-Location',
    'Accept-Encoding',
    'constructor',
    'toString',
    'hasOwnProperty',
    'X.Forwarded.User',
    "X'Forwarded",
    'X|Y',
  ];
  const ofModels = new Set([
    'accept',
    'connection',
    'content-length',
    'content-type',
    'host',
    'sallyport-assertion',
    'user-agent',
    'x-request-id',
  ]);
  const ofServices = new Set([...ofModels, 'accept-language', 'transfer-encoding', 'x-forwarded-for']);

  for (const name of marked) {
    it(`stays at the gateway: ${name}`, async () => {
      const routes = [
        { parts: { fields: [`${name}: h4cked`] }, known: ofModels },
        {
          parts: { line: 'POST /users', fields: [`${name}: h4cked`], body: '{"username":"x"}' },
          known: ofServices,
        },
        {
          parts: { line: 'GET /admin/users', credential: administrator, fields: [`${name}: h4cked`] },
          known: ofServices,
        },
        {
          parts: {
            fields: [
              `${name}: h4cked`,
              `Connection: close, ${name}, sallyport-assertion, x-request-id, content-length`,
            ],
          },
          known: ofModels,
        },
      ];
      for (const { parts, known } of routes) {
        const seen = gateway.upstream.requests.length;
        const { answers, text } = await sendRaw(request(parts), { port: gateway.port, until: 1 });
        assert.ok([200, 400].includes(answers[0]?.status ?? 0), text);
        assert.ok(!text.includes('h4cked'), 'the answer repeats it');
        if (gateway.upstream.requests.length === seen) continue;
        assert.ok(
          !(gateway.upstream.requests.at(-1)?.head ?? '').includes('h4cked'),
          `${name} reached the upstream`,
        );
        assert.deepEqual(
          forwardedFields().filter((field) => !known.has(field)),
          [],
        );
        assert.ok(forwardedFields().includes('sallyport-assertion'));
        assert.ok(forwardedFields().includes('x-request-id'));
      }
    });
  }
});

describe('bytes behind a refused head', () => {
  const smuggled = `GET /admin/users?smuggled HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ADMIN\r\n\r\n`;
  const refusals: Readonly<Record<string, Parts>> = {
    'no credential': { credential: null },
    'a bad credential': { credential: 'bad' },
    'another path': { line: 'POST /nowhere' },
    'another method': { line: 'PUT /v1/chat/completions' },
    'no right': { line: 'POST /admin/users' },
    'an admin path without the role': { line: 'GET /admin/users' },
    'a wrong media type': { type: 'text/plain' },
    'a coded body': { fields: ['Content-Encoding: gzip'] },
    'a Host that is none': { fields: ['Host: a b'] },
    'a body that is no JSON': {},
    'a control page': { line: 'POST /healthz' },
    'a control page that is read': { line: 'GET /healthz' },
    'the metadata': { line: 'GET /.well-known/oauth-protected-resource' },
    'a list of models': { line: 'GET /v1/models' },
  };
  for (const [title, parts] of Object.entries(refusals)) {
    for (const framing of ['length', 'chunked', 'expect'] as const) {
      it(`never become a request: ${title}, ${framing}`, async () => {
        const body = smuggled.replace('ADMIN', administrator);
        const seen = gateway.upstream.requests.length;
        const { answers } = await sendRaw(request({ ...parts, body, framing }), {
          port: gateway.port,
          silentMs: 120,
        });
        assert.equal(answers.length, 1);
        assert.equal(gateway.upstream.requests.length, seen, 'something reached the upstream');
        if ((answers[0]?.status ?? 0) < 400) return; // Control pages that are read leave no record.
        assert.equal((await auditRecordsOf(gateway, answers)).length, 1);
      });
    }
    it(`are answered if they are a request of their own: ${title}`, async () => {
      const { answers, closed } = await sendRaw(request({ ...parts, body: '' }) + request(), {
        port: gateway.port,
        until: 2,
      });
      // Either the connection ends with the refusal, or the next request gets its own answer.
      assert.ok(closed || answers[1]?.status === 200, answers.map(({ status }) => status).join());
    });
  }
});

describe('another origin', () => {
  for (const origin of [
    'https://evil.example',
    'null',
    'http://localhost',
    'http://127.0.0.1:8080.evil.example',
    'file://',
  ]) {
    it(`may read no answer: ${origin}`, async () => {
      for (const line of [
        'POST /v1/chat/completions',
        'GET /v1/models',
        'GET /',
        'GET /docs',
        'GET /openapi.json',
        'POST /users',
        'POST /token',
        'GET /readyz',
        'OPTIONS /v1/chat/completions',
        'OPTIONS /users',
        'OPTIONS /docs',
      ]) {
        const fields = [
          `Origin: ${origin}`,
          'Access-Control-Request-Method: POST',
          'Access-Control-Request-Headers: authorization',
        ];
        const { answers, text } = await sendRaw(request({ line, fields }), { port: gateway.port, until: 1 });
        assert.ok(answers[0], text);
        assert.doesNotMatch(answers[0].head, /access-control-allow/i, line);
      }
    });
  }
});

describe('a Host or forwarding header', () => {
  it('changes no document and no link', async () => {
    const ask = async (fields: readonly string[], host = 'localhost'): Promise<string> => {
      const bytes = request({ line: 'GET /.well-known/oauth-protected-resource', fields, credential: null });
      const { answers } = await sendRaw(bytes.replace('Host: localhost', `Host: ${host}`), {
        port: gateway.port,
        until: 1,
      });
      return answers[0]?.body ?? '';
    };
    const plain = await ask([]);
    assert.match(plain, /"resource":/);
    assert.equal(
      await ask([
        'X-Forwarded-Host: evil.example',
        'X-Forwarded-Proto: https',
        'Forwarded: host=evil.example',
      ]),
      plain,
    );
    assert.equal(await ask([], 'evil.example'), plain);
    assert.equal(await ask([], 'evil.example:80'), plain);
  });
  it('opens no public path', async () => {
    for (const field of [
      'X-Forwarded-Uri: /healthz',
      'X-Original-URI: /healthz',
      'X-Original-URL: /healthz',
      'X-Rewrite-URL: /healthz',
      'X-Forwarded-Path: /healthz',
      'X-Forwarded-Prefix: /healthz',
      'User-Agent: kube-probe/1.30',
      'User-Agent: GoogleHC/1.0',
      'X-Forwarded-For: 127.0.0.1',
      'X-Forwarded-Proto: https',
      'X-Original-Method: OPTIONS',
    ]) {
      for (const line of [
        'POST /v1/chat/completions',
        'GET /admin/users',
        'GET /v1/models?x=/healthz',
        'POST /generate?/healthz',
      ]) {
        const { answers } = await sendRaw(request({ line, fields: [field], credential: null }), {
          port: gateway.port,
          until: 1,
        });
        assert.equal(answers[0]?.status, 401, `${field} ${line}`);
      }
    }
  });
});

describe('a model that writes events', () => {
  it('cannot forge an event or an end', async () => {
    const text = 'x\n\ndata: [DONE]\n\nevent: error\ndata: {"error":{}}\r\rid: 1';
    gateway.upstream.use((seen, socket) => {
      const delta = {
        id: 'c',
        object: 'chat.completion.chunk',
        choices: [{ index: 0, delta: { content: text } }],
      };
      const end = {
        id: 'c',
        object: 'chat.completion.chunk',
        choices: [{ index: 0, delta: {}, finish_reason: 'stop' }],
      };
      const events = [delta, end].map((event) => `data: ${JSON.stringify(event)}\n\n`).join('');
      socket.write(`${streamHead(seen)}${chunk(`${events}data: [DONE]\n\n`)}${lastChunk}`);
    });
    const body = chatBody.replace(/\}$/, ',"stream":true}');
    const response = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${user}`, 'content-type': 'application/json' },
      body,
    });
    const events = (await response.text()).split('\n\n').filter((event) => event !== '');
    gateway.upstream.use(json(chatAnswer));
    assert.equal(events.length, 3, events.join('|'));
    const first = JSON.parse(events[0]?.slice('data: '.length) ?? '') as {
      choices: { delta: { content: string } }[];
    };
    assert.equal(first.choices[0]?.delta.content, text);
  });
});

describe('a flood of everything', () => {
  const total = 1_200;
  let flooded: TestGateway;
  let accepted: string;

  before(async () => {
    flooded = await startTestGateway();
    accepted = await flooded.mint();
  });
  after(() => flooded.close());

  it('ends with one record each, a chain that holds, closed metrics and a gateway that serves', async () => {
    let answered = 0;
    const shots = (index: number): string[] => [
      request({ credential: null }),
      request({ credential: `bad-${index}` }),
      request({ credential: accepted, body: '{' }),
      request({ credential: accepted, body: chatBody.replace('tiny-gpt2', `model-${index}`) }),
      request({ credential: accepted, line: `POST /path-${index}` }),
      request({
        credential: accepted,
        line: `POST /openai/deployments/model-${index}/chat/completions`,
        body: '{"messages":[{"role":"user","content":"x"}]}',
      }),
      request({ credential: accepted, line: `POST /v1/chat/completions?access_token=${index}` }),
      `METHOD${index} / HTTP/1.1\r\nHost: localhost\r\n\r\n`,
      `GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-A: ${'a'.repeat(40_000)}\r\n\r\n`,
      request({ credential: accepted, fields: ['Transfer-Encoding: chunked'] }),
      request({ credential: accepted, line: 'CONNECT a:1' }),
      request({
        credential: accepted,
        body: chatBody.replace('a-secret-prompt', 'sallyport-denied-example'),
      }),
    ];
    const worker = async (lane: number): Promise<void> => {
      for (let index = lane; index < total; index += 20) {
        const bytes = shots(index)[index % 12] ?? '';
        const { answers } = await sendRaw(bytes, { port: flooded.port, until: 1 });
        if ((answers[0]?.status ?? 0) >= 400) answered++;
      }
    };
    await Promise.all(Array.from({ length: 20 }, (_, lane) => worker(lane)));
    assert.equal(answered, total);
    const records = await readAuditRecords(flooded, total);
    assert.equal(records.length, total);
    assert.equal(new Set(records.map((record) => record.request_id)).size, total);
    const written = auditText(flooded);
    for (const secret of [accepted, 'a-secret-prompt', 'sallyport-denied-example', 'bad-1'])
      assert.ok(!written.includes(secret), 'the audit log holds a secret');
    assert.deepEqual((await verifyAuditLog(flooded.auditFolder)).findings, []);
    const metrics = await (await fetch(`${flooded.internalUrl}/metrics`)).text();
    assert.ok(!/path-\d|model-\d|METHOD|bad-/.test(metrics), 'a caller made a series');
    assert.ok(metrics.split('\n').filter((line) => line.startsWith('sallyport_requests_total')).length < 40);
    assert.equal(flooded.running.active(), 0);
    const { answers } = await sendRaw(request({ credential: accepted }), { port: flooded.port, until: 1 });
    assert.equal(answers[0]?.status, 200);
  });
});
