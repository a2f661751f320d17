// The same engine without HTTP and without a second process: what is left to gain above it is llama.cpp's own.
import { loadModel } from '../../../dist/model-server/engine/loaded-model.js';
import { ready } from '../../contestants/process.mjs';

let model;

export async function start({ file, context, sequences }) {
  model = await loadModel({ modelPath: file, context, sequences, threads: 1, gpu: 'off' });
  return {};
}

async function generate(prompt, maxTokens) {
  const startedAt = performance.now();
  const promptIds = model.tokenize(prompt);
  const texts = [];
  const job = {
    principal: 'bench',
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
  };
  const never = new AbortController().signal;
  const { completionTokens } = await model.generate(job, never, () => texts.push(performance.now()));
  return { startedAt, texts, endedAt: performance.now(), promptTokens: promptIds.length, completionTokens };
}

process.on('message', async ({ generate: asked }) => {
  if (asked === undefined) return;
  const streams = await Promise.all(asked.prompts.map((prompt) => generate(prompt, asked.maxTokens)));
  process.send({ streams });
});
ready(start);
