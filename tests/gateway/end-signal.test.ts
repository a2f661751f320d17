// What ends the work on a request is heard by whoever listens then, once.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RequestSignal } from '../../gateway/end-signal.ts';

function listening(count: number): { signal: RequestSignal; listeners: (() => void)[]; heard: number[] } {
  const signal = new RequestSignal();
  const heard: number[] = [];
  const listeners = Array.from({ length: count }, (_, place) => () => void heard.push(place));
  for (const listener of listeners) signal.addEventListener('abort', listener);
  return { signal, listeners, heard };
}

describe('the signal that ends a request', () => {
  it('is heard once by each listener, in their order, with its first reason', () => {
    const { signal, heard } = listening(3);
    signal.abort('first');
    signal.abort('second');
    assert.deepEqual([heard, signal.reason, signal.aborted], [[0, 1, 2], 'first', true]);
  });

  it('is not heard by a listener that was taken off, the first or a further one', () => {
    for (const place of [0, 1, 2]) {
      const { signal, listeners, heard } = listening(3);
      signal.removeEventListener('abort', listeners[place] ?? assert.fail());
      signal.abort();
      assert.deepEqual(
        heard,
        [0, 1, 2].filter((each) => each !== place),
      );
    }
  });

  it('keeps the order when the first listener was taken off and another came', () => {
    const { signal, listeners, heard } = listening(2);
    signal.removeEventListener('abort', listeners[0] ?? assert.fail());
    signal.addEventListener('abort', () => void heard.push(9));
    signal.abort();
    assert.deepEqual(heard, [1, 9]);
  });

  it('is not heard by who listens afterwards', () => {
    const { signal, heard } = listening(1);
    signal.abort();
    signal.addEventListener('abort', () => void heard.push(9));
    signal.abort();
    assert.deepEqual(heard, [0]);
  });
});
