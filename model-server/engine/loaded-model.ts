// The model inside the engine child: loaded once, decoding up to `sequences` completions in one batch.
import {
  getLlama,
  NoBinaryFoundError,
  LlamaLogLevel,
  type LlamaEmbeddingContext,
  type LlamaModel,
  type Token,
} from 'node-llama-cpp';
import { createBatchComposer, type BatchComposer } from './batch-composer.ts';
import { loadCpuKernels } from './cpu-kernels.ts';
import { generate, type Generated } from './generation.ts';
import type { BatchStatistics, EngineOptions, GenerationJob, ModelCard } from './messages.ts';
import { createPassChoice, type PassChoice } from './pass-choice.ts';
import { createSequenceSlots } from './sequence-slots.ts';
import { createSteps } from './steps.ts';
import { readVocabulary } from './vocabulary.ts';

/** What the engine child does with its model. */
export interface LoadedModel {
  readonly card: ModelCard;
  readonly statistics: BatchStatistics;
  readonly tokenize: (text: string) => number[];
  readonly generate: (
    job: GenerationJob,
    call: {
      /** Opaque key of the principal; only its own later prompts may build on what this one computes. */
      readonly owner: string | null;
      readonly signal: AbortSignal;
      readonly onText: (text: string) => void;
    },
  ) => Promise<Generated & { readonly cachedTokens: number }>;
  readonly embed: (promptIds: readonly number[]) => Promise<{ vector: Float32Array; promptTokens: number }>;
}

/** What a test may replace, and who hears when the texts of a step are complete. */
export interface LoadHooks {
  readonly onStep?: () => void;
  readonly createComposer?: (expected: () => number, passes?: PassChoice) => BatchComposer;
}

/** Ids in one batch. */
const batchSize = 512;
const longestExpiryPauseMs = 30_000;

/** Loads the model file and proves that batches are composed as meant. @throws Error for a file that is no model. */
export async function loadModel(options: EngineOptions, hooks: LoadHooks = {}): Promise<LoadedModel> {
  if (options.cpuKernels !== null) loadCpuKernels(options.cpuKernels);
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
  const steps = createSteps({
    batchSize,
    promptChunk: options.promptChunk,
    onStep: hooks.onStep ?? (() => undefined),
  });
  // One pass and many round differently, which a sampled text shows after a while.
  let reproducible = 0;
  const passes = passChoiceOf(options);
  const composer = (hooks.createComposer ?? createBatchComposer)(
    steps.expected,
    passes && { isSplit: (count, isPure) => passes.isSplit(reproducible > 0 ? 0 : count, isPure) },
  );
  const context = await model.createContext({
    contextSize,
    sequences: options.sequences,
    threads: options.threads,
    batchSize,
    failedCreationRemedy: false,
    batching: {
      itemPrioritizationStrategy: composer.strategy,
      // A tick comes after all promise turns, in which the sequences of a step ask for their tokens.
      dispatchSchedule: (dispatch) => process.nextTick(dispatch),
    },
  });
  const vocabulary = readVocabulary(model);
  const limit = Math.min(contextSize, context.contextSize);
  const slots = createSequenceSlots(
    Array.from({ length: options.sequences }, () => context.getSequence()),
    options.keepPrefixMs,
  );
  if (options.keepPrefixMs > 0)
    setInterval(slots.expire, Math.min(options.keepPrefixMs, longestExpiryPauseMs)).unref();

  const generateOne: LoadedModel['generate'] = async (job, { owner, signal, onText }) => {
    const { slot, cachedTokens } = await slots.take({ ...job, owner });
    const participant = steps.enter();
    let keptFor: string | null = null;
    if (job.isReproducible) reproducible++;
    try {
      const decoding = { model, vocabulary, slot, cachedTokens, participant, limit, signal, onText };
      const generated = await generate(job, decoding);
      keptFor = owner;
      return { ...generated, cachedTokens };
    } finally {
      if (job.isReproducible) reproducible--;
      slots.giveBack(slot, keptFor);
      participant.leave();
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

  await assertOneOrderedBatch(generateOne, composer, options.sequences);
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
    generate: generateOne,
    embed,
  };
}

/** A GPU is for one pass. Threads that spin make CPU time meaningless, so with several of them the clock decides. */
function passChoiceOf({ gpu, threads }: EngineOptions): PassChoice | undefined {
  if (gpu !== 'off') return undefined;
  if (threads > 1) return createPassChoice(() => performance.now());
  return createPassChoice(() => {
    const { user: inOurCode, system } = process.cpuUsage();
    return inOurCode + system;
  });
}

/** Special words in a caller's text stay text; an empty prompt is the begin id, so that there is something to continue. */
function tokenizePrompt(model: LlamaModel, text: string): number[] {
  const ids: number[] = model.tokenize(text, false);
  const begin = model.tokens.bos ?? model.tokens.eos;
  if (begin !== null && (ids.length === 0 || model.tokens.shouldPrependBosToken)) ids.unshift(begin);
  return ids;
}

/** OpenAI's vectors have length 1, and clients take the dot product for the cosine. */
function normalised(vector: readonly number[]): Float32Array {
  const length = Math.hypot(...vector);
  return Float32Array.from(vector, (component) => (length === 0 ? 0 : component / length));
}

/** Enough to see a priority above node-llama-cpp's documented 5, and below its 1. */
const selfTestSequences = 7;

/**
 * Completions at once must share ordered batches, which needs that the priority goes through untouched; an upgrade of
 * node-llama-cpp could undo that in silence, at a third of the speed.
 */
async function assertOneOrderedBatch(
  generateOne: LoadedModel['generate'],
  composer: BatchComposer,
  sequences: number,
): Promise<void> {
  const { signal } = new AbortController();
  const sampling = {
    temperature: 0,
    topP: 1,
    topK: 1,
    seed: 1,
    presencePenalty: 0,
    frequencyPenalty: 0,
    logitBias: [],
  };
  const job = { promptIds: [1, 2], maxTokens: 3, sampling, stop: [], isReproducible: true };
  const composed: string[] = [];
  composer.watch((priorities) => composed.push(priorities.join()));
  const together = Array.from({ length: Math.min(selfTestSequences, sequences) }, (_, number) => number);
  await Promise.all(together.map(() => generateOne(job, { owner: null, signal, onText: () => undefined })));
  composer.watch(null);
  // Each may end by itself after its first id; the prompts at least are read in one batch.
  if (!composed.includes(together.join()))
    throw new Error(
      `batch self-test: ${together.length} sequences were not decoded in one ordered batch (node-llama-cpp composed ${composed.join(' | ')})`,
    );
}
