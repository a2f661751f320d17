import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AnswerFault } from '../../../../gateway/forward/http1/answer-reader.ts';
import { corpus, mutated, randomFrom } from './mutated-answers.ts';
import { readAnswer } from './read-answer.ts';

const sizes = [1, 2, 3, 7, 1_000_000];
const ok = 'HTTP/1.1 200 OK\r\n';
const chunked = `${ok}transfer-encoding: chunked\r\n\r\n`;

describe('the reader of answers takes', () => {
  const good: [title: string, text: string, status: number, body: string][] = [
    ['a length', `${ok}Content-Length: 5\r\n\r\nhello`, 200, 'hello'],
    ['no bytes', `${ok}content-length: 0\r\n\r\n`, 200, ''],
    ['a status without a reason', 'HTTP/1.1 404 \r\ncontent-length: 2\r\n\r\n{}', 404, '{}'],
    ['a reason of any text', 'HTTP/1.1 200 gr\xfc\xdfe \t!\r\ncontent-length: 2\r\n\r\n{}', 200, '{}'],
    ['blanks and tabs around a value', `${ok}x: \t y \t \r\ncontent-length: \t 2\r\n\r\n{}`, 200, '{}'],
    ['an empty value', `${ok}x:\r\ny: \r\ncontent-length: 2\r\n\r\n{}`, 200, '{}'],
    [
      'a name of every token character',
      `${ok}!#$%&'*+-.^_\`|~09azAZ: x\r\ncontent-length: 1\r\n\r\n1`,
      200,
      '1',
    ],
    ['chunks', `${chunked}5\r\nhello\r\n1\r\n \r\n005\r\nworld\r\n0\r\n\r\n`, 200, 'hello world'],
    [
      'a size in either case',
      `${chunked}a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n`,
      200,
      '01234567890123456789',
    ],
    ['a coding in any case', `${ok}Transfer-Encoding:  CHUNKED\r\n\r\n1\r\nx\r\n00000000\r\n\r\n`, 200, 'x'],
    [
      'trailers, which it drops',
      `${chunked}1\r\nx\r\n0\r\nx-request-id: y\r\nContent-Lengths: 9\r\n\r\n`,
      200,
      'x',
    ],
    ['204 and 304 without a body', 'HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n', 304, ''],
    [
      'interim answers, which it skips',
      `HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 102 x\r\n\r\n${ok}content-length: 1\r\n\r\nx`,
      200,
      'x',
    ],
    ['HTTP/1.0 with a length', 'HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx', 200, 'x'],
  ];
  for (const [title, text, status, body] of good) {
    it(`${title}, however it is cut`, () => {
      for (const size of sizes) {
        const answer = readAnswer(text, { size });
        assert.deepEqual(
          [answer.fault, answer.head?.status, answer.body, answer.hasEnded, answer.hasSurplus],
          [null, status, body, true, false],
          String(size),
        );
      }
    });
  }

  it('a body without a length until the connection ends, and not a byte less', () => {
    for (const size of sizes) {
      assert.equal(readAnswer(`${ok}\r\nhello`, { size }).hasEnded, false);
      const answer = readAnswer(`${ok}\r\nhello`, { size, closes: true });
      assert.deepEqual([answer.fault, answer.body, answer.hasEnded], [null, 'hello', true]);
    }
  });

  it('the fields that somebody reads, in lower case, and forgets the others', () => {
    const text = `${ok}SERVER: x\r\nContent-Type: text/plain; charset=x\r\nX-Request-ID: req_1\r\nRETRY-AFTER: 7\r\nretry-after: 8\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n`;
    const { head } = readAnswer(text);
    const stated = Object.entries(head?.headers ?? {}).filter(([, value]) => value !== undefined);
    assert.deepEqual(Object.fromEntries(stated), {
      'content-type': 'text/plain; charset=x',
      'content-length': '0',
      'x-request-id': 'req_1',
      'retry-after': '7, 8',
    });
  });

  it('a doubled request id as no echo of either', () => {
    const { head } = readAnswer(`${ok}x-request-id: a\r\nx-request-id: a\r\ncontent-length: 0\r\n\r\n`);
    assert.equal(head?.headers['x-request-id'], 'a, a');
  });

  it('the end of a connection from HTTP/1.0 and from `close` among other options', () => {
    const closes = (line: string): boolean | undefined => readAnswer(`${line}\r\n\r\n`).head?.closes;
    assert.equal(closes('HTTP/1.0 200 OK\r\nconnection: keep-alive'), true);
    assert.equal(closes('HTTP/1.1 200 OK\r\nconnection: x, ClosE'), true);
    assert.equal(closes('HTTP/1.1 200 OK\r\nconnection: keep-alive\r\nconnection: close'), true);
    assert.equal(closes('HTTP/1.1 200 OK\r\nconnection: closed'), false);
    assert.equal(closes('HTTP/1.1 200 OK'), false);
  });

  it('bytes behind the answer as none of it', () => {
    for (const text of [
      `${ok}content-length: 2\r\n\r\n{}H`,
      `${chunked}2\r\n{}\r\n0\r\n\r\nH`,
      'HTTP/1.1 204 x\r\n\r\nH',
    ]) {
      const { hasEnded, hasSurplus, body, fault } = readAnswer(text);
      assert.deepEqual([fault, hasEnded, hasSurplus], [null, true, true]);
      assert.ok(['{}', ''].includes(body));
    }
  });
});

describe('the reader of answers refuses', () => {
  const head = (field: string): string => `${ok}${field}\r\ncontent-length: 2\r\n\r\n{}`;
  const bad: [title: string, text: string, fault: AnswerFault][] = [
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n', 'bad_status_line'],
    ['another spelling of it', 'http/1.1 200 OK\r\n\r\n', 'bad_status_line'],
    ['HTTP/2.0', 'HTTP/2.0 200 OK\r\n\r\n', 'bad_status_line'],
    ['HTTP/1.2', 'HTTP/1.2 200 OK\r\n\r\n', 'bad_status_line'],
    ['HTTP/1.10', 'HTTP/1.10 200 OK\r\n\r\n', 'bad_status_line'],
    ['ICY', 'ICY 200 OK\r\n\r\n', 'bad_status_line'],
    ['an empty line before the status line', `\r\n${ok}\r\n`, 'bad_status_line'],
    ['two blanks before the status', 'HTTP/1.1  200 OK\r\n\r\n', 'bad_status_line'],
    ['a tab before the status', 'HTTP/1.1\t200 OK\r\n\r\n', 'bad_status_line'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n', 'bad_status_line'],
    ['a status of four digits', 'HTTP/1.1 2000 OK\r\n\r\n', 'bad_status_line'],
    ['a status that is no number', 'HTTP/1.1 2x0 OK\r\n\r\n', 'bad_status_line'],
    ['status 000', 'HTTP/1.1 000 OK\r\n\r\n', 'bad_status_line'],
    ['status 099', 'HTTP/1.1 099 OK\r\n\r\n', 'bad_status_line'],
    ['status 600', 'HTTP/1.1 600 OK\r\n\r\n', 'bad_status_line'],
    ['no blank behind the status', 'HTTP/1.1 200\r\n\r\n', 'bad_status_line'],
    ['a NUL in the reason', 'HTTP/1.1 200 O\0K\r\n\r\n', 'bad_status_line'],
    ['a status line ended by LF', 'HTTP/1.1 200 OK\n\r\n', 'bad_status_line'],
    ['a status line ended by CR', 'HTTP/1.1 200 OK\r\r\n', 'bad_status_line'],
    ['a field ended by LF', head('x: y\nz: a'), 'bad_field'],
    ['a field ended by CR', head('x: y\rz: a'), 'bad_field'],
    ['a head ended by LF', `${ok}content-length: 2\r\n\n{}`, 'bad_field'],
    ['a head ended by CR', `${ok}content-length: 2\r\n\r{}`, 'bad_field'],
    ['a NUL in a value', head('x: a\0b'), 'bad_field'],
    ['a NUL in a name', head('x\0: b'), 'bad_field'],
    ['an escape in a value', head('x: \x1b[2J'), 'bad_field'],
    ['DEL in a value', head('x: \x7f'), 'bad_field'],
    ['a form feed before a value', head('content-length:\f2'), 'bad_field'],
    ['a vertical tab in a name', head('x\v: 1'), 'bad_field'],
    ['a blank before the colon', head('x : y'), 'bad_field'],
    ['a tab before the colon', head('transfer-encoding\t: chunked'), 'bad_field'],
    ['a folded line', head('x: y\r\n z'), 'bad_field'],
    ['a line folded with a tab', head('x: y\r\n\tz'), 'bad_field'],
    ['a blank before the first field', head(' x: y'), 'bad_field'],
    ['a field without a name', head(': y'), 'bad_field'],
    ['a field without a colon', head('hello'), 'bad_field'],
    ['a name in brackets', head('(x): y'), 'bad_field'],
    ['a name that is not ASCII', head('\xe4: y'), 'bad_field'],
    ['two equal lengths', `${ok}content-length: 2\r\ncontent-length: 2\r\n\r\n{}`, 'two_lengths'],
    ['two lengths', `${ok}content-length: 2\r\nContent-Length: 20\r\n\r\n{}`, 'two_lengths'],
    ['two lengths in one field', `${ok}content-length: 2, 2\r\n\r\n{}`, 'bad_length'],
    ['an empty length', `${ok}content-length:\r\n\r\n{}`, 'bad_length'],
    ['a length with a sign', `${ok}content-length: +2\r\n\r\n{}`, 'bad_length'],
    ['a negative length', `${ok}content-length: -2\r\n\r\n{}`, 'bad_length'],
    ['a hexadecimal length', `${ok}content-length: 0x2\r\n\r\n{}`, 'bad_length'],
    ['a length with an exponent', `${ok}content-length: 2e0\r\n\r\n{}`, 'bad_length'],
    ['a length with a point', `${ok}content-length: 2.0\r\n\r\n{}`, 'bad_length'],
    ['a blank behind a length', `${ok}content-length: 2 \r\n\r\n{}`, 'bad_length'],
    ['a length with a blank in it', `${ok}content-length: 1 2\r\n\r\n{}`, 'bad_length'],
    ['a length beyond all reason', `${ok}content-length: 99999999999999999999\r\n\r\n{}`, 'bad_length'],
    [
      'a length and chunks',
      `${ok}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
      'two_lengths',
    ],
    [
      'chunks and a length',
      `${ok}transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
      'two_lengths',
    ],
    ['two codings', `${ok}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 'bad_transfer_coding'],
    [
      'chunked twice',
      `${ok}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
      'two_lengths',
    ],
    [
      'chunked twice in one field',
      `${ok}transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n`,
      'bad_transfer_coding',
    ],
    ['the coding identity', `${ok}transfer-encoding: identity\r\n\r\n{}`, 'bad_transfer_coding'],
    ['an unknown coding', `${ok}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n`, 'bad_transfer_coding'],
    ['an empty coding', `${ok}transfer-encoding:\r\n\r\n0\r\n\r\n`, 'bad_transfer_coding'],
    [
      'a coding with a parameter',
      `${ok}transfer-encoding: chunked;q=1\r\n\r\n0\r\n\r\n`,
      'bad_transfer_coding',
    ],
    [
      'chunks in HTTP/1.0',
      'HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      'bad_transfer_coding',
    ],
    ['two content types', head('content-type: application/json\r\ncontent-type: text/html'), 'doubled_field'],
    ['two content codings', head('content-encoding: identity\r\ncontent-encoding: gzip'), 'doubled_field'],
    ['a head of more than 16 KiB', head(`x: ${'a'.repeat(17_000)}`), 'head_too_long'],
    ['a head of too many fields', head('a: b\r\n'.repeat(3_000).trimEnd()), 'head_too_long'],
    ['a line that never ends', `${ok}x: ${'a'.repeat(17_000)}`, 'head_too_long'],
    ['interim answers without end', 'HTTP/1.1 103 x\r\n\r\n'.repeat(1_000), 'head_too_long'],
    ['100 Continue, which nobody asked for', 'HTTP/1.1 100 Continue\r\n\r\n', '100'],
    ['another protocol on this connection', 'HTTP/1.1 101 x\r\nupgrade: h2c\r\n\r\n', '101'],
    ['an interim answer with a length', 'HTTP/1.1 103 x\r\ncontent-length: 2\r\n\r\n{}', 'bad_interim'],
    [
      'an interim answer with chunks',
      'HTTP/1.1 103 x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      'bad_interim',
    ],
    [
      'an interim answer that ends the connection',
      `HTTP/1.1 103 x\r\nconnection: close\r\n\r\n${ok}\r\n`,
      'bad_interim',
    ],
    ['an interim answer of HTTP/1.0', `HTTP/1.0 103 x\r\n\r\n${ok}\r\n`, 'bad_interim'],
    ['a chunk without a size', `${chunked}\r\n0\r\n\r\n`, 'bad_chunk'],
    ['a size that is no number', `${chunked}zz\r\n`, 'bad_chunk'],
    ['a size with a sign', `${chunked}+2\r\n{}\r\n0\r\n\r\n`, 'bad_chunk'],
    ['a negative size', `${chunked}-2\r\n{}\r\n0\r\n\r\n`, 'bad_chunk'],
    ['a size with 0x', `${chunked}0x2\r\n{}\r\n0\r\n\r\n`, 'bad_chunk'],
    ['a blank before a size', `${chunked} 2\r\n{}\r\n0\r\n\r\n`, 'bad_chunk'],
    ['a blank behind a size', `${chunked}2 \r\n{}\r\n0\r\n\r\n`, 'bad_chunk'],
    ['a size of nine digits', `${chunked}000000002\r\n{}\r\n0\r\n\r\n`, 'bad_chunk'],
    ['a size that would overflow', `${chunked}ffffffffffffffff2\r\n{}\r\n0\r\n\r\n`, 'bad_chunk'],
    ['a chunk extension', `${chunked}2;a=b\r\n{}\r\n0\r\n\r\n`, 'bad_chunk'],
    ['an extension of the last chunk', `${chunked}2\r\n{}\r\n0;a\r\n\r\n`, 'bad_chunk'],
    ['a size ended by LF', `${chunked}2\n{}\r\n0\r\n\r\n`, 'bad_chunk'],
    ['a size ended by CR', `${chunked}2\r{}\r\n0\r\n\r\n`, 'bad_chunk'],
    ['a chunk shorter than its content', `${chunked}1\r\n{}\r\n0\r\n\r\n`, 'bad_chunk'],
    ['a chunk longer than its content', `${chunked}3\r\n{}\r\n0\r\n\r\n`, 'bad_chunk'],
    ['a chunk ended by LF', `${chunked}2\r\n{}\n0\r\n\r\n`, 'bad_chunk'],
    ['a last chunk ended by LF', `${chunked}2\r\n{}\r\n0\n\n`, 'bad_chunk'],
    ['an end of LF alone', `${chunked}2\r\n{}\r\n0\r\n\n`, 'bad_chunk'],
    ['a trailer without a name', `${chunked}0\r\n: x\r\n\r\n`, 'bad_chunk'],
    ['a trailer with a blank in its name', `${chunked}0\r\nx y: z\r\n\r\n`, 'bad_chunk'],
    ['a length behind the body', `${chunked}0\r\nContent-Length: 2\r\n\r\n`, 'bad_chunk'],
    ['a coding behind the body', `${chunked}0\r\nx: y\r\ntransfer-encoding: x\r\n\r\n`, 'bad_chunk'],
    ['a trailer with a NUL', `${chunked}0\r\nx: \0\r\n\r\n`, 'bad_chunk'],
    ['a folded trailer', `${chunked}0\r\nx: y\r\n z\r\n\r\n`, 'bad_chunk'],
    ['a trailer ended by LF', `${chunked}0\r\nx: y\n\r\n`, 'bad_chunk'],
    ['trailers without end', `${chunked}0\r\n${'x: y\r\n'.repeat(3_000)}\r\n`, 'bad_chunk'],
  ];
  for (const [title, text, fault] of bad) {
    it(`${title}, however it is cut`, () => {
      for (const size of sizes) {
        const answer = readAnswer(text, { size });
        assert.deepEqual([answer.fault, answer.hasEnded], [fault, false], String(size));
      }
    });
  }

  it('an answer that ends too early, wherever it is cut', () => {
    for (const text of [`${ok}content-length: 5\r\n\r\nhello`, `${chunked}5\r\nhello\r\n0\r\nx: y\r\n\r\n`])
      for (let length = 0; length < text.length; length++) {
        const answer = readAnswer(text.slice(0, length), { closes: true });
        assert.deepEqual([answer.fault, answer.hasEnded], ['cut', false], String(length));
      }
  });

  it('what it cannot be long before the line is ended', () => {
    assert.equal(readAnswer('<').fault, 'bad_status_line');
    assert.equal(readAnswer('HTTP/1.1 7').fault, null);
    assert.equal(readAnswer('HTTP/1.1 7a').fault, 'bad_status_line');
    assert.equal(readAnswer(`${ok}x \0`).fault, 'bad_field');
  });
});

describe('the reader of answers', () => {
  it('reads an answer alike however it is cut, also a mutated one', () => {
    const random = randomFrom(Number(process.env['SEED'] ?? 4));
    const texts = [...corpus, ...Array.from({ length: 800 }, () => mutated(random))];
    // Which of two faults is met first may depend on the cut; where the end is may not.
    const reading = (text: string, size: number): object => {
      const { fault, head, body, hasEnded } = readAnswer(text, { size, closes: true });
      return fault === null ? { head, body, hasEnded } : { hasEnded };
    };
    for (const text of texts)
      for (const size of [1, 2 + random(20), 20 + random(200)])
        assert.deepEqual(reading(text, size), reading(text, 1_000_000), JSON.stringify(text.slice(0, 400)));
  });
});
