// Server-sent events however they are cut into chunks.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readEvents } from '../../cli/event-stream.ts';

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += size) yield bytes.subarray(offset, offset + size);
}

async function read(text: string, size: number): Promise<string[]> {
  const events: string[] = [];
  for await (const event of readEvents(inPieces(Buffer.from(text), size))) events.push(event);
  return events;
}

describe('readEvents', () => {
  const text = ': comment\n\ndata: {"a":"é€"}\n\nevent: x\ndata:two\ndata: lines\n\ndata: [DONE]\n\n';
  const expected = ['{"a":"é€"}', 'two\nlines', '[DONE]'];
  for (const size of [1, 2, 3, 7, 1000]) {
    it(`reads the same events from pieces of ${size} bytes, with LF and CRLF`, async () => {
      assert.deepEqual(await read(text, size), expected);
      assert.deepEqual(await read(text.replaceAll('\n', '\r\n'), size), expected);
    });
  }
  it('drops an event that was not ended, as the standard says', async () => {
    assert.deepEqual(await read('data: whole\n\ndata: half', 5), ['whole']);
  });
});
