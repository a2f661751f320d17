// Where in a text one of many words could begin: the search of Wu and Manber, so that most units are never looked at. Of
// a window as long as the shortest word, its last two units say how far on the next word can begin at the earliest.

/** The first place from `from` on where a word may begin; the length of the text or more when there is none. */
export type WordStrides = (text: string, from: number) => number;

const longestStride = 255;
/** Pairs that stop the search; with more of them it only costs. */
const mostStops = 256;

/** The last five bits of each unit: upper and lower case of ASCII are alike, and so are some units that differ. */
const pairOf = (left: number, right: number): number => ((left & 31) << 5) | (right & 31);

/** Compiles folded words; null where there is nothing to gain, with very short or very many words. */
export function compileStrides(words: readonly string[]): WordStrides | null {
  const width = words.reduce((least, word) => Math.min(least, word.length), longestStride);
  const last = width - 1;
  const strides = new Uint8Array(1 << 10).fill(last);
  for (const word of words) {
    for (let index = 1; index < width; index++) {
      const pair = pairOf(word.charCodeAt(index - 1), word.charCodeAt(index));
      strides[pair] = Math.min(strides[pair] ?? 0, last - index);
    }
  }
  if (width < 3 || strides.filter((stride) => stride === 0).length > mostStops) return null;
  return (text, from) => {
    let end = from + last;
    while (end < text.length) {
      const stride = strides[pairOf(text.charCodeAt(end - 1), text.charCodeAt(end))] ?? 0;
      if (stride === 0) return end - last;
      end += stride;
    }
    return text.length;
  };
}
