// Finds any of many words in a text in one pass: an Aho–Corasick automaton over UTF-16 units, so the time is linear in
// the text whatever the words are. It starts only where a word may begin (word-strides.ts), and no unit is read twice by
// it. Letter case of ASCII is folded here, all else by fold-text.ts.
import { compileStrides } from './word-strides.ts';

/** Index of the first denied word that stands in the text as a word of its own, or -1. */
export type WordMatcher = (text: string) => number;

/** A state of the trie: which word ends here, and the states that follow by letter class. */
interface Node {
  readonly next: Map<number, number>;
  /** Index of the word that ends here, or -1. */
  word: number;
}

/** The automaton as flat tables; state 0 is the start. */
interface Automaton {
  /** Next state by `state * width + letter`, suffix links already followed. */
  readonly table: Int32Array;
  /** The first state at which a word ends, itself or on its suffix chain; 0 is none. */
  readonly firstEnds: Int32Array;
  /** The same for the suffixes of a state alone. */
  readonly suffixEnds: Int32Array;
}

/** Compiles folded words; @returns a matcher that allocates nothing. */
export function compileWords(words: readonly string[]): WordMatcher {
  const { classOf, asciiClasses, width } = letterClasses(words);
  const nodes = plantWords(words, classOf);
  const { table, firstEnds, suffixEnds } = link(nodes, width);
  const ends = Int32Array.from(nodes, (node) => node.word);
  const lengths = Int32Array.from(words, (word) => word.length);
  const strides = compileStrides(words);

  /** The word that ends here and stands alone, or -1. */
  const wordAt = (text: string, state: number, index: number): number => {
    for (let end = firstEnds[state] ?? 0; end !== 0; end = suffixEnds[end] ?? 0) {
      const word = ends[end] ?? -1;
      if (standsAlone(text, index + 1 - (lengths[word] ?? 0), index + 1)) return word;
    }
    return -1;
  };

  return (text) => {
    let state = 0;
    for (let index = 0; index < text.length; index++) {
      // No word is under way: on to where the next one may begin.
      if (state === 0 && strides !== null) index = strides(text, index);
      if (index >= text.length) return -1;
      const unit = text.charCodeAt(index);
      const letter = unit < 128 ? (asciiClasses[unit] ?? 0) : (classOf.get(unit) ?? 0);
      state = letter === 0 ? 0 : (table[state * width + letter] ?? 0);
      const word = firstEnds[state] === 0 ? -1 : wordAt(text, state, index);
      if (word !== -1) return word;
    }
    return -1;
  };
}

/** Numbers the letters that occur in words, so that the table is small; 0 is every other letter. */
function letterClasses(words: readonly string[]): {
  classOf: ReadonlyMap<number, number>;
  asciiClasses: Uint16Array;
  width: number;
} {
  const classOf = new Map<number, number>();
  for (const word of words) {
    for (let index = 0; index < word.length; index++) {
      const unit = word.charCodeAt(index);
      if (!classOf.has(unit)) classOf.set(unit, classOf.size + 1);
    }
  }
  const asciiClasses = new Uint16Array(128);
  for (let unit = 0; unit < 128; unit++) {
    const lower = unit >= 65 && unit <= 90 ? unit + 32 : unit;
    asciiClasses[unit] = classOf.get(lower) ?? 0;
  }
  return { classOf, asciiClasses, width: classOf.size + 1 };
}

function plantWords(words: readonly string[], classOf: ReadonlyMap<number, number>): Node[] {
  const root: Node = { next: new Map(), word: -1 };
  const nodes = [root];
  for (const [index, word] of words.entries()) {
    let node = root;
    for (let at = 0; at < word.length; at++) {
      const letter = classOf.get(word.charCodeAt(at)) ?? 0;
      const following = node.next.get(letter);
      const next =
        following === undefined ? { next: new Map<number, number>(), word: -1 } : (nodes[following] ?? root);
      if (following === undefined) node.next.set(letter, nodes.push(next) - 1);
      node = next;
    }
    if (node !== root && node.word === -1) node.word = index;
  }
  return nodes;
}

/** Breadth-first, so that a state's longest proper suffix is complete before the state is. */
function link(nodes: readonly Node[], width: number): Automaton {
  const table = new Int32Array(nodes.length * width);
  const firstEnds = new Int32Array(nodes.length);
  const suffixEnds = new Int32Array(nodes.length);
  const suffixes = new Int32Array(nodes.length);
  const queue = [0];
  for (const state of queue) {
    const suffix = suffixes[state] ?? 0;
    suffixEnds[state] = firstEnds[suffix] ?? 0;
    firstEnds[state] = nodes[state]?.word === -1 ? (suffixEnds[state] ?? 0) : state;
    for (let letter = 1; letter < width; letter++) {
      const onSuffix = state === 0 ? 0 : (table[suffix * width + letter] ?? 0);
      const child = nodes[state]?.next.get(letter);
      table[state * width + letter] = child ?? onSuffix;
      if (child === undefined) continue;
      suffixes[child] = onSuffix;
      queue.push(child);
    }
  }
  return { table, firstEnds, suffixEnds };
}

const wordCharacter = /[\p{L}\p{N}\p{M}_]/u;
// Scripts that write words without blanks between them: there a neighbouring letter is no sign of a longer word.
const unspacedScript =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;

/** Whether the text from start to end is not a part of a longer word. */
function standsAlone(text: string, start: number, end: number): boolean {
  return isBoundary(before(text, start), at(text, start)) && isBoundary(before(text, end), at(text, end));
}

function isBoundary(left: string, right: string): boolean {
  if (!wordCharacter.test(left) || !wordCharacter.test(right)) return true;
  return unspacedScript.test(left) || unspacedScript.test(right);
}

const at = (text: string, index: number): string =>
  index < text.length ? String.fromCodePoint(text.codePointAt(index) ?? 0) : '';

function before(text: string, index: number): string {
  if (index <= 0) return '';
  const isLowSurrogate = (text.charCodeAt(index - 1) & 0xfc00) === 0xdc00;
  return at(text, isLowSurrogate && index >= 2 ? index - 2 : index - 1);
}
