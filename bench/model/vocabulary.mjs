// A byte-level BPE vocabulary of GPT-2's size, made of all short runs of letters: texts of it are plain ASCII, and an
// English prompt takes about as many ids as with GPT-2's own (1.9 per word).
const gpt2Size = 50_257;
const normalPiece = 1;
const controlPiece = 3;
const unusedPiece = 5;

/** Pieces by id, their types, and the merges; ids beyond GPT-2's own, when `size` asks for them, stand for nothing. */
export function createVocabulary(size = gpt2Size) {
  const pieces = byteAlphabet();
  const merges = [];
  for (const [left, right] of pairs()) {
    if (pieces.length === gpt2Size - 1) break;
    merges.push(`${left} ${right}`);
    pieces.push(left + right);
  }
  const endId = pieces.push('<|endoftext|>') - 1;
  const types = [...pieces.keys()].map((id) => (id === endId ? controlPiece : normalPiece));
  for (let id = gpt2Size; id < size; id++) {
    pieces.push(`[PAD${id}]`);
    types.push(unusedPiece);
  }
  return { pieces, types, merges, endId };
}

/** What is merged, in this order: ab, ␣a, ␣ab, abc, ␣abc, and as many abcd as there is room for. */
function* pairs() {
  const space = '\u0120';
  const letters = [...'etaoinshrdlucmfwypvbgkqjxz'];
  const of = (left, right) => left.flatMap((one) => right.map((other) => [one, other]));
  const joined = (list) => list.map((pair) => pair.join(''));
  const twos = of(letters, letters);
  const threes = of(joined(twos), letters);
  yield* twos;
  yield* of([space], letters);
  yield* of([space], joined(twos));
  yield* threes;
  yield* of([space], joined(threes));
  yield* of(joined(twos), joined(twos));
}

/** GPT-2's alphabet: printable bytes stand for themselves, the other 68 are moved to U+0100 and up. */
function byteAlphabet() {
  let moved = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCodePoint(isPrintable ? byte : moved++);
  });
}
