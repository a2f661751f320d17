import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { foldByDefinition, foldText } from '../../../gateway/guard/fold-text.ts';

// The matcher folds ASCII letters by itself, so the fast way may leave them.
const lowered = (text: string): string => foldText(text).replaceAll(/[A-Z]+/g, (run) => run.toLowerCase());
const points = (text: string): string =>
  Array.from(text, (letter) => letter.codePointAt(0)?.toString(16)).join(' ');

function assertFolded(text: string): void {
  if (lowered(text) !== foldByDefinition(text))
    assert.equal(points(lowered(text)), points(foldByDefinition(text)), `of ${points(text)}`);
}

/** Numbers in [0, below) that are the same in every run. */
function sequence(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * below);
  };
}

/** Units whose folding depends on what stands beside them, or that are several, none or halves. */
const difficult = [
  ...[
    'i',
    'I',
    'İ',
    'ı',
    '\u0307',
    'Σ',
    'ς',
    'σ',
    '\u0345',
    '\u0334',
    '\u0301',
    '\u0323',
    '\u3099',
    '\u0e48',
    '\u094d',
  ],
  ...[
    '\u200d',
    '\ufe0f',
    '\u00ad',
    '\0',
    '\x7f',
    '\n',
    ' ',
    'A',
    'ö',
    'Ö',
    'Å',
    '½',
    'ﬃ',
    'ำ',
    'ｶ',
    'ﾞ',
    '가',
    '\u1100',
  ],
  ...[
    '\u1161',
    '\u11a8',
    '👍',
    '🏽',
    '👨‍👩‍👧',
    '\ud83d',
    '\udc4d',
    '𝐀',
    '𠀀',
    '\u{2f800}',
    '\u{e0041}',
    '\u{11131}',
  ],
  ...['\u{11127}', '\u{110ba}', '\u{16d63}', '\u{16d67}', '\u{1f130}', '\u{1fbf0}', '\u{10400}'],
];

describe('folding', () => {
  it('folds each unit as the definition does, alone and between letters and marks', () => {
    for (let unit = 0; unit < 0x1_0000; unit++) {
      const letter = String.fromCharCode(unit);
      for (const text of [
        letter,
        `a${letter}b`,
        `é\u0323${letter}\u0301`,
        `${letter}\u0e48${letter}`,
        `İ${letter}`,
      ])
        assertFolded(text);
    }
  });

  it('folds each character beyond the basic plane as the definition does', () => {
    for (let point = 0x1_0000; point < 0x3_4000; point++)
      assertFolded(`a${String.fromCodePoint(point)}\u0301`);
    for (let point = 0xe_0000; point < 0xe_0200; point++)
      assertFolded(`a${String.fromCodePoint(point)}\u0301`);
  });

  it('folds texts of difficult neighbours as the definition does', () => {
    const next = sequence(7);
    for (let round = 0; round < 20_000; round++) {
      let text = '';
      for (let length = next(round % 100 === 0 ? 3_000 : 8) + 1; length > 0; length--)
        text += next(3) > 0 ? (difficult[next(difficult.length)] ?? '') : String.fromCharCode(next(0x1_0000));
      assertFolded(text);
    }
  });

  it('folds texts that are longer than its memory, and leaves nothing of one text in the next', () => {
    const long = 'Съешь ещё этих мягких ﬁﬂ булок ½ 👨‍👩‍👧 '.repeat(3_000);
    assertFolded(long);
    assertFolded('Ö');
    assertFolded(`${long.slice(0, 65_535)}e\u0301`);
    assertFolded('');
  });
});
