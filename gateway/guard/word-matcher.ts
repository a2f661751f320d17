// Finds any of many words in a text in one pass: an Aho–Corasick automaton over UTF-16 units, so the time is linear in
// the text whatever the words are. Letter case of ASCII is folded here, all else by fold-text.ts.

/** Index of the first denied word that stands in the text as a word of its own, or -1. */
export type WordMatcher = (text: string) => number;

interface Node {
  readonly next: Map<number, number>;
  /** Index of the word that ends here, or -1. */
  word: number;
  /** State of the longest proper suffix. */
  fail: number;
  /** Nearest state on the suffix chain at which a word ends, or 0. */
  output: number;
}

/** Compiles folded words; @returns a matcher that allocates nothing. */
export function compileWords(words: readonly string[]): WordMatcher {
  const nodes = linkSuffixes(plantWords(words));
  const { classOf, asciiClasses, width } = letterClasses(words);
  const table = transitions(nodes, classOf, width);
  const ends = Int32Array.from(nodes, (node) => node.word);
  const outputs = Int32Array.from(nodes, (node) => node.output);
  // For each state the first state at which a word ends: itself or one on its suffix chain; 0 is none.
  const firstEnds = Int32Array.from(nodes, (node, state) => (node.word === -1 ? node.output : state));
  const lengths = Int32Array.from(words, (word) => word.length);

  return (text) => {
    let state = 0;
    for (let index = 0; index < text.length; index++) {
      const unit = text.charCodeAt(index);
      const letter = unit < 128 ? (asciiClasses[unit] ?? 0) : (classOf.get(unit) ?? 0);
      state = letter === 0 ? 0 : (table[state * width + letter] ?? 0);
      if (firstEnds[state] === 0) continue;
      for (let at = firstEnds[state] ?? 0; at !== 0; at = outputs[at] ?? 0) {
        const word = ends[at] ?? -1;
        if (standsAlone(text, index + 1 - (lengths[word] ?? 0), index + 1)) return word;
      }
    }
    return -1;
  };
}

function plantWords(words: readonly string[]): Node[] {
  const nodes: Node[] = [newNode()];
  for (const [index, word] of words.entries()) {
    let state = 0;
    for (let at = 0; at < word.length; at++) {
      const unit = word.charCodeAt(at);
      const node = nodes[state];
      let next = node?.next.get(unit);
      if (next === undefined) {
        next = nodes.push(newNode()) - 1;
        node?.next.set(unit, next);
      }
      state = next;
    }
    const last = nodes[state];
    if (last !== undefined && state !== 0 && last.word === -1) last.word = index;
  }
  return nodes;
}

const newNode = (): Node => ({ next: new Map(), word: -1, fail: 0, output: 0 });

/** Breadth-first: a state's suffix link is known before its children's. */
function linkSuffixes(nodes: Node[]): Node[] {
  const queue = [0];
  for (let state = queue.shift(); state !== undefined; state = queue.shift()) {
    for (const [unit, child] of nodes[state]?.next ?? []) {
      queue.push(child);
      const node = nodes[child];
      if (node === undefined) continue;
      let fail = state === 0 ? 0 : (nodes[state]?.fail ?? 0);
      if (state !== 0) {
        while (fail !== 0 && nodes[fail]?.next.has(unit) !== true) fail = nodes[fail]?.fail ?? 0;
        fail = nodes[fail]?.next.get(unit) ?? 0;
      }
      node.fail = fail;
      const suffix = nodes[fail];
      node.output = suffix === undefined || fail === 0 ? 0 : suffix.word === -1 ? suffix.output : fail;
    }
  }
  return nodes;
}

/** Numbers the letters that occur in words, so that the table is small; 0 is every other letter. */
function letterClasses(words: readonly string[]): {
  classOf: Map<number, number>;
  asciiClasses: Uint16Array;
  width: number;
} {
  const classOf = new Map<number, number>();
  for (const word of words) {
    for (let at = 0; at < word.length; at++) {
      const unit = word.charCodeAt(at);
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

/** The full transition table: for each state and letter the next state, suffix links already followed. */
function transitions(
  nodes: readonly Node[],
  classOf: ReadonlyMap<number, number>,
  width: number,
): Int32Array {
  const table = new Int32Array(nodes.length * width);
  const queue = [0];
  for (let state = queue.shift(); state !== undefined; state = queue.shift()) {
    const node = nodes[state];
    if (node === undefined) continue;
    for (const [unit, letter] of classOf) {
      const child = node.next.get(unit);
      if (child !== undefined) queue.push(child);
      table[state * width + letter] = child ?? (state === 0 ? 0 : (table[node.fail * width + letter] ?? 0));
    }
  }
  return table;
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
