// One event in one read is written as it came; everything else is taken apart and put together again. Both ways must
// lead to the same bytes and the same end, whatever an upstream sends.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { GatewayError } from '../../../core/errors.ts';
import type { Guarded } from '../../../gateway/exchange.ts';
import { createEventScanner } from '../../../gateway/forward/event-stream.ts';
import { createStreamAnswer } from '../../../gateway/forward/stream-answer.ts';
import { IngressResponse } from '../../../gateway/ingress/response.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const event = (more: object): string =>
  `data: ${JSON.stringify({ id: 'c1', object: 'chat.completion.chunk', model: 'm', choices: [{ index: 0, delta: { content: 'word ' } }], ...more })}\n\n`;
const first = event({});

/** The body that the caller reads, and how the stream ended. */
interface Passed {
  readonly body: string;
  readonly end: string;
  readonly isFirstNoted: boolean;
  readonly usage: number | null;
}

/** Sends these reads through the sink and a real answer. */
function pass(reads: readonly Buffer[], hidesUsage = false): Passed {
  let written = '';
  let end = 'open';
  const response = new IngressResponse({
    isWritable: true,
    keepAliveSeconds: 75,
    write: (text, encoding) => {
      written += Buffer.from(text, encoding).toString('latin1');
      return true;
    },
    writeBytes: () => assert.fail('a stream is written as text'),
    mustEnd: () => false,
    answered: () => undefined,
    cut: () => undefined,
  });
  const outcome: { firstByteAt: number | null; completionTokens: number | null } = {
    firstByteAt: null,
    completionTokens: null,
  };
  // The members that the sink reads.
  const guarded = {
    id: 'req',
    model: 'm',
    response,
    outcome,
    reservation: { headers: {} },
  } as unknown as Guarded;
  const sink = createStreamAnswer(guarded, {
    isOurs: true,
    hidesUsage,
    stallMs: 60_000,
    heartbeatMs: 60_000,
    done: () => (end = 'done'),
    failed: ({ reason }: GatewayError) => (end = `failed: ${String(reason)}`),
  });
  const control = { pause: () => undefined, resume: () => undefined, abort: () => undefined };
  sink.head(200, { 'content-type': 'text/event-stream' }, control);
  for (const bytes of reads) sink.chunk(bytes);
  sink.stop();
  return {
    body: dechunked(written),
    end,
    isFirstNoted: outcome.firstByteAt !== null,
    usage: outcome.completionTokens,
  };
}

/** What the chunks hold; every one of them must be framed exactly. */
function dechunked(written: string): string {
  let at = written.indexOf('\r\n\r\n') + 4;
  if (at === 3) return '';
  let body = '';
  while (at < written.length) {
    const line = written.indexOf('\r\n', at);
    const size = Number.parseInt(written.slice(at, line), 16);
    assert.equal(written.slice(at, line), size.toString(16));
    body += written.slice(line + 2, line + 2 + size);
    assert.equal(written.slice(line + 2 + size, line + 4 + size), '\r\n');
    at = line + 4 + size;
  }
  // Comments that came together are one.
  return body.replaceAll(': ping\n\n', '');
}

const inBytes = (bytes: Buffer): Buffer[] =>
  Array.from({ length: bytes.length }, (_, at) => bytes.subarray(at, at + 1));

describe('an event that comes whole in one read', () => {
  it('reaches the caller as it came', () => {
    const reads = [first, event({ n: 1 }), event({ text: 'ü🎉\u2028' }), 'data: [DONE]\n\n'];
    const passed = pass(reads.map((text) => Buffer.from(text)));
    assert.equal(Buffer.from(passed.body, 'latin1').toString(), reads.join(''));
    assert.deepEqual([passed.end, passed.isFirstNoted], ['done', true]);
  });

  it('is judged like any other: what breaks a stream in pieces breaks it whole', () => {
    const broken = [
      ['data: {"a":1\n\n', 'upstream_stream_not_json'],
      ['data: [1]\n\n', 'upstream_stream_not_json'],
      ['data: "text"\n\n', 'upstream_stream_not_json'],
      ['data: \n\n', 'upstream_stream_not_json'],
      ['data: {"a":"\u0001"}\n\n', 'upstream_stream_not_json'],
      ['data: {}{}\n\n', 'upstream_stream_not_json'],
      ['data: {"error":{"message":"x"}}\n\n', 'upstream_stream_error'],
      ['data: {"error":false}\n\n', 'upstream_stream_error'],
      ['\ufeffdata: {}\n\n', 'upstream_stream_unknown_field'],
      ['date: {}\n\n', 'upstream_stream_unknown_field'],
      [' data: {}\n\n', 'upstream_stream_unknown_field'],
    ] as const;
    for (const [text, reason] of broken) {
      const passed = pass([Buffer.from(first), Buffer.from(text), Buffer.from(event({ n: 9 }))]);
      assert.deepEqual([passed.end, passed.body], [`failed: ${reason}`, first], JSON.stringify(text));
    }
    const latin1 = pass([Buffer.from(first), Buffer.from('data: {"a":"\xff"}\n\n', 'latin1')]);
    assert.equal(latin1.end, 'failed: upstream_stream_not_utf8');
  });

  it('with usage that was asked for on our account is kept back', () => {
    const usage = event({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 7 } });
    const passed = pass([Buffer.from(first), Buffer.from(usage), Buffer.from('data: [DONE]\n\n')], true);
    assert.deepEqual([passed.body, passed.usage], [`${first}data: [DONE]\n\n`, 7]);
  });

  it('is no event of its own where another one is unfinished', () => {
    for (const before of ['data: {"a":1,\n', 'data: {"a"', 'event: x\n', ': note', 'data: {}\r']) {
      const reads = [first, before, event({ n: 1 }), event({ n: 2 }), 'data: [DONE]\n\n'].map((text) =>
        Buffer.from(text),
      );
      assert.deepEqual(pass(reads), pass(inBytes(Buffer.concat(reads))), before);
    }
  });

  it('is not taken from what only looks like one', () => {
    const taken = (text: string | Buffer, maxEventBytes = 1000): string | null => {
      const scanner = createEventScanner(maxEventBytes);
      scanner.push(Buffer.from(first), []);
      return scanner.usualEvent(Buffer.from(text));
    };
    for (const text of ['data: {}\n\n', 'data: {"a":"ü🎉\ufffd\u2028"}\n\n']) assert.equal(taken(text), text);
    for (const text of [
      '',
      '\n',
      '\n\n',
      'data: ',
      'data: {}',
      'data: {}\n',
      'data: {}\n\n\n',
      'data: {\n}\n\n',
      'data: {}\n\ndata: {}\n\n',
      'data: {}\r\n\n',
      'data: {}\n\r\n',
      'data: {\r}\n\n',
      'data:{}\n\n',
      Buffer.from('data: {"a":"\xfc"}\n\n', 'latin1'),
      Buffer.from('data: {"a":"\xed\xa0\x80"}\n\n', 'latin1'),
      Buffer.from('data: {"a":"\xc0\x8a"}\n\n', 'latin1'),
    ])
      assert.equal(taken(text), null, JSON.stringify(text.toString()));
    assert.equal(taken(`data: {"a":"${'a'.repeat(1000)}"}\n\n`), null);
    assert.equal(createEventScanner(1000).usualEvent(Buffer.from('data: {}\n\n')), null);
  });

  it('and the same bytes one by one lead to the same answer, whatever they are', () => {
    const random = seededRandom(20);
    const pick = (from: readonly string[]): string => from[Math.floor(random() * from.length)] ?? '';
    const odd = [
      '\n',
      '\r',
      '\r\n',
      '\0',
      '"',
      '{',
      '}',
      '[',
      ' ',
      ':',
      ',',
      'data: ',
      'ü',
      '\ufeff',
      'd',
      '\xff',
    ];
    const usual = [
      event({ n: 1 }),
      event({ text: 'ü🎉' }),
      event({ usage: null }),
      event({ choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } }),
      event({ error: null }),
      event({ error: 'x' }),
      'data: {}\n\n',
      'data:{}\n\n',
      'data: { "a" :\tnull }\n\n',
      'data: [DONE]\n\n',
      'event: x\ndata: {}\n\n',
      'id: 1\n\n',
    ];
    let whole = 0;
    for (let round = 0; round < 4_000; round++) {
      const texts = Array.from({ length: 1 + Math.floor(random() * 5) }, () => {
        let text = pick(usual);
        if (random() < 0.4) {
          const at = Math.floor(random() * (text.length + 1));
          text = text.slice(0, at) + pick(odd) + text.slice(at + (random() < 0.5 ? 1 : 0));
        }
        return text;
      });
      // Now and then bytes that are no UTF-8.
      const reads = [first, ...texts].map((text) => Buffer.from(text, random() < 0.1 ? 'latin1' : 'utf8'));
      const hidesUsage = random() < 0.5;
      const passed = pass(reads, hidesUsage);
      assert.deepEqual(passed, pass(inBytes(Buffer.concat(reads)), hidesUsage), JSON.stringify(texts));
      if (passed.end === 'open') whole++;
    }
    assert.ok(whole > 500, String(whole));
  });
});
