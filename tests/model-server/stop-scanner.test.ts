import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createStopScanner } from '../../model-server/engine/stop-scanner.ts';

function scan(stopTexts: string[], pieces: string[]): { text: string; stopped: boolean } {
  const scanner = createStopScanner(stopTexts);
  let text = '';
  for (const piece of pieces) {
    const scanned = scanner.push(piece);
    text += scanned.text;
    if (scanned.stopped) return { text, stopped: true };
  }
  return { text: text + scanner.flush(), stopped: false };
}

/** Every way to cut a text into pieces would be 2^n; each single and double cut finds the mistakes. */
function cuts(text: string): string[][] {
  const ways: string[][] = [[text], Array.from(text)];
  for (let first = 1; first < text.length; first++) {
    for (let second = first; second < text.length; second++)
      ways.push([text.slice(0, first), text.slice(first, second), text.slice(second)]);
  }
  return ways;
}

describe('stop texts', () => {
  const cases: readonly [text: string, stop: string[], expected: string][] = [
    ['one two three', ['two'], 'one '],
    ['one two three', ['three', 'two'], 'one '],
    ['aaab', ['aab'], 'a'],
    ['abcabd', ['abd'], 'abc'],
    ['x\nUser: hello', ['\nUser:'], 'x'],
    ['xabcx', ['abc', 'b'], 'xa'],
    ['xabcx', ['bc', 'abc'], 'x'],
    ['no stop here', ['elsewhere'], 'no stop here'],
    ['ends like els', ['elsewhere'], 'ends like els'],
    ['no stop texts', [], 'no stop texts'],
  ];
  for (const [text, stop, expected] of cases) {
    it(`cuts ${JSON.stringify(text)} at ${JSON.stringify(stop)} the same, however it comes in pieces`, () => {
      for (const pieces of cuts(text))
        assert.equal(scan(stop, pieces).text, expected, JSON.stringify(pieces));
      assert.equal(scan(stop, [text]).stopped, expected !== text);
    });
  }
});
