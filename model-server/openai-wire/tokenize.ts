// POST /v1/tokenize: the exact count of a text, a prompt or a conversation, for budgets that reserve before they spend.
import { z } from 'zod';
import { bodyInvalid, parseBody } from '../request-body.ts';
import { chatMessages, chatMessagesOf } from './chat-completions.ts';
import { renderChat } from './chat-template.ts';
import { sendJson, type EndpointCall } from './endpoint-call.ts';

const tokenizeBody = z.strictObject({
  model: z.string().min(1),
  text: z.string().optional(),
  prompt: z.string().optional(),
  messages: chatMessages.optional(),
  return_tokens: z.boolean().default(false),
});

/** Answers `{ count, context }`, with `tokens` when asked for. @throws GatewayError */
export async function answerTokenize(call: EndpointCall): Promise<void> {
  const body = parseBody(call.body, tokenizeBody);
  const given = [
    body.text,
    body.prompt,
    body.messages === undefined ? undefined : renderChat(chatMessagesOf(body.messages)),
  ];
  const texts = given.filter((text) => text !== undefined);
  if (texts.length !== 1) throw bodyInvalid('give one of text, prompt and messages', 'text');
  const [ids = []] = await call.engine.tokenize(texts);
  const { context } = call.engine.card();
  // eslint-disable-next-line id-denylist -- a name on the wire, as other servers have it.
  sendJson(call.response, { count: ids.length, context, ...(body.return_tokens ? { tokens: ids } : {}) });
}
