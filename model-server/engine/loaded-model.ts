// The model inside the engine child: loaded once, decoding up to `sequences` completions in one batch.
import {
  getLlama,
  NoBinaryFoundError,
  LlamaLogLevel,
  TokenBias,
  type LlamaContextSequence,
  type LlamaEmbeddingContext,
  type LlamaModel,
  type SequenceEvaluateOptions,
  type Token,
} from 'node-llama-cpp';
import { createBatchComposer } from './batch-composer.ts';
import type {
  BatchStatistics,
  EngineOptions,
  Ending,
  GenerationJob,
  ModelCard,
  Sampling,
} from './messages.ts';
import { createStopScanner } from './stop-scanner.ts';
import { readVocabulary, type Vocabulary } from './vocabulary.ts';

/** What the engine child does with its model. */
export interface LoadedModel {
  readonly card: ModelCard;
  readonly statistics: BatchStatistics;
  readonly tokenize: (text: string) => number[];
  /** @param onText receives each piece of text with the count of ids generated so far. */
  readonly generate: (
    job: GenerationJob,
    signal: AbortSignal,
    onText: (text: string, completionTokens: number) => void,
  ) => Promise<{ ending: Ending; completionTokens: number }>;
  readonly embed: (promptIds: readonly number[]) => Promise<{ vector: Float32Array; promptTokens: number }>;
}

interface Slot {
  /** Order of getSequence(); goes through node-llama-cpp as the evaluation priority. */
  readonly number: number;
  readonly sequence: LlamaContextSequence;
}

/** Loads the model file and proves that batches are composed as meant. @throws Error for a file that is no model. */
export async function loadModel(options: EngineOptions): Promise<LoadedModel> {
  const llama = await getLlama({
    gpu: options.gpu === 'off' ? false : options.gpu,
    build: 'never',
    skipDownload: true,
    usePrebuiltBinaries: true,
    progressLogs: false,
    logLevel: LlamaLogLevel.error,
    maxThreads: options.threads,
  }).catch((error: unknown) => {
    if (!(error instanceof NoBinaryFoundError)) throw error;
    const way =
      options.gpu === 'off' ? 'run npm ci again' : 'docs/how-to/gpu.md says what it needs, or set it to off';
    throw new Error(`gpu: llama.cpp has no working binary for "${options.gpu}" on this machine; ${way}`, {
      cause: error,
    });
  });
  const model = await llama.loadModel({
    modelPath: options.modelPath,
    ...(options.gpu === 'off' ? { gpuLayers: 0 } : {}),
  });
  // A context larger than the trained one aborts the whole process (GGML_ASSERT), so it is clamped.
  const contextSize = Math.min(options.context ?? model.trainContextSize, model.trainContextSize);
  let running = 0;
  const composer = createBatchComposer(() => running);
  const context = await model.createContext({
    contextSize,
    sequences: options.sequences,
    threads: options.threads,
    batchSize: 512,
    failedCreationRemedy: false,
    batching: { itemPrioritizationStrategy: composer.strategy },
  });
  const vocabulary = readVocabulary(model);
  const free: Slot[] = Array.from({ length: options.sequences }, (_, number) => ({
    number,
    sequence: context.getSequence(),
  }));
  const limit = Math.min(contextSize, context.contextSize);

  const generate: LoadedModel['generate'] = async (job, signal, onText) => {
    // A gap in the numbers of a batch splits it again, hence the lowest free one.
    free.sort((one, other) => one.number - other.number);
    const slot = free.shift();
    if (slot === undefined) throw new Error('no free sequence');
    running++;
    try {
      return await decode(job, { model, vocabulary, slot, limit, signal, onText });
    } finally {
      running--;
      // Nothing of one caller's prompt is left for the next.
      await slot.sequence.clearHistory();
      free.push(slot);
    }
  };

  let embeddingContext: Promise<LlamaEmbeddingContext> | undefined;
  const embed: LoadedModel['embed'] = async (promptIds) => {
    embeddingContext ??= model.createEmbeddingContext({
      contextSize,
      batchSize: Math.min(512, contextSize),
      threads: options.threads,
    });
    const created = await embeddingContext;
    const input = promptIds as readonly Token[]; // node-llama-cpp brands its numbers.
    const promptTokens = created.calculateInputLength([...input]);
    const { vector } = await created.getEmbeddingFor([...input]);
    return { vector: normalised(vector), promptTokens };
  };

  await assertOneOrderedBatch(generate, composer, options.sequences);
  const endIds = [model.tokens.eos, model.tokens.eot].filter((id) => id !== null);
  return {
    card: {
      context: limit,
      trainedContext: model.trainContextSize,
      sequences: options.sequences,
      vocabularySize: vocabulary.size,
      embeddingSize: model.embeddingVectorSize,
      longestPieceBytes: vocabulary.longestPieceBytes,
      endIds: [...new Set<number>(endIds)],
    },
    statistics: composer.statistics,
    tokenize: (text) => tokenizePrompt(model, text),
    generate,
    embed,
  };
}

/** Special words in a caller's text stay text; an empty prompt is the begin id, so that there is something to continue. */
function tokenizePrompt(model: LlamaModel, text: string): number[] {
  const ids: number[] = model.tokenize(text, false);
  const begin = model.tokens.bos ?? model.tokens.eos;
  if (begin !== null && (ids.length === 0 || model.tokens.shouldPrependBosToken)) ids.unshift(begin);
  return ids;
}

interface Decoding {
  readonly model: LlamaModel;
  readonly vocabulary: Vocabulary;
  readonly slot: Slot;
  readonly limit: number;
  readonly signal: AbortSignal;
  readonly onText: (text: string, completionTokens: number) => void;
}

async function decode(
  job: GenerationJob,
  decoding: Decoding,
): Promise<{ ending: Ending; completionTokens: number }> {
  const { slot, signal, onText } = decoding;
  // node-llama-cpp would shift the context and cut the prompt in silence; the model server has refused such a prompt.
  if (job.promptIds.length === 0 || job.promptIds.length + 1 > decoding.limit)
    throw new Error('the prompt does not fit the context');
  const maxTokens = Math.min(job.maxTokens, decoding.limit - job.promptIds.length);
  const text = decoding.vocabulary.createDecoder();
  const scanner = createStopScanner(job.stop);
  const generated: Token[] = [];
  const pass = (piece: string): void => {
    if (piece !== '') onText(piece, generated.length);
  };
  const prompt = [...job.promptIds] as Token[]; // node-llama-cpp brands its numbers.
  let ending: Ending = 'stop'; // The generator ends by itself at an end id.
  let isStopped = false;
  for await (const id of slot.sequence.evaluate(prompt, evaluateOptions(job.sampling, decoding, generated))) {
    if (signal.aborted) {
      ending = 'aborted';
      break;
    }
    generated.push(id);
    const scanned = scanner.push(text.push(id));
    pass(scanned.text);
    isStopped = scanned.stopped;
    if (isStopped) break;
    if (generated.length >= maxTokens) {
      ending = 'length';
      break;
    }
  }
  if (!isStopped && ending !== 'aborted') {
    const last = scanner.push(text.flush());
    pass(last.text);
    if (last.stopped) ending = 'stop';
    else pass(scanner.flush());
  }
  return { ending, completionTokens: generated.length };
}

function evaluateOptions(
  sampling: Sampling,
  { model, slot, limit }: Decoding,
  generated: Token[],
): SequenceEvaluateOptions {
  const hasPenalty = sampling.presencePenalty !== 0 || sampling.frequencyPenalty !== 0;
  return {
    temperature: sampling.temperature,
    topP: sampling.topP,
    topK: sampling.topK,
    seed: sampling.seed,
    // Typed as 1 to 5 but passed through untouched in 3.21.1; the self-test at start notices when that changes.
    evaluationPriority: slot.number as NonNullable<SequenceEvaluateOptions['evaluationPriority']>,
    ...(hasPenalty
      ? {
          repeatPenalty: {
            punishTokens: () => generated,
            maxPunishTokens: limit,
            penalty: 1,
            presencePenalty: sampling.presencePenalty,
            frequencyPenalty: sampling.frequencyPenalty,
          },
        }
      : {}),
    ...(sampling.logitBias.length > 0 ? { tokenBias: biasOf(model, sampling.logitBias) } : {}),
  };
}

function biasOf(model: LlamaModel, entries: Sampling['logitBias']): TokenBias {
  const bias = TokenBias.for(model);
  for (const [id, logit] of entries) bias.set([id as Token], { logit }); // node-llama-cpp brands its numbers.
  return bias;
}

/** OpenAI's vectors have length 1, and clients take the dot product for the cosine. */
function normalised(vector: readonly number[]): Float32Array {
  const length = Math.hypot(...vector);
  return Float32Array.from(vector, (component) => (length === 0 ? 0 : component / length));
}

/**
 * Two completions at once must share ordered batches; an upgrade of node-llama-cpp could undo that in silence, at a
 * third of the speed.
 */
async function assertOneOrderedBatch(
  generate: LoadedModel['generate'],
  composer: ReturnType<typeof createBatchComposer>,
  sequences: number,
): Promise<void> {
  const never = new AbortController().signal;
  const sampling = {
    temperature: 0,
    topP: 1,
    topK: 1,
    seed: 1,
    presencePenalty: 0,
    frequencyPenalty: 0,
    logitBias: [],
  };
  const job = { promptIds: [1, 2], maxTokens: 3, sampling, stop: [] };
  const composed: string[] = [];
  composer.watch((priorities) => composed.push(priorities.join()));
  const together = Math.min(2, sequences);
  await Promise.all(Array.from({ length: together }, () => generate(job, never, () => undefined)));
  composer.watch(null);
  if (together === 2 && !composed.includes('0,1'))
    throw new Error('batch self-test: two sequences were not decoded in one ordered batch');
}
