import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  createEventScanner,
  type StreamEvent,
  type StreamFault,
} from '../../../gateway/forward/event-stream.ts';

function scan(
  text: string | Buffer,
  pieceBytes = 1_000_000,
  maxEventBytes = 1000,
): { texts: string[]; comments: number; fault: StreamFault | null; isBetween: boolean } {
  const scanner = createEventScanner(maxEventBytes);
  const events: StreamEvent[] = [];
  const bytes = Buffer.from(text);
  let fault: StreamFault | null = null;
  for (let at = 0; at < bytes.length && fault === null; at += pieceBytes)
    fault = scanner.push(bytes.subarray(at, at + pieceBytes), events);
  const texts = events.flatMap((event) => (event.kind === 'data' ? [event.text] : []));
  return { texts, comments: events.length - texts.length, fault, isBetween: scanner.isBetweenEvents };
}

describe('the scanner of event streams', () => {
  it('finds the same events however the bytes are cut', () => {
    const text =
      'data: a\n\ndata:b\r\n\r\n: note\r\rdata: c1\rdata:  c2\r\r\ndata: ü🎉\n\nevent: x\nid: 1\nretry: 5\ndata: d\n\ndata\n\n';
    const whole = scan(text.replace('data\n\n', ''));
    assert.deepEqual(whole.texts, ['a', 'b', 'c1\n c2', 'ü🎉', 'd']);
    assert.deepEqual([whole.comments, whole.fault, whole.isBetween], [1, null, true]);
    for (const size of [1, 2, 3, 5]) assert.deepEqual(scan(text.replace('data\n\n', ''), size), whole);
  });

  it('yields nothing before an event is whole', () => {
    for (const text of ['data: a', 'data: a\n', 'data: a\r', '']) assert.deepEqual(scan(text).texts, []);
    assert.equal(scan('data: a\n').isBetween, false);
  });

  const faults: [title: string, text: string | Buffer, fault: StreamFault][] = [
    ['a field it does not know', 'date: a\n\n', 'unknown_field'],
    ['a line without a colon', 'hello\n\n', 'unknown_field'],
    ['a blank before the field', ' data: a\n\n', 'unknown_field'],
    ['upper case', 'DATA: a\n\n', 'unknown_field'],
    ['an event that is too long', `${'data: aaaaaaaaaa\n'.repeat(100)}\n`, 'event_too_long'],
    ['a line that is too long', `data: ${'a'.repeat(1001)}\n\n`, 'event_too_long'],
    ['a line that is too long and not ended', `data: ${'a'.repeat(1001)}`, 'event_too_long'],
    ['a comment that is too long', `: ${'a'.repeat(1001)}`, 'event_too_long'],
    ['bytes that are not UTF-8', Buffer.from('data: \xff\n\n', 'latin1'), 'not_utf8'],
    ['half a character', Buffer.from('data: \xc3\n\n', 'latin1'), 'not_utf8'],
  ];
  for (const [title, text, fault] of faults) {
    it(`stops at ${title}, also byte by byte`, () => {
      assert.equal(scan(text).fault, fault);
      assert.equal(scan(text, 1).fault, fault);
    });
  }

  it('looks at every byte once: a million single bytes are done at once', () => {
    assert.equal(scan(`data: ${'a'.repeat(1_000_000)}\n\n`, 1, 2_000_000).texts[0]?.length, 1_000_000);
  });
});
