// Answers `kind: decision` routes: the gateway as a policy decision point for other services, over OpenID AuthZEN 1.0.
// Trusts that authorize has permitted the asking service to ask; what it states about others it is trusted to state.
import { GatewayError } from '../../core/errors.ts';
import { StrictJsonError, parseStrictObject } from '../../core/strict-json.ts';
import { collectBody, isJsonRequest } from '../body.ts';
import type { Asked, Guarded, Searched } from '../exchange.ts';
import { jsonHead } from '../forward/answer-head.ts';
import { refusalOfAbort } from '../forward/openai.ts';
import { echoOf } from '../request-id.ts';
import { askerOf, type Asker } from './asker.ts';
import { operationOf, type AccessOperation } from './endpoints.ts';
import { evaluate, evaluateAll } from './evaluations.ts';
import type { Json } from './question.ts';
import { search } from './search.ts';

/**
 * Answers a question.
 * Checks: media type, size, strict JSON, the form of the request.
 * Does not check: whether the asking service may ask (authorize) and how often (limit).
 * @throws GatewayError `body_invalid`, `body_too_large`
 */
export async function answerAccess(guarded: Guarded): Promise<void> {
  const { route, request, response, outcome, signal } = guarded;
  const operation = operationOf(route.path);
  if (operation === null) throw new GatewayError('internal_error', { reason: 'no_access_operation' });
  const json = parse(await readQuestion(guarded));
  const asked: (Asked | Searched)[] = [];
  outcome.asked = asked;
  const answer = await answers[operation](json, await askerOf(guarded, asked));
  if (outcome.aborted) return;
  if (signal.aborted) throw refusalOfAbort(signal);
  const bytes = Buffer.from(JSON.stringify(answer));
  outcome.firstByteAt = performance.now();
  response.writeHead(200, { ...jsonHead(guarded, {}, bytes.length), ...echoOf(request) });
  response.end(bytes);
}

const answers: Readonly<Record<AccessOperation, (json: Json, asker: Asker) => Promise<Json>>> = {
  evaluation: evaluate,
  evaluations: evaluateAll,
  'search/subject': (json, asker) => search('subject', json, asker),
  'search/resource': (json, asker) => search('resource', json, asker),
  'search/action': (json, asker) => search('action', json, asker),
};

async function readQuestion(guarded: Guarded): Promise<Buffer> {
  // AuthZEN 1.0 §10.1: what cannot be read is 400, whatever HTTP has besides.
  if (!isJsonRequest(guarded.request))
    throw new GatewayError('body_invalid', { params: { problem: 'its media type is not application/json' } });
  return collectBody(guarded);
}

function parse(bytes: Buffer): Json {
  try {
    return parseStrictObject(bytes);
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    throw new GatewayError('body_invalid', { params: { problem: error.message } });
  }
}
