import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { UpstreamRequest } from '../../../../gateway/forward/connections.ts';
import { maxJoinedBody, RequestWriter } from '../../../../gateway/forward/http1/request-writer.ts';

const request = (changes: Partial<UpstreamRequest> = {}): UpstreamRequest => ({
  method: 'POST',
  path: '/v1/x',
  headers: ['accept', '*/*', 'x-request-id', 'req_1'],
  body: Buffer.from('{"ü":1}'),
  id: 'req_1',
  ...changes,
});
const writer = new RequestWriter('llm.example:8443');
const text = (changes: Partial<UpstreamRequest> = {}, closes = false): string =>
  writer.write(request(changes), closes).toString();

describe('the writer of requests', () => {
  it('writes head and body into one buffer, the length counted in bytes', () => {
    assert.equal(
      text(),
      'POST /v1/x HTTP/1.1\r\nhost: llm.example:8443\r\nconnection: keep-alive\r\naccept: */*\r\nx-request-id: req_1\r\ncontent-length: 8\r\n\r\n{"ü":1}',
    );
  });

  it('says when the connection is to end, also after it said otherwise for the same path', () => {
    assert.match(text({}, true), /\r\nconnection: close\r\n/);
    assert.match(text({}, false), /\r\nconnection: keep-alive\r\n/);
  });

  it('states no length for a request without a body, and 0 for an empty one', () => {
    assert.doesNotMatch(text({ method: 'GET', body: null }), /content-length/);
    assert.match(text({ body: Buffer.alloc(0) }), /content-length: 0\r\n\r\n$/);
  });

  it('leaves a long body to be written by itself', () => {
    assert.match(text({ body: Buffer.alloc(maxJoinedBody + 1) }), /content-length: 65537\r\n\r\n$/);
  });

  it('writes the bytes of a body as they are', () => {
    const body = Buffer.from([0, 0x80, 0xff, 0x0d, 0x0a]);
    assert.ok(writer.write(request({ body }), false).subarray(-5).equals(body));
  });

  it('takes tabs and Latin-1 in a value, one byte each', () => {
    const bytes = writer.write(request({ headers: ['x-a', 'b\t\xe9'] }), false);
    assert.ok(bytes.includes(Buffer.from('x-a: b\t\xe9\r\n', 'latin1')));
  });

  const values = [
    'a\r\nevil: 1',
    'a\nevil: 1',
    'a\rb',
    'a\0b',
    '\x7f',
    '\u0100',
    '\u010d\u010a',
    '\ud83d\ude00',
    '\u2028',
  ];
  for (const value of values) {
    it(`refuses the value ${JSON.stringify(value)} in a known and in an unknown field`, () => {
      assert.throws(() => text({ headers: ['accept', value] }));
      assert.throws(() => text({ headers: ['x-unknown', value] }));
    });
  }

  for (const name of ['', ' x', 'x y', 'x:', 'x\r\ny', 'X-Upper', '\xe4', '\u212a', 'x\0']) {
    it(`refuses the name ${JSON.stringify(name)}`, () => assert.throws(() => text({ headers: [name, 'y'] })));
  }

  for (const name of [
    'host',
    'connection',
    'content-length',
    'transfer-encoding',
    'expect',
    'upgrade',
    'te',
    'trailer',
  ]) {
    it(`refuses ${name}, which is its own to write, also when asked twice`, () => {
      assert.throws(() => text({ headers: [name, 'x'] }));
      assert.throws(() => text({ headers: [name, 'x'] }));
    });
  }

  for (const path of [
    '',
    'x',
    '/a b',
    '/a\r\nb',
    '/a\nb',
    '/\0',
    '/\xe4',
    '/\u0120',
    '//x HTTP/1.1\r\n\r\n',
  ]) {
    it(`refuses the path ${JSON.stringify(path)}`, () => {
      assert.throws(() => text({ path }));
      assert.throws(() => text({ path }));
    });
  }

  for (const host of ['a b', 'a\r\nx: y', 'a\0', '\xe4'])
    it(`refuses the host ${JSON.stringify(host)}`, () => assert.throws(() => new RequestWriter(host)));

  it('forgets paths, names and values before they pile up, and still checks what it forgot', () => {
    const crowded = new RequestWriter('x');
    for (let at = 0; at < 5_000; at++)
      crowded.write(request({ path: `/v1/${at}`, headers: [`x-${at}`, `y${at}`] }), false);
    assert.throws(() => crowded.write(request({ path: '/a b' }), false));
    assert.throws(() => crowded.write(request({ headers: ['host', 'y'] }), false));
    assert.throws(() => crowded.write(request({ headers: ['x-1', 'y1\n'] }), false));
    assert.match(crowded.write(request(), false).toString(), /^POST \/v1\/x HTTP\/1\.1\r\n/);
  });
});
