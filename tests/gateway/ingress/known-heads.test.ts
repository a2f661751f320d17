// A head that came before is found by its bytes: all of them, so that none is taken for another.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
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

  // As tokens do, each differs from the others all over.
  const headOf = (caller: number): Buffer =>
    Buffer.from(
      text.replace(/a{900}/, createHash('shake256', { outputLength: 450 }).update(`${caller}`).digest('hex')),
    );
  const isKept = (heads: KnownHeads, caller: number): boolean =>
    heads.find(headOf(caller), headOf(caller).length)?.isKept === true;
  const comeTwice = (heads: KnownHeads, first: number, count: number): void => {
    for (let sight = 0; sight < 2; sight++) for (let at = 0; at < count; at++) isKept(heads, first + at);
  };

  it('are all kept when some hundred callers come in turn', () => {
    const heads = new KnownHeads();
    comeTwice(heads, 0, 200);
    assert.deepEqual(
      Array.from({ length: 200 }, (_, caller) => caller).filter((caller) => !isKept(heads, caller)),
      [],
    );
  });

  it('stay while they are used, however many others come, and give way when they are not', () => {
    const heads = new KnownHeads();
    comeTwice(heads, 0, 10);
    for (let caller = 1_000; caller < 9_000; caller++) comeTwice(heads, caller, 1);
    for (let caller = 0; caller < 10; caller++) assert.equal(isKept(heads, caller), true);
    for (let turn = 0; turn < 2; turn++) heads.turn();
    for (let caller = 20_000; caller < 28_000; caller++) comeTwice(heads, caller, 1);
    const left = Array.from({ length: 10 }, (_, caller) => caller).filter((caller) => isKept(heads, caller));
    assert.deepEqual(left, []);
  });
});
