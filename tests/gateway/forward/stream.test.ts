import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import {
  chunk,
  httpAnswer,
  json,
  lastChunk,
  requestId,
  startFakeUpstream,
  stream,
  streamHead,
  type FakeUpstream,
  type Script,
} from '../../support/fake-upstream.ts';
import { ask, codeOf, eventsOf, startStubGateway, type StubGateway } from './stub-gateway.ts';

const delta = (text: string): string =>
  JSON.stringify({ choices: [{ delta: { content: text } }], usage: null });
const usageChunk = JSON.stringify({
  choices: [],
  usage: { prompt_tokens: 4, completion_tokens: 2, total_tokens: 6 },
});
const event = (payload: string): string => `data: ${payload}\n\n`;
const done = event('[DONE]');

describe('a stream', () => {
  let upstream: FakeUpstream;
  let gateway: StubGateway;
  before(async () => {
    upstream = await startFakeUpstream(stream([done]));
    gateway = await startStubGateway({
      url: upstream.url,
      upstream: { timeouts: { first_byte_ms: 400, idle_ms: 200 } },
    });
  });
  after(async () => {
    await gateway.close();
    await upstream.close();
  });

  it('comes event by event with the headers of a stream, and its usage is noted', async () => {
    upstream.use(stream([event(delta('a')), event(delta('b')), event(usageChunk), done]));
    const answer = await ask(gateway, { stream: true, stream_options: { include_usage: true } });
    assert.equal(answer.headers['content-type'], 'text/event-stream; charset=utf-8');
    assert.equal(answer.headers['x-accel-buffering'], 'no');
    assert.equal(answer.headers['cache-control'], 'no-store');
    assert.match(String(answer.headers['x-request-id']), /^req_/);
    assert.deepEqual(eventsOf(answer), [delta('a'), delta('b'), usageChunk, '[DONE]']);
    assert.ok(answer.isWhole);
    const outcome = gateway.outcomes.at(-1);
    assert.deepEqual(
      [outcome?.streamed, outcome?.promptTokens, outcome?.completionTokens, outcome?.refusal],
      [true, 4, 2, null],
    );
  });

  it('asks for usage on its own account and keeps the chunk from a caller who did not', async () => {
    upstream.use(stream([event(delta('a')), event(usageChunk), done]));
    const answer = await ask(gateway, { stream: true });
    assert.deepEqual(eventsOf(answer), [delta('a'), '[DONE]']);
    assert.equal(gateway.outcomes.at(-1)?.completionTokens, 2);
    assert.deepEqual(JSON.parse(upstream.requests.at(-1)?.body.toString() ?? '').stream_options, {
      include_usage: true,
    });
  });

  it('leaves the body alone when the caller has stream options of his own', async () => {
    await ask(gateway, { stream: true, stream_options: { include_obfuscation: false } });
    assert.doesNotMatch(upstream.requests.at(-1)?.body.toString() ?? '', /include_usage/);
  });

  it('is the same whatever the line ends and however the bytes are cut', async () => {
    const text = `\ufeffdata: ${delta('grüße 🎉')}\r\n\r\ndata:${delta('b')}\r\rid: 7\nevent: x\ndata: ${delta('c')}\n\ndata: {"a":\ndata: 1}\n\n${done}`;
    for (const size of [1, 2, 3, 7, 1000]) {
      const bytes = Buffer.from(text);
      upstream.use((request, socket) => {
        socket.write(streamHead(request));
        for (let at = 0; at < bytes.length; at += size) {
          const piece = bytes.subarray(at, at + size);
          socket.write(
            Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]),
          );
        }
        socket.write(lastChunk);
      });
      assert.deepEqual(
        eventsOf(await ask(gateway, { stream: true })),
        [delta('grüße 🎉'), delta('b'), delta('c'), '{"a":1}', '[DONE]'],
        String(size),
      );
    }
  });

  const broken: [title: string, script: Script, code: string][] = [
    ['ends without [DONE]', stream([event(delta('a'))]), 'upstream_invalid_response'],
    ['ends inside an event', stream([event(delta('a')), 'data: {"choices"']), 'upstream_invalid_response'],
    [
      'loses its connection',
      (request, socket) =>
        void socket.write(streamHead(request) + chunk(event(delta('a'))), () => socket.resetAndDestroy()),
      'upstream_invalid_response',
    ],
    [
      'is closed without the last chunk',
      (request, socket) => void socket.end(streamHead(request) + chunk(event(delta('a')))),
      'upstream_invalid_response',
    ],
    [
      'falls silent',
      (request, socket) => void socket.write(streamHead(request) + chunk(event(delta('a')))),
      'upstream_timeout',
    ],
    [
      'sends an error of its own',
      stream([event(delta('a')), event('{"error":{"message":"CUDA at /srv/secret"}}'), done]),
      'upstream_invalid_response',
    ],
    ['sends no JSON', stream([event(delta('a')), event('hello'), done]), 'upstream_invalid_response'],
    ['sends a JSON array', stream([event(delta('a')), event('[]'), done]), 'upstream_invalid_response'],
    [
      'sends plain text',
      stream([event(delta('a')), 'Internal Server Error\n', done]),
      'upstream_invalid_response',
    ],
    [
      'sends bytes that are not UTF-8',
      (request, socket) =>
        void socket.write(
          Buffer.from(
            streamHead(request) + chunk(event(delta('a'))) + 'b\r\ndata: "\xff"\n\n\r\n' + lastChunk,
            'latin1',
          ),
        ),
      'upstream_invalid_response',
    ],
    [
      'sends an event of more than 1 MB',
      stream([event(delta('a')), `data: {"a":"${'x'.repeat(1_100_000)}"}\n\n`, done]),
      'upstream_invalid_response',
    ],
    [
      'sends a line that never ends',
      stream([event(delta('a')), `data: ${'x'.repeat(1_100_000)}`]),
      'upstream_invalid_response',
    ],
    [
      'breaks its chunk coding',
      (request, socket) => void socket.write(`${streamHead(request) + chunk(event(delta('a')))}zz\r\n`),
      'upstream_invalid_response',
    ],
  ];
  for (const [title, script, code] of broken) {
    it(`that ${title} ends with one error event and no [DONE]`, async () => {
      upstream.use(script);
      const answer = await ask(gateway, { stream: true });
      assert.equal(answer.status, 200);
      const events = eventsOf(answer);
      assert.equal(events[0], delta('a'));
      assert.equal(events.length, 2, answer.text.slice(0, 500));
      const { error } = JSON.parse(events[1] ?? '');
      assert.equal(error.code, code);
      assert.deepEqual(Object.keys(error).slice(0, 4).sort(), ['code', 'message', 'param', 'type']);
      assert.doesNotMatch(answer.text, /\[DONE\]|secret|srv/);
      assert.equal(gateway.outcomes.at(-1)?.refusal?.code, code);
    });
  }

  const early: [title: string, script: Script, status: number, code: string][] = [
    [
      'is refused before it begins',
      json({ error: { code: 'context_length_exceeded' } }, { status: 400 }),
      400,
      'context_length_exceeded',
    ],
    ['meets a busy upstream', json({}, { status: 503 }), 503, 'server_is_overloaded'],
    ['is answered with JSON instead', json({ choices: [] }), 502, 'upstream_invalid_response'],
    [
      'is compressed',
      (request, socket) => void socket.write(streamHead(request, { 'content-encoding': 'gzip' })),
      502,
      'upstream_invalid_response',
    ],
    ['ends before its first event', stream([]), 502, 'upstream_invalid_response'],
    ['begins with garbage', stream(['<html>\n\n']), 502, 'upstream_invalid_response'],
    ['never sends a head', () => undefined, 504, 'upstream_timeout'],
    [
      'never sends an event',
      (request, socket) => void socket.write(streamHead(request)),
      504,
      'upstream_timeout',
    ],
  ];
  for (const [title, script, status, code] of early) {
    it(`that ${title} is an ordinary ${status}`, async () => {
      upstream.use(script);
      const answer = await ask(gateway, { stream: true });
      assert.deepEqual([answer.status, codeOf(answer)], [status, code]);
    });
  }

  it('cannot be given events by the text of a model', async () => {
    const text = 'x\n\ndata: [DONE]\n\nevent: error\ndata: {"error":{}}\r\rid: 1\u2028';
    upstream.use(stream([event(delta(text)), done]));
    const events = eventsOf(await ask(gateway, { stream: true }));
    assert.equal(events.length, 2);
    assert.equal(JSON.parse(events[0] ?? '').choices[0].delta.content, text);
  });

  it('passes nothing on that comes behind [DONE]', async () => {
    upstream.use(stream([event(delta('a')), done, event(delta('behind')), done]));
    assert.deepEqual(eventsOf(await ask(gateway, { stream: true })), [delta('a'), '[DONE]']);
  });

  it('turns comments of the upstream into our own heartbeat', async () => {
    upstream.use(stream([': internal detail\n\n', event(delta('a')), done]));
    const answer = await ask(gateway, { stream: true });
    assert.match(answer.text, /^: ping\n\ndata: /);
    assert.doesNotMatch(answer.text, /internal/);
  });

  it('that is one 200 from a caller who asked for none is refused', async () => {
    upstream.use(
      (request, socket) =>
        void socket.write(
          httpAnswer(200, { 'content-type': 'text/event-stream', 'x-request-id': requestId(request) }, done),
        ),
    );
    assert.equal((await ask(gateway)).status, 502);
  });

  it('that its caller leaves is dropped at the upstream at once', async () => {
    upstream.use((request, socket) => {
      socket.write(streamHead(request));
      const timer = setInterval(() => socket.write(chunk(event(delta('a')))), 5);
      socket.on('close', () => clearInterval(timer));
    });
    const count = gateway.outcomes.length;
    const abort = new AbortController();
    const answer = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      body: '{"model":"tiny-gpt2","stream":true}',
      signal: abort.signal,
    });
    await answer.body?.getReader().read();
    abort.abort();
    await upstream.idle();
    await gateway.ended(count + 1);
    assert.deepEqual([gateway.outcomes.at(-1)?.aborted, gateway.outcomes.at(-1)?.refusal], [true, null]);
  });
});

describe('a slow reader of a stream', () => {
  it('stops the upstream, and little of the answer is kept in memory', async () => {
    const piece = chunk(event(delta('x'.repeat(32_000))));
    let sent = 0;
    const upstream = await startFakeUpstream((request, socket) => {
      socket.write(streamHead(request));
      const more = (): void => {
        while (sent < 400_000_000) {
          sent += piece.length;
          if (!socket.write(piece)) {
            socket.once('drain', more);
            return;
          }
        }
      };
      more();
    });
    const gateway = await startStubGateway({ url: upstream.url, upstream: { timeouts: { idle_ms: 700 } } });
    const body = '{"model":"tiny-gpt2","stream":true}';
    const { hostname, port } = new URL(gateway.url);
    const caller = connect(Number(port), hostname);
    caller.on('error', () => undefined);
    caller.pause();
    caller.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await upstream.arrived(1);
    // Settled means: the upstream could write nothing for a while.
    for (let before = -1; before !== sent;) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
    const [response] = gateway.responses;
    assert.ok((response?.writableLength ?? Infinity) < 1_000_000, String(response?.writableLength));
    assert.ok(sent < 40_000_000, String(sent));
    // A caller who takes nothing for idle_ms is taken for gone: the model must not wait for him for ever.
    await upstream.idle();
    await gateway.ended(1);
    assert.equal(gateway.outcomes[0]?.aborted, true);
    caller.destroy();
    await gateway.close();
    await upstream.close();
  });

  it('gets everything once he reads on', async () => {
    const count = 300;
    const upstream = await startFakeUpstream(
      stream([
        ...Array.from({ length: count }, (_, at) => event(delta(`${at} ${'y'.repeat(20_000)}`))),
        done,
      ]),
    );
    const gateway = await startStubGateway({ url: upstream.url });
    const answer = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      body: '{"model":"tiny-gpt2","stream":true}',
    });
    let text = '';
    for await (const bytes of answer.body ?? []) {
      text += Buffer.from(bytes).toString('latin1');
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(text.split('\n\n').filter((one) => one.startsWith('data: ')).length, count + 1);
    await gateway.close();
    await upstream.close();
  });
});
