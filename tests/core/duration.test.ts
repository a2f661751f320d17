import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { duration, formatDuration, parseDuration } from '../../core/duration.ts';

describe('a duration', () => {
  for (const [text, expected] of [
    ['500ms', 500],
    ['30s', 30_000],
    ['1m', 60_000],
    ['24h', 86_400_000],
    ['7d', 604_800_000],
    ['0s', 0],
  ] as const) {
    it(`reads ${text}`, () => {
      assert.equal(parseDuration(text), expected);
      assert.equal(duration.parse(text), expected);
    });
  }

  for (const text of [
    '',
    '30',
    '30 s',
    '1.5h',
    '-1s',
    's',
    '1w',
    '1m30s',
    '1e3s',
    '٣s',
    '30S',
    '9999999d',
    '\n30s',
    '30s\n',
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(() => parseDuration(text), /a duration is/);
      assert.equal(duration.safeParse(text).success, false);
    });
  }

  it('refuses a bare number and says what to write instead', () => {
    const parsed = duration.safeParse(30);
    assert.match(parsed.error?.issues[0]?.message ?? '', /such as 30s/);
  });

  it('is written in its largest whole unit', () => {
    assert.deepEqual([60_000, 90_000, 86_400_000, 1_500].map(formatDuration), ['1m', '90s', '1d', '1500ms']);
  });
});
