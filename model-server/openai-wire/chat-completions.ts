// POST /v1/chat/completions: answers a conversation through the plain template of chat-template.ts.
import { z } from 'zod';
import { bodyInvalid, parseBody } from '../request-body.ts';
import { chatStopText, renderChat, type ChatMessage } from './chat-template.ts';
import { sendJson, type EndpointCall } from './endpoint-call.ts';
import {
  assertConsistent,
  chatOnlyOffMembers,
  completionMembers,
  samplingOf,
  stopTextsOf,
} from './parameters.ts';
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

const textPart = z.strictObject({
  type: z.literal('text', 'only text parts are supported'),
  text: z.string(),
});

/** Messages of a conversation; tool calls, images and audio are refused. */
export const chatMessages = z
  .array(
    z.strictObject({
      role: z.enum(['system', 'developer', 'user', 'assistant']),
      content: z.union([z.string(), z.array(textPart).min(1)], 'expected text or a list of text parts'),
      name: z.string().optional(),
      refusal: z.null().optional(),
    }),
  )
  .min(1);

const chatBody = z.strictObject({
  ...completionMembers,
  ...chatOnlyOffMembers,
  messages: chatMessages,
  max_completion_tokens: z.int().min(1).optional(),
});

/** Enough for an answer of a model that rarely stops by itself. */
const defaultMaxTokens = 256;

/** The template's messages from the wire's. */
export function chatMessagesOf(messages: z.output<typeof chatMessages>): readonly ChatMessage[] {
  return messages.map(({ role, content }) => ({
    role,
    text: typeof content === 'string' ? content : content.map((part) => part.text).join(''),
  }));
}

/** Answers one request. @throws GatewayError */
export async function answerChatCompletions(call: EndpointCall): Promise<void> {
  const body = parseBody(call.body, chatBody);
  assertConsistent(body);
  const { max_tokens, max_completion_tokens } = body;
  if (
    max_tokens !== undefined &&
    max_completion_tokens !== undefined &&
    max_tokens !== max_completion_tokens
  ) {
    throw bodyInvalid('max_tokens: given together with another max_completion_tokens', 'max_tokens');
  }
  const prompts = await promptIdsOf(call.engine, [renderChat(chatMessagesOf(body.messages))], 'messages');
  const jobs = jobsOf(
    {
      prompts,
      perPrompt: body.n,
      maxTokens: max_completion_tokens ?? max_tokens,
      defaultMaxTokens,
      sampling: samplingOf(body, call.engine.card(), call.defaultTopK),
      seed: body.seed,
      stop: [...stopTextsOf(body.stop), chatStopText],
    },
    call.engine,
    { maxChoices: call.maxChoices, param: 'messages' },
  );
  const object = body.stream ? 'chat.completion.chunk' : 'chat.completion';
  const head = {
    id: newId('chatcmpl'),
    object,
    created: nowSeconds(),
    model: call.modelId,
    system_fingerprint: call.fingerprint,
  };

  if (!body.stream) {
    const completions = await generateWhole(call, jobs, (text) => text.trimStart());
    const usage = usageOf(prompts, completions);
    call.count(countedOf(usage));
    const choices = completions.map((completion, index) => ({
      index,
      message: { role: 'assistant', content: completion.text, refusal: null },
      logprobs: null,
      finish_reason: finishReasonOf(completion),
    }));
    sendJson(call.response, { ...head, choices, usage });
    return;
  }
  const includesUsage = body.stream_options?.include_usage ?? false;
  const chunk = (index: number, delta: object, finish_reason: string | null): object => ({
    ...head,
    choices: [{ index, delta, logprobs: null, finish_reason }],
    ...(includesUsage ? { usage: null } : {}),
  });
  const completions = await generateStream(
    call,
    { jobs, prompts, obfuscate: body.stream_options?.include_obfuscation ?? true, trimsStart: true },
    {
      opening: (choice) => chunk(choice, { role: 'assistant', content: '', refusal: null }, null),
      text: (choice, content) => chunk(choice, { content }, null),
      finish: (choice, completion) => chunk(choice, {}, finishReasonOf(completion)),
      usage: includesUsage ? (usage) => ({ ...head, choices: [], usage }) : null,
    },
  );
  const usage = usageOf(prompts, completions);
  call.count(countedOf(usage));
}
