import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mayBecomeHead, readHead } from '../../../gateway/ingress/head.ts';

const lines = [
  'POST /v1/chat/completions?api-version=1 HTTP/1.1',
  'Host: localhost:8080',
  'Content-Type: application/json',
  'Authorization: Bearer abc.def-ghi',
  'Content-Length: 12',
];
const withField = (field: string): string => [...lines, field].join('\r\n');
const withLine = (line: string): string => [line, ...lines.slice(1)].join('\r\n');
const withHost = (host: string): string =>
  lines.map((line) => (line.startsWith('Host') ? host : line)).join('\r\n');
const withLength = (length: string): string =>
  [...lines.slice(0, 4), `Content-Length: ${length}`].join('\r\n');

describe('a head of the simple shape', () => {
  it('is read as node:http reads it', () => {
    const head = readHead(`${withField('X-A:\t a\tb  ')}\r\nconnection: Keep-Alive\r\nempty:`);
    assert.ok(head);
    assert.equal(head.url, '/v1/chat/completions?api-version=1');
    assert.equal(head.bodyBytes, 12);
    assert.equal(head.isLast, false);
    assert.deepEqual(head.headers, {
      host: 'localhost:8080',
      'content-type': 'application/json',
      authorization: 'Bearer abc.def-ghi',
      'content-length': '12',
      'x-a': 'a\tb',
      connection: 'Keep-Alive',
      empty: '',
    });
    assert.deepEqual(head.rawHeaders.slice(-6), ['X-A', 'a\tb', 'connection', 'Keep-Alive', 'empty', '']);
  });
  it('may ask for the end of the connection', () => {
    assert.equal(readHead(withField('Connection: CLOSE'))?.isLast, true);
  });
  it('cannot be changed by a stage, since other requests share it', () => {
    const head = readHead(lines.join('\r\n'));
    assert.ok(head);
    assert.throws(() => Object.assign(head.headers, { authorization: 'x' }), TypeError);
    assert.throws(() => (head.rawHeaders as string[]).push('x'), TypeError);
  });
  it('keeps names of object members apart from them', () => {
    const head = readHead(`${withField('constructor: 1')}\r\ntoString: 2\r\nhasOwnProperty: 3`);
    assert.equal(head?.headers['constructor'], '1');
    assert.equal(head.headers['tostring'], '2');
  });
});

describe('a head is left to node:http', () => {
  const cases: Readonly<Record<string, string>> = {
    'with another method': withLine('GET /v1/chat/completions HTTP/1.1'),
    'with a method in lower case': withLine('post /v1/chat/completions HTTP/1.1'),
    'in HTTP/1.0': withLine('POST /v1/chat/completions HTTP/1.0'),
    'in a version that there is not': withLine('POST /v1/chat/completions HTTP/1.11'),
    'with a version in lower case': withLine('POST /v1/chat/completions http/1.1'),
    'without a version': withLine('POST /v1/chat/completions'),
    'with two blanks before the target': withLine('POST  /v1/chat/completions HTTP/1.1'),
    'with a tab before the target': withLine('POST\t/v1/chat/completions HTTP/1.1'),
    'with a blank behind the version': withLine('POST /v1/chat/completions HTTP/1.1 '),
    'with a blank in the target': withLine('POST /v1/chat completions HTTP/1.1'),
    'with an absolute target': withLine('POST http://localhost/v1/chat/completions HTTP/1.1'),
    'with a target beyond ASCII': withLine('POST /v1/ch\xe4t HTTP/1.1'),
    'behind an empty line': `\r\n${lines.join('\r\n')}`,
    'of a request line alone': lines[0] ?? '',
    'with an obsolete line folding': withField('X-A: a\r\n b'),
    'with a bare CR': withField('X-A: a\rb'),
    'with a bare LF': withField('X-A: a\nb'),
    'with a NUL': withField('X-A: a\0b'),
    'with a DEL': withField('X-A: a\x7fb'),
    'with a control character': withField('X-A: a\x0bb'),
    'with a byte beyond ASCII': withField('X-A: \xe9'),
    'with a field without a colon': withField('X-A'),
    'with an empty name': withField(': a'),
    'with a blank before the colon': withField('X-A : a'),
    'with a tab before the colon': withField('X-A\t: a'),
    'with a blank before the name': withField(' X-A: a'),
    'with an underscore in a name': withField('X_A: a'),
    'with a name that few send': withField("X'A: a"),
    'with a name beyond ASCII': withField('X-\xe9: a'),
    'with __proto__': withField('__proto__: a'),
    'with a field twice': `${withField('X-A: a')}\r\nx-a: a`,
    'with two credentials': withField('authorization: Bearer other'),
    'without Host': withHost('X-Host: localhost'),
    'with an empty Host': withHost('Host:'),
    'with two Hosts': withField('host: localhost'),
    'with a Host that names a user': withHost('Host: root@localhost'),
    'with a list of Hosts': withHost('Host: localhost, other'),
    'with a path in Host': withHost('Host: localhost/x'),
    'with a port that there is not': withHost('Host: localhost:65536'),
    'without Content-Length': lines.slice(0, 4).join('\r\n'),
    'with two Content-Lengths': withField('Content-Length: 12'),
    'with a list of lengths': withLength('12, 12'),
    'with a signed length': withLength('+12'),
    'with a negative length': withLength('-12'),
    'with a hexadecimal length': withLength('0x12'),
    'with an exponent as length': withLength('1e3'),
    'with a fraction as length': withLength('12.0'),
    'with leading zeros in the length': withLength('012'),
    'with a length of nine digits': withLength('123456789'),
    'with an empty length': withLength(''),
    'with a length of words': withLength('twelve'),
    'with blanks in the length': withLength('1 2'),
    'with Transfer-Encoding': withField('Transfer-Encoding: chunked'),
    'with a transfer coding that changes nothing': withField('transfer-encoding: identity'),
    'with Expect': withField('Expect: 100-continue'),
    'with Upgrade': withField('Upgrade: websocket'),
    'with Trailer': withField('Trailer: X-A'),
    'with TE': withField('TE: trailers'),
    'with Proxy-Connection': withField('Proxy-Connection: keep-alive'),
    'with HTTP2-Settings': withField('HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA'),
    'with a Connection that names fields': withField('Connection: keep-alive, X-A'),
    'with Connection: upgrade': withField('Connection: upgrade'),
    'with an empty Connection': withField('Connection:'),
    'of 101 fields': withField(Array.from({ length: 97 }, (_, index) => `a${index}: 1`).join('\r\n')),
  };
  for (const [title, text] of Object.entries(cases)) {
    it(title, () => assert.equal(readHead(text), null));
  }
  it('but not one of 100 fields', () => {
    assert.ok(readHead(withField(Array.from({ length: 96 }, (_, index) => `a${index}: 1`).join('\r\n'))));
  });
});

describe('the beginning of a head', () => {
  const whole = withField('X-A: b');
  it('is waited for at every byte from the path on', () => {
    for (let length = 'POST /'.length; length <= whole.length; length++)
      assert.ok(mayBecomeHead(whole.slice(0, length)), whole.slice(0, length));
    assert.ok(mayBecomeHead(`${whole}\r\n`) && mayBecomeHead(`${whole}\r\n\r`));
  });
  const begun = `${lines.slice(0, 3).join('\r\n')}\r\n`;
  for (const text of [
    '',
    'P',
    'POST',
    'GET / HTTP/1.1\r\nHost: x',
    'POST http://x',
    'POST /v1 X',
    'POST /v1 HTTP/1.0\r\n',
    '\r\nPOST /v1',
    `${begun}X_A`,
    `${begun}X A`,
    `${begun} X`,
    `${begun}:`,
    `${begun}X-A: a\nb`,
    `${begun}X-A: a\rb`,
    `${begun}X-A: \0`,
    `${begun}X-A: \xe9`,
    `${begun}host: other\r\nX`,
    `${begun}Expect: 100-continue\r\nX`,
    `${begun}X-A\r\nX`,
  ]) {
    it(`is left to node:http: ${JSON.stringify(text.slice(-40))}`, () => assert.ok(!mayBecomeHead(text)));
  }
});
