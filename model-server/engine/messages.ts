// What the model server and its engine child say to each other over the IPC channel, as JSON. Model tokens are
// numbers here ("ids"), so that no text is tokenized twice.

/** How the child loads its model. */
export interface EngineOptions {
  readonly modelPath: string;
  /** Wanted context, or null for what the model was trained on. */
  readonly context: number | null;
  readonly sequences: number;
  readonly threads: number;
  /** Ids of prompts read in one step while others generate. */
  readonly promptChunk: number;
  /** How long the state of a prompt is kept for its principal; 0: not at all. */
  readonly keepPrefixMs: number;
  /** The processor whose kernels llama.cpp uses; null: it chooses. */
  readonly cpuKernels: string | null;
  readonly gpu: 'off' | 'auto' | 'cuda' | 'vulkan' | 'metal';
}

/** What a loaded model is like. */
export interface ModelCard {
  /** Prompt and completion together, in model tokens. */
  readonly context: number;
  readonly trainedContext: number;
  readonly sequences: number;
  readonly vocabularySize: number;
  readonly embeddingSize: number;
  /** Bytes of the longest piece of text that one id stands for; bounds how many bytes a prompt can have. */
  readonly longestPieceBytes: number;
  /** Ids that end a generation. */
  readonly endIds: readonly number[];
}

/** How the next id is drawn. */
export interface Sampling {
  readonly temperature: number;
  readonly topP: number;
  /** 0: all candidates. */
  readonly topK: number;
  /** 0 to 2³² − 2; always given, since node-llama-cpp's own default is the clock's second. */
  readonly seed: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  readonly logitBias: readonly (readonly [id: number, bias: number])[];
}

/** One completion to generate. */
export interface GenerationJob {
  readonly promptIds: readonly number[];
  readonly maxTokens: number;
  readonly sampling: Sampling;
  /** Texts that end the completion and are not part of it. */
  readonly stop: readonly string[];
  /** The caller expects the same text again (a seed of its own, temperature 0): never the cheaper way with other rounding. */
  readonly isReproducible: boolean;
}

export type EngineRequest =
  | { readonly kind: 'load'; readonly options: EngineOptions }
  | { readonly kind: 'tokenize'; readonly id: number; readonly texts: readonly string[] }
  /** `owner`: opaque key of the principal, who alone may build on the state of this prompt; null: nobody. */
  | {
      readonly kind: 'generate';
      readonly id: number;
      readonly owner: string | null;
      readonly job: GenerationJob;
    }
  | { readonly kind: 'embed'; readonly id: number; readonly promptIds: readonly number[] }
  | { readonly kind: 'abort'; readonly id: number };

/** Why a generation ended: the end id or a stop text, the limit, or the caller. */
export type Ending = 'stop' | 'length' | 'aborted';

export type EngineResult =
  | { readonly kind: 'tokenized'; readonly id: number; readonly ids: readonly (readonly number[])[] }
  | { readonly kind: 'text'; readonly id: number; readonly text: string }
  | {
      readonly kind: 'finished';
      readonly id: number;
      readonly ending: Ending;
      readonly completionTokens: number;
      /** Ids of the prompt that did not have to be computed. */
      readonly cachedTokens: number;
    }
  /** `vector`: float32, little-endian, base64. */
  | { readonly kind: 'embedded'; readonly id: number; readonly vector: string; readonly promptTokens: number }
  | { readonly kind: 'failed'; readonly id: number; readonly problem: string };

/** Counters of the child since its start. */
export interface BatchStatistics {
  readonly batches: number;
  readonly items: number;
}

export type EngineReport =
  | { readonly kind: 'ready'; readonly card: ModelCard }
  | { readonly kind: 'load_failed'; readonly problem: string }
  | {
      readonly kind: 'results';
      readonly results: readonly EngineResult[];
      readonly statistics: BatchStatistics;
    };
