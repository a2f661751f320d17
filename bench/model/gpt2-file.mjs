// Makes a GGUF file of GPT-2 124M's shape with random weights, for timing only: what a step costs depends on the shapes
// and types of the tensors, not on their values. Seeded: the same file on every machine, never committed (136 MB).
//   node bench/model/gpt2-file.mjs [--padded] [--out FILE]
// `--padded` adds 15 unused ids, so that the vocabulary is a multiple of 32 (Intel's AMX kernels want that).
import { closeSync, existsSync, mkdirSync, openSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createVocabulary } from './vocabulary.mjs';

const width = 768;
const layers = 12;
const heads = 12;
const context = 1024;
const paddedSize = 50_272;
const alignment = 32;

const valueTypes = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 };
const tensorTypes = { F32: 0, Q8_0: 8 };

/** The file in the cache, made when it is not there yet. */
export function gpt2File({ padded = false, folder = cacheFolder() } = {}) {
  const path = join(folder, padded ? 'gpt2-124m-q8_0-padded.gguf' : 'gpt2-124m-q8_0.gguf');
  if (!existsSync(path)) writeGpt2(path, padded);
  return path;
}

/** Where large files that only a bench needs are kept between runs. */
export function cacheFolder() {
  return process.env.SALLYPORT_BENCH_CACHE ?? join(tmpdir(), 'sallyport-bench');
}

/** A folder with the same vocabulary as the file's, as Python's tokenizers read it. */
export function gpt2Vocabulary(folder = cacheFolder()) {
  const path = join(folder, 'gpt2-vocabulary');
  mkdirSync(path, { recursive: true });
  const { pieces, merges } = createVocabulary();
  writeFileSync(
    join(path, 'vocab.json'),
    JSON.stringify(Object.fromEntries(pieces.map((piece, id) => [piece, id]))),
  );
  writeFileSync(join(path, 'merges.txt'), ['#version: 0.2', ...merges, ''].join('\n'));
  return path;
}

/** Writes the file under another name first, so that a broken run leaves no half of a model. */
export function writeGpt2(path, padded) {
  mkdirSync(dirname(path), { recursive: true });
  const unfinished = `${path}.${process.pid}`;
  const descriptor = openSync(unfinished, 'w');
  const vocabulary = createVocabulary(padded ? paddedSize : undefined);
  const tensors = tensorsOf(vocabulary.pieces.length);
  let written = 0;
  const write = (bytes) => {
    writeSync(descriptor, bytes);
    written += bytes.length;
    const gap = (alignment - (written % alignment)) % alignment;
    if (gap > 0) writeSync(descriptor, Buffer.alloc(gap));
    written += gap;
  };
  write(head(metadataOf(vocabulary), tensors));
  for (const tensor of tensors) write(bytesOf(tensor, vocabulary));
  closeSync(descriptor);
  renameSync(unfinished, path);
}

/** Names and shapes as llama.cpp's GPT-2 wants them; the output layer is the token embedding, as in the original. */
function tensorsOf(vocabularySize) {
  const matrix = (name, columns, rows, deviation = 0.02) => ({
    name,
    shape: [columns, rows],
    type: 'Q8_0',
    deviation,
  });
  const vector = (name, size, mean = 0) => ({ name, shape: [size], type: 'F32', mean, deviation: 0.02 });
  const norm = (name) => [vector(`${name}.weight`, width, 1), vector(`${name}.bias`, width)];
  const linear = (name, columns, rows) => [
    matrix(`${name}.weight`, columns, rows),
    vector(`${name}.bias`, rows),
  ];
  const blocks = Array.from({ length: layers }, (_, layer) => [
    ...norm(`blk.${layer}.attn_norm`),
    ...linear(`blk.${layer}.attn_qkv`, width, 3 * width),
    ...linear(`blk.${layer}.attn_output`, width, width),
    ...norm(`blk.${layer}.ffn_norm`),
    ...linear(`blk.${layer}.ffn_up`, width, 4 * width),
    ...linear(`blk.${layer}.ffn_down`, 4 * width, width),
  ]);
  return [
    matrix('token_embd.weight', width, vocabularySize),
    // Strong positions, so that the next id is not simply the last one again (input and output share one matrix).
    { name: 'position_embd.weight', shape: [width, context], type: 'F32', mean: 0, deviation: 0.2 },
    ...blocks.flat(),
    ...norm('output_norm'),
  ];
}

function metadataOf({ pieces, types, merges, endId }) {
  return [
    ['general.architecture', 'string', 'gpt2'],
    ['general.name', 'string', 'GPT-2 124M shape, random weights'],
    ['general.file_type', 'uint32', 7],
    ['gpt2.context_length', 'uint32', context],
    ['gpt2.embedding_length', 'uint32', width],
    ['gpt2.block_count', 'uint32', layers],
    ['gpt2.feed_forward_length', 'uint32', 4 * width],
    ['gpt2.attention.head_count', 'uint32', heads],
    ['gpt2.attention.layer_norm_epsilon', 'float32', 1e-5],
    ['tokenizer.ggml.model', 'string', 'gpt2'],
    ['tokenizer.ggml.pre', 'string', 'gpt-2'],
    ['tokenizer.ggml.tokens', 'string', pieces],
    ['tokenizer.ggml.token_type', 'int32', types],
    ['tokenizer.ggml.merges', 'string', merges],
    ['tokenizer.ggml.bos_token_id', 'uint32', endId],
    ['tokenizer.ggml.eos_token_id', 'uint32', endId],
    ['tokenizer.ggml.add_bos_token', 'bool', false],
  ];
}

/** GGUF version 3, little-endian: magic, counts, metadata, then name, shape, type and offset of each tensor. */
function head(metadata, tensors) {
  const parts = [
    Buffer.from('GGUF'),
    encode('uint32', 3),
    uint64(tensors.length),
    uint64(metadata.length),
    ...metadata.flatMap(([key, type, value]) => [
      encode('string', key),
      ...(Array.isArray(value)
        ? [
            encode('uint32', valueTypes.array),
            encode('uint32', valueTypes[type]),
            uint64(value.length),
            ...value.map((item) => encode(type, item)),
          ]
        : [encode('uint32', valueTypes[type]), encode(type, value)]),
    ]),
  ];
  let offset = 0;
  for (const { name, shape, type } of tensors) {
    parts.push(encode('string', name), encode('uint32', shape.length), ...shape.map(uint64));
    parts.push(encode('uint32', tensorTypes[type]), uint64(offset));
    offset += Math.ceil(byteSize(shape, type) / alignment) * alignment;
  }
  return Buffer.concat(parts);
}

const count = (shape) => shape.reduce((product, size) => product * size, 1);
const byteSize = (shape, type) => (type === 'F32' ? count(shape) * 4 : (count(shape) / 32) * 34);

function uint64(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function encode(type, value) {
  if (type === 'string') {
    const text = Buffer.from(value);
    return Buffer.concat([uint64(text.length), text]);
  }
  const bytes = Buffer.alloc(type === 'bool' ? 1 : 4);
  if (type === 'bool') bytes.writeUInt8(value ? 1 : 0);
  else if (type === 'float32') bytes.writeFloatLE(value);
  else bytes.writeInt32LE(value);
  return bytes;
}

function bytesOf({ name, shape, type, mean = 0, deviation }, vocabulary) {
  const next = normalNumbers(name, deviation);
  if (type === 'F32') {
    const values = Float32Array.from({ length: count(shape) }, () => mean + next());
    return Buffer.from(values.buffer);
  }
  const bytes = quantised(count(shape), next);
  if (name === 'token_embd.weight') {
    // Rows of zeros have the logit 0, far below the 40 best of 50,000. So the end and the padding are never drawn, nor
    // are single bytes, which would make texts that are no UTF-8 (llama-server then breaks off with a 500).
    const rowBytes = (width / 32) * 34;
    bytes.fill(0, vocabulary.endId * rowBytes);
    bytes.fill(0, 0, 256 * rowBytes);
  }
  return bytes;
}

/** Q8_0: blocks of 32 values, each a float16 scale and 32 signed bytes. */
function quantised(size, next) {
  const bytes = Buffer.alloc((size / 32) * 34);
  const block = new Float32Array(32);
  const scale = new Float32Array(1);
  const scaleBits = new Uint32Array(scale.buffer);
  for (let at = 0; at < bytes.length; at += 34) {
    let largest = 0;
    for (let index = 0; index < 32; index++) {
      block[index] = next();
      largest = Math.max(largest, Math.abs(block[index]));
    }
    scale[0] = largest / 127;
    // float32 to float16: eight exponent bits become five, 23 bits of fraction ten, rounded. No scale here is subnormal.
    bytes.writeUInt16LE(((scaleBits[0] + 0x1000) >>> 13) - ((127 - 15) << 10), at);
    for (let index = 0; index < 32; index++)
      bytes.writeInt8(Math.round((block[index] / largest) * 127), at + 2 + index);
  }
  return bytes;
}

const bell = Float32Array.from({ length: 65_536 }, (_, index) => quantile((index + 0.5) / 65_536));

/** Normally distributed numbers from a 32-bit xorshift, seeded by the tensor's name. */
function normalNumbers(name, deviation) {
  let state = 0x811c9dc5;
  for (const character of name) state = Math.imul(state ^ character.charCodeAt(0), 0x01000193);
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return bell[state >>> 16] * deviation;
  };
}

/** The normal distribution's quantile, to about three digits (Tukey's lambda). */
function quantile(share) {
  return (share ** 0.135 - (1 - share) ** 0.135) / 0.1975;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: { padded: { type: 'boolean', default: false }, out: { type: 'string' } },
  });
  if (values.out !== undefined) writeGpt2(values.out, values.padded);
  console.log(values.out ?? gpt2File({ padded: values.padded }));
}
