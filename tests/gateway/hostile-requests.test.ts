// Raw bytes against the whole gateway: what a hostile or broken caller can put on a connection. Nothing of it may reach
// the upstream, no answer may hold a stack or an address, and the next good request must work.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { startTestGateway, type TestGateway } from '../support/start-gateway.ts';

let gateway: TestGateway;
let accessToken: string;

before(async () => {
  gateway = await startTestGateway();
  accessToken = await gateway.mint();
});
after(() => gateway.close());

interface RawAnswer {
  readonly status: number;
  readonly text: string;
}

/** Sends bytes, collects until the peer closes or has been silent for a moment after an answer. */
function exchangeRaw(bytes: string | Buffer, silentMs = 300): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(gateway.port, '127.0.0.1');
    let text = '';
    let timer: NodeJS.Timeout | undefined;
    const finish = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0), text });
    };
    socket.setTimeout(8_000, finish);
    socket.on('connect', () => socket.write(bytes));
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      clearTimeout(timer);
      timer = setTimeout(finish, silentMs);
    });
    socket.on('close', finish);
    socket.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ECONNRESET' || error.code === 'EPIPE' ? finish() : reject(error),
    );
  });
}

const body = JSON.stringify({
  model: 'tiny-gpt2',
  messages: [{ role: 'user', content: 'hello' }],
  max_tokens: 8,
});

function post(
  options: { path?: string; headers?: string[]; framing?: string[]; body?: string; method?: string } = {},
): string {
  const content = options.body ?? body;
  const lines = [
    `${options.method ?? 'POST'} ${options.path ?? '/v1/chat/completions'} HTTP/1.1`,
    'Host: 127.0.0.1',
    `Authorization: Bearer ${accessToken}`,
    'Content-Type: application/json',
    ...(options.framing ?? [`Content-Length: ${Buffer.byteLength(content)}`]),
    ...(options.headers ?? []),
  ];
  return `${lines.join('\r\n')}\r\n\r\n${content}`;
}

/** No stack, path, module or internal address in an answer. */
function assertDiscreet(answer: RawAnswer): void {
  assert.doesNotMatch(answer.text, /\bat .*\(|node:internal|node_modules|\.ts:|\.js:|model\.sock|Error:/);
}

async function assertRefused(bytes: string | Buffer, statuses: readonly number[]): Promise<RawAnswer> {
  const before = gateway.upstream.requests.length;
  const answer = await exchangeRaw(bytes);
  assert.ok(statuses.includes(answer.status), `status ${answer.status}: ${answer.text.slice(0, 300)}`);
  assertDiscreet(answer);
  assert.equal(gateway.upstream.requests.length, before, 'the upstream received something');
  return answer;
}

async function assertServes(): Promise<void> {
  const answer = await exchangeRaw(post({ headers: ['Connection: close'] }));
  assert.equal(answer.status, 200, answer.text.slice(0, 300));
}

describe('a good request', () => {
  it('reaches the upstream with exactly its bytes and none of its headers', async () => {
    const before = gateway.upstream.requests.length;
    const answer = await exchangeRaw(
      post({
        headers: [
          'X-Forwarded-User: admin',
          'X-Custom: 1',
          'Cookie: a=b',
          'Connection: close, X-Custom',
          'TE: trailers',
          'X-Forwarded-For: 9.9.9.9',
          'sallyport-assertion: forged',
        ],
      }),
    );
    assert.equal(answer.status, 200, answer.text);
    assert.match(answer.text, /x-request-id: req_[0-9A-Z]{26}/i);
    const seen = gateway.upstream.requests.at(before);
    assert.ok(seen);
    assert.equal(seen.body.toString(), body);
    const head = seen.head.toLowerCase();
    for (const foreign of [
      'x-forwarded-user',
      'x-custom',
      'cookie',
      'authorization',
      'x-forwarded-for',
      'te:',
      'forged',
    ]) {
      assert.ok(!head.includes(foreign), `${foreign} reached the upstream`);
    }
  });
});

describe('credentials', () => {
  const bare = (headers: string[]): string =>
    `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n${headers.join('\r\n')}${headers.length > 0 ? '\r\n' : ''}\r\n${body}`;

  it('answers 401 with a bare challenge when none came', async () => {
    const answer = await assertRefused(bare([]), [401]);
    const challenge = /www-authenticate: (.*)\r/i.exec(answer.text)?.[1] ?? '';
    assert.match(challenge, /^Bearer /);
    assert.doesNotMatch(challenge, /error/);
    assert.match(challenge, /resource_metadata="/);
  });
  it('refuses garbage', async () => {
    const answer = await assertRefused(bare(['Authorization: Bearer garbage']), [401]);
    assert.match(answer.text, /error="invalid_token"/);
  });
  it('refuses two Authorization fields', async () => {
    await assertRefused(post({ headers: [`Authorization: Bearer ${accessToken}`] }), [400]);
  });
  it('refuses a credential in the query', async () => {
    await assertRefused(post({ path: `/v1/chat/completions?access_token=${accessToken}` }), [400]);
  });
  it('answers before the body has come', async () => {
    await assertRefused(
      'POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000000000\r\n\r\n',
      [401],
    );
  });
  it('answers 401 to Expect without a 100, and never takes the body for a request', async () => {
    const smuggled = `GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n`;
    const answer = await assertRefused(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
      [401],
    );
    assert.equal(answer.text.split('HTTP/1.1 ').length - 1, 1, answer.text);
  });
});

describe('framing', () => {
  const cases: [title: string, bytes: () => string | Buffer][] = [
    [
      'Content-Length beside Transfer-Encoding',
      () => post({ framing: [`Content-Length: ${body.length}`, 'Transfer-Encoding: chunked'] }),
    ],
    [
      'Transfer-Encoding beside Content-Length',
      () => post({ framing: ['Transfer-Encoding: chunked', `Content-Length: ${body.length}`] }),
    ],
    [
      'two different Content-Lengths',
      () => post({ framing: [`Content-Length: ${body.length}`, 'Content-Length: 3'] }),
    ],
    [
      'two equal Content-Lengths',
      () => post({ framing: [`Content-Length: ${body.length}`, `Content-Length: ${body.length}`] }),
    ],
    [
      'a list of Content-Lengths',
      () => post({ framing: [`Content-Length: ${body.length}, ${body.length}`] }),
    ],
    ['a signed Content-Length', () => post({ framing: [`Content-Length: +${body.length}`] })],
    ['a hexadecimal Content-Length', () => post({ framing: [`Content-Length: 0x10`] })],
    ['a negative Content-Length', () => post({ framing: ['Content-Length: -1'] })],
    ['a space before the colon', () => post({ framing: [`Content-Length : ${body.length}`] })],
    ['an unknown transfer coding', () => post({ framing: ['Transfer-Encoding: gzip'] })],
    ['gzip, chunked', () => post({ framing: ['Transfer-Encoding: gzip, chunked'] })],
    ['chunked, identity', () => post({ framing: ['Transfer-Encoding: chunked, identity'] })],
    ['xchunked', () => post({ framing: ['Transfer-Encoding: xchunked'] })],
    ['Transfer_Encoding with an underscore', () => post({ headers: ['Transfer_Encoding: chunked'] })],
    ['x_user_id with an underscore', () => post({ headers: ['x_user_id: admin'] })],
    ['an obsolete line folding', () => post({ headers: ['X-A: a\r\n b'] })],
    ['a bare CR in a field', () => post({ headers: ['X-A: a\rb'] })],
    ['a NUL in a field', () => post({ headers: ['X-A: a\0b'] })],
    ['a bare LF as line end', () => post().replaceAll('\r\n', '\n')],
    [
      'a chunk size with a sign',
      () => post({ framing: ['Transfer-Encoding: chunked'], body: '+2\r\n{}\r\n0\r\n\r\n' }),
    ],
    [
      'a chunk size with 0x',
      () => post({ framing: ['Transfer-Encoding: chunked'], body: '0x2\r\n{}\r\n0\r\n\r\n' }),
    ],
    [
      'junk after a chunk',
      () => post({ framing: ['Transfer-Encoding: chunked'], body: '2\r\n{}XX0\r\n\r\n' }),
    ],
    [
      'a chunk extension of 64 kB',
      () =>
        post({ framing: ['Transfer-Encoding: chunked'], body: `2;${'a'.repeat(65_536)}\r\n{}\r\n0\r\n\r\n` }),
    ],
    ['no Host', () => post().replace('Host: 127.0.0.1\r\n', '')],
    ['two Hosts', () => post({ headers: ['Host: evil.example'] })],
    ['two Content-Types', () => post({ headers: ['Content-Type: text/plain'] })],
    ['a line of garbage', () => 'GARBAGE\r\n\r\n'],
    ['a TLS hello', () => Buffer.from('16030100a5010000a10303', 'hex')],
    ['HTTP/2 prior knowledge', () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['an unknown expectation', () => post({ headers: ['Expect: the-unexpected'] })],
    [
      '2,600 tiny fields',
      () => post({ headers: Array.from({ length: 2_600 }, (_, index) => `a${index}: 1`) }),
    ],
    ['150 fields', () => post({ headers: Array.from({ length: 150 }, (_, index) => `a${index}: 1`) })],
    ['a field of 100 kB', () => post({ headers: [`X-A: ${'a'.repeat(100_000)}`] })],
  ];
  for (const [title, bytes] of cases) {
    it(`refuses ${title}`, async () => {
      await assertRefused(bytes(), [400, 408, 413, 415, 417, 431]);
      await assertServes();
    });
  }

  it('serves a chunked body and forwards it as one block', async () => {
    const before = gateway.upstream.requests.length;
    const answer = await exchangeRaw(
      post({
        framing: ['Transfer-Encoding: chunked'],
        body: `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
      }),
    );
    assert.equal(answer.status, 200, answer.text);
    assert.equal(gateway.upstream.requests.at(before)?.body.toString(), body);
  });

  for (const field of [
    'Trailer: X-T',
    'TE: trailers',
    'Upgrade: h2c',
    'Upgrade: websocket',
    'Keep-Alive: timeout=5',
    'Proxy-Authorization: Basic eDp4',
    'X-Latin: \xe9',
    '__proto__: 1',
    'constructor: 1',
    'HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA',
  ]) {
    it(`survives ${field.replace('\xe9', 'e9')} and forwards nothing of it`, async () => {
      const answer = await exchangeRaw(Buffer.from(post({ headers: [field] }), 'latin1'));
      assert.ok([200, 400].includes(answer.status), answer.text.slice(0, 200));
      assertDiscreet(answer);
      const name = field.split(':')[0]?.toLowerCase() ?? '';
      assert.ok(!(gateway.upstream.requests.at(-1)?.head.toLowerCase() ?? '').includes(`\r\n${name}:`));
      await assertServes();
    });
  }

  it('answers a good and a bad pipelined request apart, and forwards one', async () => {
    const before = gateway.upstream.requests.length;
    const answer = await exchangeRaw(post() + post().replace(accessToken, 'bad'));
    assert.deepEqual(
      [...answer.text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => match[1]),
      ['200', '401'],
    );
    assert.equal(gateway.upstream.requests.length, before + 1);
  });
});

describe('after a refusal', () => {
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
  it('the connection stays open when nothing is left unread on it', async () => {
    const answer = await exchangeRaw(get('/nothing') + get('/v1/models') + get('/healthz'));
    assert.deepEqual(
      [...answer.text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => match[1]),
      ['404', '401', '200'],
    );
  });
  it('the connection ends when a body is left unread on it', async () => {
    const answer = await exchangeRaw(post().replace(accessToken, 'bad') + get('/healthz'));
    assert.deepEqual(
      [...answer.text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => match[1]),
      ['401'],
    );
    assert.match(answer.text, /connection: close/i);
  });
});

describe('targets', () => {
  const paths = [
    '/v1/chat/completions/../../../admin',
    '//v1/chat/completions',
    '/v1/./chat/completions',
    '/v1/%63hat/completions',
    '/v1/chat%2fcompletions',
    '/v1/chat/completions;a=b',
    '/v1\\chat\\completions',
    '/v1/chat/completions%00',
    '/v1/chat/completions/',
    '/V1/chat/completions',
    '/v1/chat/completions.json',
    '/v1/chat/completions#x',
    'http://127.0.0.1/v1/chat/completions',
    'http://evil.example/v1/chat/completions',
    '/v1/tokenize',
    '/metrics',
    '/api/tags',
    '/v1/engines',
    '/admin',
    '/.env',
    '/v1/chat/completions%20',
    '/openai/deployments/a/b/chat/completions',
    '/openai/deployments//chat/completions',
    '/openai/deployments/../chat/completions',
    '*',
    '@evil.example/',
  ];
  for (const path of paths) {
    it(`refuses ${path} and forwards nothing`, async () => {
      await assertRefused(post({ path }), [400, 404, 405]);
    });
  }
  for (const method of ['PUT', 'DELETE', 'PATCH', 'TRACE', 'PROPFIND', 'GET', 'HEAD', 'OPTIONS']) {
    it(`refuses the method ${method} with what is allowed`, async () => {
      const answer = await assertRefused(post({ method }), [405]);
      assert.match(answer.text, /allow: POST/i);
    });
  }
  it('ignores a method override', async () => {
    await assertRefused(post({ method: 'PUT', headers: ['X-HTTP-Method-Override: POST'] }), [405]);
  });
  for (const header of [
    'X-Forwarded-Uri: /healthz',
    'X-Original-URL: /healthz',
    'X-Rewrite-URL: /healthz',
    'User-Agent: GoogleHC/1.0',
  ]) {
    it(`asks for a credential whatever ${header} says`, async () => {
      await assertRefused(post({ headers: [header] }).replace(/Authorization: .*\r\n/, ''), [401]);
    });
  }
});

describe('bodies', () => {
  const cases: [title: string, options: Parameters<typeof post>[0], status: number][] = [
    ['an empty body', { body: '' }, 400],
    ['duplicate members', { body: '{"model":"tiny-gpt2","model":"other","messages":[]}' }, 400],
    ['__proto__', { body: '{"model":"tiny-gpt2","__proto__":{"a":1},"messages":[]}' }, 400],
    ['deep nesting', { body: `{"model":"tiny-gpt2","messages":${'['.repeat(200)}${']'.repeat(200)}}` }, 400],
    ['a model that is no string', { body: '{"model":{"$ne":null},"messages":[]}' }, 400],
    ['no model', { body: '{"messages":[]}' }, 400],
    ['an unknown model', { body: '{"model":"gpt-4","messages":[]}' }, 404],
    ['a body over the limit', { body: `{"model":"tiny-gpt2","x":"${'a'.repeat(1_100_000)}"}` }, 413],
  ];
  for (const [title, options, status] of cases) {
    it(`refuses ${title} with ${status}`, async () => {
      const answer = await assertRefused(post(options), [status]);
      assert.match(answer.text, /"error":\{"message":/);
    });
  }

  for (const type of [
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/json; charset=utf-16',
    'application/json; charset=utf-7',
    'application/json, text/plain',
    'application/jsonx',
  ]) {
    it(`refuses the media type ${type}`, async () => {
      await assertRefused(post().replace('Content-Type: application/json', `Content-Type: ${type}`), [415]);
    });
  }
  for (const coding of ['gzip', 'br', 'gzip, gzip', 'x-unknown']) {
    it(`refuses the content coding ${coding}`, async () => {
      await assertRefused(post({ headers: [`Content-Encoding: ${coding}`] }), [415]);
    });
  }
  it('refuses a body over the limit that comes in chunks', async () => {
    const chunk = `10000\r\n${'a'.repeat(65_536)}\r\n`;
    await assertRefused(
      post({ framing: ['Transfer-Encoding: chunked'], body: chunk.repeat(20) + '0\r\n\r\n' }),
      [413],
    );
    await assertServes();
  });
  it('refuses a body that ends early, and serves on', async () => {
    const before = gateway.upstream.requests.length;
    await new Promise<void>((resolve) => {
      const socket = net.connect(gateway.port, '127.0.0.1', () => {
        socket.write(post().slice(0, -10), () => socket.destroy());
      });
      socket.on('close', () => resolve());
    });
    await assertServes();
    assert.equal(gateway.upstream.requests.length, before + 1);
  });
});

describe('slow callers', () => {
  it('do not hold up others with 60 half-open heads and 60 stalled bodies', async () => {
    const sockets = Array.from({ length: 120 }, (_, index) => {
      const socket = net.connect(gateway.port, '127.0.0.1', () =>
        socket.write(
          index % 2 === 0 ? 'POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n' : post().slice(0, -5),
        ),
      );
      socket.on('error', () => undefined);
      return socket;
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    await assertServes();
    for (const socket of sockets) socket.destroy();
  });
});
