// One completion on one sequence: reads the prompt step by step, then draws ids until something ends it.
import {
  TokenBias,
  type LlamaContextSequence,
  type LlamaModel,
  type SequenceEvaluateOptions,
  type Token,
} from 'node-llama-cpp';
import type { Ending, GenerationJob, Sampling } from './messages.ts';
import type { Slot } from './sequence-slots.ts';
import type { Participant } from './steps.ts';
import { createStopScanner } from './stop-scanner.ts';
import type { Vocabulary } from './vocabulary.ts';

/** What a completion runs on. */
export interface Decoding {
  readonly model: LlamaModel;
  readonly vocabulary: Vocabulary;
  readonly slot: Slot<LlamaContextSequence>;
  /** Ids at the prompt's beginning whose state the sequence holds. */
  readonly cachedTokens: number;
  readonly participant: Participant;
  /** Prompt and completion together. */
  readonly limit: number;
  readonly signal: AbortSignal;
  readonly onText: (text: string) => void;
}

/** How a completion ended. */
export interface Generated {
  readonly ending: Ending;
  readonly completionTokens: number;
}

/** Generates until an end id, a stop text, the limit or the caller ends it. */
export async function generate(job: GenerationJob, decoding: Decoding): Promise<Generated> {
  const { slot, participant, signal, onText } = decoding;
  const maxTokens = Math.min(job.maxTokens, decoding.limit - job.promptIds.length);
  const text = decoding.vocabulary.createDecoder();
  const scanner = createStopScanner(job.stop);
  const generated: Token[] = [];
  const pass = (piece: string): void => {
    if (piece !== '') onText(piece);
  };
  const options = evaluateOptions(job.sampling, decoding, generated);
  const rest = await readPrompt(job, decoding);
  if (rest === null) return { ending: 'aborted', completionTokens: 0 };
  // The variant with metadata, of which none is asked for, spares a generator around the generator.
  const drawn = slot.sequence.evaluateWithMetadata(rest, {}, options);
  let ending: Ending = 'stop'; // The generator ends by itself at an end id.
  let isStopped = false;
  try {
    for (;;) {
      const next = await drawn.next();
      if (next.done === true) break;
      if (signal.aborted) return { ending: 'aborted', completionTokens: generated.length };
      generated.push(next.value.token);
      const scanned = scanner.push(text.push(next.value.token));
      pass(scanned.text);
      isStopped = scanned.stopped;
      if (isStopped) break;
      if (generated.length >= maxTokens) {
        ending = 'length';
        break;
      }
      await participant.next(1);
    }
  } finally {
    await drawn.return();
  }
  if (!isStopped) {
    const last = scanner.push(text.flush());
    pass(last.text);
    if (last.stopped) ending = 'stop';
    else pass(scanner.flush());
  }
  return { ending, completionTokens: generated.length };
}

/** Reads the prompt but for what the last step reads; null when the caller has left. */
async function readPrompt(
  job: GenerationJob,
  { slot, cachedTokens, participant, limit, signal }: Decoding,
): Promise<Token[] | null> {
  // node-llama-cpp would shift the context and cut the prompt in silence; the model server has refused such a prompt.
  if (job.promptIds.length === 0 || job.promptIds.length + 1 > limit)
    throw new Error('the prompt does not fit the context');
  let rest = job.promptIds.slice(cachedTokens) as Token[]; // node-llama-cpp brands its numbers.
  for (;;) {
    const amount = await participant.next(rest.length);
    if (signal.aborted) return null;
    if (amount === rest.length) return rest;
    await slot.sequence.evaluateWithoutGeneratingNewTokens(rest.slice(0, amount), {
      evaluationPriority: priorityOf(slot),
    });
    rest = rest.slice(amount);
  }
}

/** Typed as 1 to 5 but passed through untouched in 3.21.1; the self-test at start notices when that changes. */
function priorityOf({ number }: Slot<LlamaContextSequence>): EvaluationPriority {
  return number as EvaluationPriority;
}
type EvaluationPriority = NonNullable<SequenceEvaluateOptions['evaluationPriority']>;

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
    evaluationPriority: priorityOf(slot),
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
