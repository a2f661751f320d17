// Answers `kind: generate` routes: the tutorial's `{prompt, max_length}` → `{generated_text, model, model_name}`, made
// of one completion. As in a Hugging Face pipeline, `generated_text` is the prompt and its continuation; `max_length`
// bounds the new tokens only, because the gateway does not count a prompt's tokens.
import { GatewayError } from '../../core/errors.ts';
import type { Guarded } from '../exchange.ts';
import { usualGeneration } from '../model-routes.ts';
import { jsonHead } from './answer-head.ts';
import { createJsonAnswer, type JsonAnswer } from './json-answer.ts';
import { exchange } from './openai.ts';
import { assertionFor, headFor, pathFor, upstreamOf } from './upstream-request.ts';
import { noteUsage } from './usage.ts';

const maxLengthCeiling = 1024;
const knownMembers = new Set(['prompt', 'max_length', 'model', 'temperature', 'top_p', 'seed']);

/**
 * Forwards a generation and answers it in the tutorial's shape.
 * Checks: prompt is text, max_length is a whole number within its ceiling, no unknown member.
 * Does not check: the model (authorize did), the ranges of temperature, top_p and seed (the model server does).
 */
export async function forwardGenerate(guarded: Guarded): Promise<void> {
  const upstream = upstreamOf(guarded);
  const { model, body } = guarded;
  if (model === null || body === null)
    throw new GatewayError('internal_error', { reason: 'generate_without_model' });
  const { prompt, ...parameters } = parseGeneration(body.json);
  const signed = assertionFor(guarded, upstream);
  const assertion = signed instanceof Promise ? await signed : signed;
  const request = {
    method: 'POST',
    path: pathFor(guarded, upstream),
    headers: headFor(upstream, assertion, {
      id: guarded.id,
      accept: 'application/json',
      obliged: guarded.effective.upstreamHeaders,
    }),
    body: Buffer.from(JSON.stringify({ model, prompt, ...parameters })),
    id: guarded.id,
  } as const;
  await exchange(guarded, upstream, request, (done, failed) =>
    createJsonAnswer({
      model,
      isOurs: upstream.assertion !== null,
      failed,
      done: (answer) => {
        const continuation = continuationOf(answer);
        if (continuation === null) {
          failed(new GatewayError('upstream_invalid_response', { reason: 'upstream_no_choice' }));
          return;
        }
        const bytes = Buffer.from(
          JSON.stringify({ generated_text: prompt + continuation, model, model_name: model }),
        );
        noteUsage(guarded.outcome, answer.json);
        guarded.outcome.firstByteAt = performance.now();
        guarded.response.writeHead(200, jsonHead(guarded, answer.headers, bytes.length));
        guarded.response.end(bytes);
        done();
      },
    }),
  );
}

function parseGeneration(
  json: Readonly<Record<string, unknown>>,
): Record<string, unknown> & { prompt: string } {
  const unknown = Object.keys(json).find((name) => !knownMembers.has(name));
  if (unknown !== undefined) throw invalid('there is a member that this endpoint does not know', unknown);
  const { prompt, max_length: maxLength = usualGeneration, temperature, top_p, seed } = json;
  if (typeof prompt !== 'string' || prompt === '')
    throw invalid('prompt must be a text that is not empty', 'prompt');
  if (typeof maxLength !== 'number' || !Number.isInteger(maxLength) || maxLength < 1)
    throw invalid('max_length must be a whole number from 1', 'max_length');
  if (maxLength > maxLengthCeiling) {
    throw new GatewayError('parameter_above_ceiling', {
      param: 'max_length',
      params: { param: 'max_length', ceiling: maxLengthCeiling },
    });
  }
  // Members that were not given are undefined, and JSON.stringify leaves them out.
  return { prompt, max_tokens: maxLength, temperature, top_p, seed };
}

function invalid(problem: string, param: string): GatewayError {
  return new GatewayError('body_invalid', {
    params: { problem },
    ...(/^\w{1,64}$/.test(param) ? { param } : {}),
  });
}

function continuationOf(answer: JsonAnswer): string | null {
  const choices = answer.json['choices'];
  const first: unknown = Array.isArray(choices) ? choices[0] : undefined;
  const text: unknown =
    typeof first === 'object' && first !== null && 'text' in first ? first.text : undefined;
  return typeof text === 'string' ? text : null;
}
