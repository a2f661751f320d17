// What each UTF-16 unit folds to by itself, where no neighbour can change that: starters that compose with nothing
// before them (Unicode Standard Annex 15). Made of the folding's own definition, so that both follow one version of Unicode.

/** Stands for units that fold only together with their neighbours, or to several units or none. */
const together = 0xffff;
/** Stands for combining marks that fold to themselves unless another mark stands beside them. */
export const mark = 0xfffe;

const blockUnits = 256;
const lineFeed = 0x0a;

/** The table by unit: what it folds to, or a value from `mark` on. Letters of ASCII stand for themselves: the matcher folds them. */
export function compileFoldingTable(fold: (text: string) => string): Uint16Array {
  const table = new Uint16Array(0x1_0000);
  for (let unit = 0; unit < table.length; unit++) table[unit] = unit;
  const blocks = [...letterBlocks()].map((first) => ({ first, joined: joinedBlock(first) }));
  const attaching = new Set(blocks.flatMap(({ joined }) => attachingLetters(joined)));
  for (const { first, joined } of blocks) fillBlock(table.subarray(first), joined, { fold, attaching });
  for (const letter of attaching) table[letter.charCodeAt(0)] = together;
  table.fill(together, 0xd800, 0xe000); // Surrogates.
  for (let unit = 0x41; unit <= 0x5a; unit++) table[unit] = unit;
  table[lineFeed] = lineFeed;
  return table;
}

/**
 * Where units do not all fold to themselves: not among ideographs and Yi, nor behind the first 588 Hangul syllables (which
 * hold every vowel and final there is), nor in private use.
 */
function* letterBlocks(): Generator<number> {
  for (let first = 0; first < 0x3400; first += blockUnits) yield first;
  for (let first = 0xa400; first < 0xaf00; first += blockUnits) yield first;
  for (let first = 0xf900; first < 0x1_0000; first += blockUnits) yield first;
}

/** Units of a block with a line feed between them, which joins with nothing: one call tells what a change makes of each. */
function joinedBlock(first: number): string {
  const units = new Uint16Array(2 * blockUnits - 1).fill(lineFeed);
  for (let at = 0; at < blockUnits; at++) units[2 * at] = first + at === lineFeed ? 0x20 : first + at;
  return Buffer.from(units.buffer).toString('utf16le');
}

/** All that may become one with what is before it: whatever follows in a decomposition. */
function attachingLetters(joined: string): string[] {
  const decomposed = joined.normalize('NFD');
  return decomposed === joined ? [] : (decomposed.match(/(?<=[^\n])[^\n]/g) ?? []);
}

function fillBlock(
  table: Uint16Array,
  joined: string,
  { fold, attaching }: { fold: (text: string) => string; attaching: ReadonlySet<string> },
): void {
  const composed = joined.normalize('NFKC');
  const lowered = composed.toLowerCase();
  const folded = fold(joined).split('\n');
  const steps = [composed, lowered, lowered.normalize('NFKC')].map((text) => text.split('\n'));
  for (const [at, form] of folded.entries()) table[at] = form.length === 1 ? form.charCodeAt(0) : together;
  for (const forms of steps) {
    for (const [at, form] of forms.entries())
      if (form.length !== 1 || attaching.has(form)) table[at] = together;
  }
  for (const letter of joined.match(/\p{M}/gu) ?? []) {
    const at = letter.charCodeAt(0) % blockUnits;
    if (changesPlaces(letter) && table[at] !== together) table[at] = folded[at] === letter ? mark : together;
  }
}

/** Whether a mark may change places with others: behind the one that stands last of all, it is put in front. */
function changesPlaces(letter: string): boolean {
  return `a\u0345${letter}`.normalize('NFD').endsWith('\u0345');
}
