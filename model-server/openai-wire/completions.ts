// POST /v1/completions: continues a text.
import { z } from 'zod';
import { bodyInvalid, parseBody } from '../request-body.ts';
import type { Engine } from '../engine/engine.ts';
import { sendJson, type EndpointCall } from './endpoint-call.ts';
import { assertConsistent, completionMembers, onlyOff, samplingOf, stopTextsOf } from './parameters.ts';
import {
  countedOf,
  finishReasonOf,
  generateStream,
  generateWhole,
  jobsOf,
  newId,
  nowSeconds,
  promptIdsOf,
  usageOf,
} from './run-choices.ts';

const idList = z.array(z.int().min(0)).min(1);

/** A prompt or an input: text, texts, one list of ids or several. */
export const textsOrIds = z.union([z.string(), z.array(z.string()).min(1), idList, z.array(idList).min(1)]);

const completionsBody = z.strictObject({
  ...completionMembers,
  prompt: textsOrIds,
  echo: z.boolean().default(false),
  suffix: onlyOff((value) => value === '', ' by GPT-2'),
  logprobs: onlyOff(() => false, ' by this model server'),
  best_of: z.int().optional(),
});

/** OpenAI's default for this endpoint. */
const defaultMaxTokens = 16;

/** Answers one request. @throws GatewayError */
export async function answerCompletions(call: EndpointCall): Promise<void> {
  const body = parseBody(call.body, completionsBody);
  assertConsistent(body);
  if (body.best_of !== undefined && body.best_of !== body.n)
    throw bodyInvalid('best_of: not supported unless equal to n', 'best_of');
  if (body.echo && typeof body.prompt !== 'string' && !isTexts(body.prompt))
    throw bodyInvalid('echo: only with a prompt of text', 'echo');

  const prompts = await idsOf(call.engine, body.prompt, 'prompt');
  const jobs = jobsOf(
    {
      prompts,
      perPrompt: body.n,
      maxTokens: body.max_tokens,
      defaultMaxTokens,
      sampling: samplingOf(body, call.engine.card(), call.defaultTopK),
      seed: body.seed,
      stop: stopTextsOf(body.stop),
    },
    call.engine,
    { maxChoices: call.maxChoices, param: 'prompt' },
  );
  const echoed = (choice: number): string => {
    if (!body.echo) return '';
    const prompt = isTexts(body.prompt) ? body.prompt[Math.floor(choice / body.n)] : body.prompt;
    return typeof prompt === 'string' ? prompt : '';
  };
  const head = {
    id: newId('cmpl'),
    object: 'text_completion',
    created: nowSeconds(),
    model: call.modelId,
    system_fingerprint: call.fingerprint,
  };

  if (!body.stream) {
    const completions = await generateWhole(call, jobs, (text) => text);
    const usage = usageOf(prompts, completions);
    call.count(countedOf(usage));
    const choices = completions.map((completion, index) => ({
      text: echoed(index) + completion.text,
      index,
      logprobs: null,
      finish_reason: finishReasonOf(completion),
    }));
    sendJson(call.response, { ...head, choices, usage });
    return;
  }
  const includesUsage = body.stream_options?.include_usage ?? false;
  const chunk = (index: number, text: string, finish_reason: string | null): object => ({
    ...head,
    choices: [{ text, index, logprobs: null, finish_reason }],
    ...(includesUsage ? { usage: null } : {}),
  });
  const completions = await generateStream(
    call,
    { jobs, prompts, obfuscate: body.stream_options?.include_obfuscation ?? true, trimsStart: false },
    {
      opening: (choice) => (echoed(choice) === '' ? null : chunk(choice, echoed(choice), null)),
      text: (choice, text) => chunk(choice, text, null),
      finish: (choice, completion) => chunk(choice, '', finishReasonOf(completion)),
      usage: includesUsage ? (usage) => ({ ...head, choices: [], usage }) : null,
    },
  );
  const usage = usageOf(prompts, completions);
  call.count(countedOf(usage));
}

/**
 * The ids of a prompt or input in any of its four forms.
 * Checks that ids exist in the vocabulary and that texts can fit the context. @throws GatewayError
 */
export async function idsOf(
  engine: Engine,
  value: z.output<typeof textsOrIds>,
  param: string,
): Promise<readonly (readonly number[])[]> {
  if (typeof value === 'string') return promptIdsOf(engine, [value], param);
  if (isTexts(value)) return promptIdsOf(engine, value, param);
  const lists = value.every((item) => typeof item === 'number')
    ? [value]
    : value.filter((item) => typeof item === 'object');
  const { vocabularySize } = engine.card();
  const unknown = lists.flat().find((id) => id >= vocabularySize);
  if (unknown !== undefined) throw bodyInvalid(`${param}: the model has no token ${unknown}`, param);
  return lists;
}

function isTexts(value: z.output<typeof textsOrIds>): value is string[] {
  return Array.isArray(value) && typeof value[0] === 'string';
}
