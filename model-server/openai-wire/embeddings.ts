// POST /v1/embeddings: one vector of length 1 per input.
import { z } from 'zod';
import { bodyInvalid, parseBody } from '../request-body.ts';
import { idsOf, textsOrIds } from './completions.ts';
import { sendJson, type EndpointCall } from './endpoint-call.ts';
import { harmlessMembers } from './parameters.ts';
import { contextExceeded } from './run-choices.ts';

const embeddingsBody = z.strictObject({
  model: z.string().min(1),
  input: textsOrIds,
  encoding_format: z.enum(['float', 'base64']).default('float'),
  dimensions: z.int().min(1).optional(),
  ...harmlessMembers,
});

/** Answers one request. @throws GatewayError */
export async function answerEmbeddings(call: EndpointCall): Promise<void> {
  const body = parseBody(call.body, embeddingsBody);
  const { embeddingSize, context } = call.engine.card();
  if (body.dimensions !== undefined && body.dimensions !== embeddingSize) {
    throw bodyInvalid(`dimensions: this model has ${embeddingSize}`, 'dimensions');
  }
  if (body.input === '' || (Array.isArray(body.input) && body.input.some((item) => item === '')))
    throw bodyInvalid('input: an empty text has no embedding', 'input');
  const inputs = await idsOf(call.engine, body.input, 'input');
  if (inputs.length > call.maxInputs) throw bodyInvalid(`input: at most ${call.maxInputs} texts`, 'input');
  // The embedding context wants one place more than the ids, and may add a begin and an end id.
  if (inputs.some((ids) => ids.length > context - 3)) throw contextExceeded('input');

  let promptTokens = 0;
  const embeddings: object[] = [];
  for (const [index, ids] of inputs.entries()) {
    if (call.signal.aborted) return; // One after another, so that a caller who left costs one input at most.
    const embedded = await call.engine.embed(ids, { principal: call.principal, signal: call.signal });
    promptTokens += embedded.promptTokens;
    embeddings.push({
      object: 'embedding',
      index,
      embedding: encoded(embedded.vector, body.encoding_format),
    });
  }
  call.count({ promptTokens, cachedTokens: 0, completionTokens: 0 });
  const usage = { prompt_tokens: promptTokens, total_tokens: promptTokens };
  // eslint-disable-next-line id-denylist -- a name of the OpenAI wire format.
  sendJson(call.response, { object: 'list', data: embeddings, model: call.modelId, usage });
}

function encoded(vector: Buffer, form: 'float' | 'base64'): string | number[] {
  if (form === 'base64') return vector.toString('base64');
  return Array.from({ length: vector.length / 4 }, (_, index) => vector.readFloatLE(index * 4));
}
