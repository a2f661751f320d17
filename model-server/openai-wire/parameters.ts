// The request members that completions and chat completions share. What is not here or in the endpoint's own schema is
// refused with its name: a parameter that is ignored in silence gives answers nobody asked for.
import { z } from 'zod';
import { bodyInvalid } from '../request-body.ts';
import type { ModelCard, Sampling } from '../engine/messages.ts';

/** Accepts a parameter only with a value that means "off", and says so otherwise. */
export const onlyOff = (isOff: (value: unknown) => boolean, expectation: string): z.ZodType =>
  z.unknown().refine(isOff, `not supported${expectation}`).optional();

const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0;

/** Members that change nothing here: they name the caller, or steer caches and billing that we do not have. */
export const harmlessMembers = {
  // eslint-disable-next-line id-denylist -- a name of the OpenAI wire format.
  user: z.string().optional(),
  metadata: z.record(z.string(), z.unknown()).optional(),
  store: z.boolean().optional(),
  safety_identifier: z.string().optional(),
  prompt_cache_key: z.string().optional(),
  prompt_cache_retention: z.string().optional(),
  service_tier: z.enum(['auto', 'default']).optional(),
};

const stopText = z.string().min(1).max(256);

/** Members of both completion endpoints. */
export const completionMembers = {
  model: z.string().min(1),
  max_tokens: z.int().min(1).optional(),
  temperature: z.number().min(0).max(2).default(1),
  top_p: z.number().min(0).max(1).default(1),
  /** Not OpenAI's, but many servers' extension; 0: all candidates. */
  top_k: z.int().min(0).max(100_000).optional(),
  seed: z.int().optional(),
  stop: z.union([stopText, z.array(stopText).max(4)]).optional(),
  n: z.int().min(1).max(128).default(1),
  presence_penalty: z.number().min(-2).max(2).default(0),
  frequency_penalty: z.number().min(-2).max(2).default(0),
  logit_bias: z
    .record(z.string().regex(/^\d{1,9}$/, 'keys are token ids'), z.number().min(-100).max(100))
    .optional(),
  stream: z.boolean().default(false),
  stream_options: z
    .strictObject({
      include_usage: z.boolean().default(false),
      include_obfuscation: z.boolean().default(true),
    })
    .optional(),
  ...harmlessMembers,
};

/** Members that would ask for what GPT-2 cannot do. */
export const chatOnlyOffMembers = {
  tools: onlyOff(isEmptyList, ''),
  functions: onlyOff(isEmptyList, ''),
  tool_choice: onlyOff((value) => value === 'none' || value === 'auto', ''),
  function_call: onlyOff((value) => value === 'none' || value === 'auto', ''),
  parallel_tool_calls: z.boolean().optional(),
  response_format: onlyOff(
    (value) => JSON.stringify(value) === '{"type":"text"}',
    ' other than {"type":"text"}'.replaceAll('"', ''),
  ),
  modalities: onlyOff((value) => JSON.stringify(value) === '["text"]', ' other than text'),
  logprobs: onlyOff((value) => value === false, ' by this model server'),
  top_logprobs: onlyOff((value) => value === 0, ' by this model server'),
};

/** Checks that need more than one member. @throws GatewayError */
export function assertConsistent(body: { stream: boolean; stream_options?: unknown }): void {
  if (body.stream_options !== undefined && !body.stream) {
    throw bodyInvalid('stream_options: only together with stream: true', 'stream_options');
  }
}

/** `stop` as a list. */
export function stopTextsOf(stop: string | readonly string[] | undefined): readonly string[] {
  if (stop === undefined) return [];
  return typeof stop === 'string' ? [stop] : stop;
}

type SamplingMembers = Pick<Sampling, 'temperature'> & {
  readonly top_p: number;
  readonly top_k?: number | undefined;
  readonly presence_penalty: number;
  readonly frequency_penalty: number;
  readonly logit_bias?: Readonly<Record<string, number>> | undefined;
};

/** The sampling of a request except its seed. @throws GatewayError for a bias on an id that the model lacks or that ends it. */
export function samplingOf(
  body: SamplingMembers,
  card: ModelCard,
  defaultTopK: number,
): Omit<Sampling, 'seed'> {
  const logitBias = Object.entries(body.logit_bias ?? {}).map(([id, bias]) => [Number(id), bias] as const);
  for (const [id] of logitBias) {
    if (id >= card.vocabularySize)
      throw bodyInvalid(`logit_bias: the model has no token ${id}`, 'logit_bias');
    // node-llama-cpp ignores a bias on the end token; ignoring it in silence would be worse than refusing.
    if (card.endIds.includes(id))
      throw bodyInvalid('logit_bias: not supported on the end token', 'logit_bias');
  }
  return {
    temperature: body.temperature,
    topP: body.top_p,
    topK: body.top_k ?? defaultTopK,
    presencePenalty: body.presence_penalty,
    frequencyPenalty: body.frequency_penalty,
    logitBias,
  };
}

const seeds = 2 ** 32 - 1; // llama.cpp reads 2³² − 1 as "choose one".

/** The seed of one choice: the request's plus the choice's number, or a random one. */
export function seedOf(requested: number | undefined, choice: number): number {
  const first = requested ?? Math.floor(Math.random() * seeds);
  return (((first + choice) % seeds) + seeds) % seeds;
}
