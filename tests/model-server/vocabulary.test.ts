import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { readGgufFileInfo, type LlamaModel } from 'node-llama-cpp';
import { readVocabulary, type Vocabulary } from '../../model-server/engine/vocabulary.ts';
import { modelPath, startGateway, type Gateway } from './start.ts';

describe('the vocabulary of the shipped model', () => {
  let gateway: Gateway;
  let vocabulary: Vocabulary;
  before(async () => {
    gateway = await startGateway();
    const fileInfo = await readGgufFileInfo(modelPath, { logWarnings: false });
    vocabulary = readVocabulary({ fileInfo } as unknown as LlamaModel); // The metadata is all that is read.
  });
  after(() => gateway.close());

  const idsOf = async (text: string): Promise<number[]> =>
    (await gateway.call('/v1/tokenize', { body: { model: 'tiny-gpt2', text, return_tokens: true } })).json
      .tokens;

  const texts = [
    'Hello , world ! ok ?',
    "do n't 's",
    'a 😀 b',
    '日本語 naïve — “x”',
    'tab\tCRLF\r\nNUL\u0000.',
    '   three spaces',
    '<|endoftext|>',
  ];
  for (const text of texts) {
    it(`turns the tokens of ${JSON.stringify(text)} back into it, one whole character at a time`, async () => {
      const decoder = vocabulary.createDecoder();
      const pieces = (await idsOf(text)).map((id) => decoder.push(id));
      assert.equal(pieces.join('') + decoder.flush(), text);
      assert.ok(pieces.every((piece) => !piece.includes('\uFFFD')));
    });
  }

  it('shows a character that never became whole as one U+FFFD, at the end', async () => {
    const decoder = vocabulary.createDecoder();
    const ids = (await idsOf('😀')).slice(0, -1);
    assert.equal(ids.map((id) => decoder.push(id)).join(''), '');
    assert.equal(decoder.flush(), '\uFFFD');
  });

  it('shows the end token as nothing', () => {
    assert.equal(vocabulary.createDecoder().push(0), '');
  });

  it('bounds the bytes of one token', () => {
    const decoder = vocabulary.createDecoder();
    for (let id = 0; id < vocabulary.size; id++)
      assert.ok(Buffer.byteLength(decoder.push(id)) <= vocabulary.longestPieceBytes + 3);
  });
});
