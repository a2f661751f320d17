// The part that both completion endpoints share: from prompts and parameters to jobs, and from the engine's results to
// one answer or a stream.
import { randomBytes } from 'node:crypto';
import { GatewayError } from '../../core/errors.ts';
import type { Completion, Engine } from '../engine/engine.ts';
import type { GenerationJob, Sampling } from '../engine/messages.ts';
import type { CountedUsage } from '../metrics.ts';
import { bodyInvalid } from '../request-body.ts';
import { createEventStream, type ChunkForm } from './event-stream.ts';
import { seedOf } from './parameters.ts';
import type { EndpointCall } from './endpoint-call.ts';

/** OpenAI's `usage`. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  /** Ids of prompts whose state was reused; they are part of `prompt_tokens`. */
  readonly prompt_tokens_details: { readonly cached_tokens: number };
}

/** What a request asks of the engine. */
export interface Choices {
  readonly prompts: readonly (readonly number[])[];
  readonly perPrompt: number;
  /** Undefined: the rest of the context, at most `defaultMaxTokens`. */
  readonly maxTokens: number | undefined;
  readonly defaultMaxTokens: number;
  readonly sampling: Omit<Sampling, 'seed'>;
  readonly seed: number | undefined;
  readonly stop: readonly string[];
}

/** An id such as `cmpl-…`. */
export function newId(prefix: string): string {
  return `${prefix}-${randomBytes(18).toString('base64url')}`;
}

/** Unix seconds. */
export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

/**
 * The ids of each prompt text.
 * Checks that no prompt is longer than the context, before any tokenizing by its bytes.
 * @throws GatewayError context_length_exceeded
 */
export async function promptIdsOf(
  engine: Engine,
  texts: readonly string[],
  param: string,
): Promise<readonly (readonly number[])[]> {
  const { context, longestPieceBytes } = engine.card();
  for (const text of texts) {
    if (Buffer.byteLength(text) > context * longestPieceBytes) throw contextExceeded(param);
  }
  return engine.tokenize(texts);
}

/** The refusal of a prompt that leaves no room for one token. */
export function contextExceeded(param: string): GatewayError {
  return new GatewayError('context_length_exceeded', { param });
}

/** One job per prompt and choice. @throws GatewayError for too many choices or too long a prompt. */
export function jobsOf(
  choices: Choices,
  engine: Engine,
  limits: { maxChoices: number; param: string },
): readonly GenerationJob[] {
  const { context } = engine.card();
  if (choices.prompts.length * choices.perPrompt > limits.maxChoices) {
    throw bodyInvalid(`n times prompts is at most ${limits.maxChoices}`, 'n');
  }
  return choices.prompts.flatMap((promptIds, prompt) => {
    const room = context - promptIds.length;
    if (room < 1) throw contextExceeded(limits.param);
    const maxTokens = Math.min(choices.maxTokens ?? choices.defaultMaxTokens, room);
    return Array.from({ length: choices.perPrompt }, (_, choice) => ({
      promptIds,
      maxTokens,
      sampling: { ...choices.sampling, seed: seedOf(choices.seed, prompt * choices.perPrompt + choice) },
      stop: choices.stop,
      isReproducible: choices.seed !== undefined || choices.sampling.temperature === 0,
    }));
  });
}

/**
 * Exact counts: each prompt once, each generated token once; as cached counts what was computed for none of a prompt's
 * choices.
 */
export function usageOf(prompts: readonly (readonly number[])[], completions: readonly Completion[]): Usage {
  const promptTokens = prompts.reduce((sum, ids) => sum + ids.length, 0);
  const completionTokens = completions.reduce((sum, completion) => sum + completion.completionTokens, 0);
  const perPrompt = completions.length / prompts.length;
  const cachedTokens = prompts.reduce((sum, _, prompt) => {
    const choices = completions.slice(prompt * perPrompt, (prompt + 1) * perPrompt);
    return sum + Math.min(...choices.map((choice) => choice.cachedTokens));
  }, 0);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

/** The same counts for the metrics. */
export function countedOf(usage: Usage): CountedUsage {
  return {
    promptTokens: usage.prompt_tokens,
    cachedTokens: usage.prompt_tokens_details.cached_tokens,
    completionTokens: usage.completion_tokens,
  };
}

/** OpenAI's `finish_reason`. */
export function finishReasonOf(completion: Completion): 'stop' | 'length' {
  return completion.ending === 'length' ? 'length' : 'stop';
}

/** A streamed answer's events beside its text. */
export interface StreamForm extends ChunkForm {
  readonly finish: (choice: number, completion: Completion) => object;
  /** The last chunk, with no choices; null when the caller did not ask for usage. */
  readonly usage: ((usage: Usage) => object) | null;
}

/** Generates without streaming. */
export async function generateWhole(
  call: EndpointCall,
  jobs: readonly GenerationJob[],
  transform: (text: string) => string,
): Promise<readonly Completion[]> {
  const completions = await call.engine.complete(jobs, {
    principal: call.principal,
    owner: call.owner,
    signal: call.signal,
  });
  return completions.map((completion) => ({ ...completion, text: transform(completion.text) }));
}

/** Generates and streams; a failure after the first event is left to the caller's renderer, which ends without `[DONE]`. */
export async function generateStream(
  call: EndpointCall,
  work: {
    readonly jobs: readonly GenerationJob[];
    readonly prompts: Choices['prompts'];
    readonly obfuscate: boolean;
    readonly trimsStart: boolean;
  },
  form: StreamForm,
): Promise<readonly Completion[]> {
  const stream = createEventStream(call.response, form, {
    heartbeatMs: call.heartbeatMs,
    obfuscate: work.obfuscate,
  });
  const begun = new Set<number>();
  const completions = await call.engine.complete(work.jobs, {
    principal: call.principal,
    owner: call.owner,
    signal: call.signal,
    onText: (choice, piece) => {
      const text = work.trimsStart && !begun.has(choice) ? piece.trimStart() : piece;
      if (text === '') return;
      begun.add(choice);
      stream.text(choice, text);
    },
    onFinished: (choice, completion) => {
      stream.text(choice, ''); // Opens a choice that generated nothing.
      stream.event(form.finish(choice, completion));
    },
  });
  if (form.usage !== null) stream.event(form.usage(usageOf(work.prompts, completions)));
  stream.end();
  return completions;
}
