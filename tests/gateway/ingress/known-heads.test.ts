// A head that came before is found by its bytes: all of them, so that none is taken for another.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KnownHeads } from '../../../gateway/ingress/known-heads.ts';

const text = `POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${'a'.repeat(900)}\r\ncontent-length: 12`;

describe('heads that came lately', () => {
  it('are kept from the second time on: a token that comes once leaves nothing behind', () => {
    const heads = new KnownHeads();
    const first = heads.find(Buffer.from(text), text.length);
    assert.equal(first?.isKept, false);
    const second = heads.find(Buffer.from(text), text.length);
    assert.notEqual(second, first);
    assert.equal(second?.isKept, true);
    assert.equal(heads.find(Buffer.from(text), text.length), second);
  });

  it('are the same object for the same bytes, wherever these lie', () => {
    const heads = new KnownHeads();
    heads.find(Buffer.from(text), text.length);
    const first = heads.find(Buffer.from(text), text.length);
    const more = Buffer.from(`${text}\r\n\r\n{"model":1}`);
    assert.notEqual(first, null);
    assert.equal(heads.find(more, text.length), first);
  });

  it('are not taken for one that differs in a single byte', () => {
    const heads = new KnownHeads();
    for (let sight = 0; sight < 2; sight++) heads.find(Buffer.from(text), text.length);
    const start = text.indexOf('aaa');
    for (let at = start; at < start + 900; at++) {
      const changed = `${text.slice(0, at)}b${text.slice(at + 1)}`;
      const found = heads.find(Buffer.from(changed), changed.length);
      assert.equal(found?.headers.authorization, `Bearer ${changed.slice(start, start + 900)}`);
    }
  });

  it('are not taken for one that is longer or shorter by a byte', () => {
    const heads = new KnownHeads();
    for (let sight = 0; sight < 2; sight++) heads.find(Buffer.from(text), text.length);
    for (const length of ['1', '123'])
      assert.equal(
        heads.find(Buffer.from(text.replace(/12$/, length)), text.length + length.length - 2)?.bodyBytes,
        Number(length),
      );
  });

  it('do not change when the memory that they were read from does', () => {
    const heads = new KnownHeads();
    const bytes = Buffer.from(text);
    heads.find(bytes, text.length);
    const head = heads.find(bytes, text.length);
    bytes.fill(0x62, text.indexOf('aaa'), text.indexOf('aaa') + 900);
    assert.notEqual(heads.find(bytes, text.length), head);
    assert.equal(heads.find(Buffer.from(text), text.length), head);
  });
});
