// The same engine without HTTP and without a second process: what is left to gain above it is llama.cpp's own.
import { loadModel } from '../../../dist/model-server/engine/loaded-model.js';
import { ready } from '../../contestants/process.mjs';

let model;

export async function start({ file, context, sequences }) {
  const fixed = { threads: 1, gpu: 'off', promptChunk: 128, keepPrefixMs: 0, cpuKernels: null };
  model = await loadModel({ modelPath: file, context, sequences, ...fixed });
  return {};
}

async function generate(prompt, maxTokens) {
  const startedAt = performance.now();
  const promptIds = model.tokenize(prompt);
  const texts = [];
  const job = {
    promptIds,
    maxTokens,
    sampling: {
      temperature: 0.8,
      topP: 0.95,
      topK: 40,
      seed: Math.floor(Math.random() * 2 ** 31),
      presencePenalty: 0,
      frequencyPenalty: 0,
      logitBias: [],
    },
    stop: [],
    isReproducible: false,
  };
  const { completionTokens } = await model.generate(job, {
    owner: null,
    signal: new AbortController().signal,
    onText: () => texts.push(performance.now()),
  });
  return { startedAt, texts, endedAt: performance.now(), promptTokens: promptIds.length, completionTokens };
}

async function generateAll({ prompts, maxTokens }) {
  return Promise.all(prompts.map((prompt) => generate(prompt, maxTokens)));
}

ready(import.meta.url, start, { generate: generateAll });
