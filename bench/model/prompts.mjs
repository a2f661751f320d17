// Prompts of a known size, none like another, so that no contestant's prompt cache answers for its engine. With the
// vocabulary of bench/model/vocabulary.mjs a word of two letters is one model token, one of three or four letters two.
const short = 'of to in it is as at on by he we so up an my no us do'.split(' ');
const long =
  'the lamp stood near door and cast pale warm glow over old oak desk when rain came down from grey sky men ran home past mill pond for tea with salt cake bread she read her book all day till sun set low then sang one slow song about deep blue sea'
    .split(' ')
    .filter((word) => word.length === 3 || word.length === 4);

/** A text of `words` words, seven eighths of them longer; the same for the same number, and unlike any other's. */
export function promptOf(number, words = 24) {
  let state = Math.imul(number + 1, 0x9e3779b1) | 1;
  const pick = (list) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return list[(state >>> 8) % list.length];
  };
  return Array.from({ length: words }, (_, index) => pick(index % 8 === 0 ? short : long)).join(' ');
}

/** Creates a source of prompts that never repeats one within a run. */
export function createPrompts() {
  let number = Math.floor(Date.now() / 1000) % 1_000_000;
  return (count, words) => Array.from({ length: count }, () => promptOf(number++, words));
}
