// Ids to text, exactly. llama.cpp's detokenizer "cleans up" (it turns " ," into ","), and one id may hold a part of a
// character, so byte-level vocabularies (GPT-2, Llama 3, Qwen …) are decoded here from their own table of pieces.
import { StringDecoder } from 'node:string_decoder';
import type { LlamaModel, Token } from 'node-llama-cpp';

/** Turns the ids of one completion into text; a partial character is held back until it is whole. */
export interface TextDecoder {
  readonly push: (id: number) => string;
  /** What is held back, with U+FFFD for a character that never became whole. */
  readonly flush: () => string;
}

/** The vocabulary of a loaded model. */
export interface Vocabulary {
  readonly size: number;
  readonly longestPieceBytes: number;
  readonly createDecoder: () => TextDecoder;
}

/** Reads the vocabulary from the model file's metadata. */
export function readVocabulary(model: LlamaModel): Vocabulary {
  const { model: kind, tokens: pieces } = model.fileInfo.metadata.tokenizer.ggml;
  // Older files lack the types; the library declares them present.
  const pieceTypes = model.fileInfo.metadata.tokenizer.ggml.token_type as readonly number[] | undefined;
  const size = pieces.length;
  const longestCharacters = pieces.reduce((longest, piece) => Math.max(longest, piece.length), 1);
  if (kind !== 'gpt2') {
    // Elsewhere a character of a piece is up to four bytes of text.
    return {
      size,
      longestPieceBytes: longestCharacters * 4,
      createDecoder: () => createGeneralDecoder(model),
    };
  }
  const byteOf = byteAlphabet();
  const isText = (id: number): boolean => pieceTypes === undefined || pieceTypes[id] === normalPiece;
  const bytesOf = (id: number): Buffer => {
    const piece = pieces[id] ?? '';
    if (isText(id)) return Buffer.from(Array.from(piece, (character) => byteOf.get(character) ?? 0x3f));
    return pieceTypes?.[id] === userDefinedPiece ? Buffer.from(piece) : Buffer.alloc(0);
  };
  return {
    size,
    longestPieceBytes: longestCharacters,
    createDecoder: () => {
      const decoder = new StringDecoder('utf8');
      return { push: (id) => decoder.write(bytesOf(id)), flush: () => decoder.end() };
    },
  };
}

// Values of tokenizer.ggml.token_type in the GGUF format.
const normalPiece = 1;
const userDefinedPiece = 4;

/** GPT-2's alphabet: printable bytes stand for themselves, the other 68 are moved to U+0100 and up. */
function byteAlphabet(): ReadonlyMap<string, number> {
  const byteOf = new Map<string, number>();
  let moved = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const isPrintable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    byteOf.set(String.fromCodePoint(isPrintable ? byte : moved++), byte);
  }
  return byteOf;
}

/** For other vocabularies: llama.cpp's text of the ids that are not yet certain, without a trailing partial character. */
function createGeneralDecoder(model: LlamaModel): TextDecoder {
  const replacement = '\uFFFD';
  const longestWait = 16;
  let recent: Token[] = [];
  let pending: Token[] = [];
  let emitted = 0;
  const take = (isLast: boolean): string => {
    const text = model.detokenize(pending, false, recent);
    const isPartial = !isLast && text.endsWith(replacement) && pending.length < longestWait;
    const certain = isPartial ? text.slice(0, -1) : text;
    const piece = certain.slice(emitted);
    emitted = isPartial ? certain.length : 0;
    if (!isPartial) [recent, pending] = [pending.slice(-4), []];
    return piece;
  };
  return {
    push: (id) => {
      pending.push(id as Token); // node-llama-cpp brands its numbers.
      return take(false);
    },
    flush: () => (pending.length === 0 ? '' : take(true)),
  };
}
