// Answers `kind: models` routes: the list of models that the caller may use, or one of them.
import { GatewayError } from '../../core/errors.ts';
import type { Guarded } from '../exchange.ts';
import { jsonHead } from './answer-head.ts';

// The OpenAI shape demands a creation time; the gateway knows none, so it states its own start.
const created = Math.floor(Date.now() / 1000);

/** Answers the list, or one model; a model that exists but is not permitted is as unknown as any other. */
export function answerModels(guarded: Guarded): void {
  const { snapshot, effective, pathModel, outcome, response } = guarded;
  const permitted = effective.visibleModels.filter((id) => snapshot.models.has(id));
  if (pathModel !== null && !permitted.includes(pathModel))
    throw new GatewayError('model_not_found', { params: { model: pathModel } });
  const answer = pathModel === null ? listObject(permitted) : modelObject(pathModel);
  const bytes = Buffer.from(JSON.stringify(answer));
  outcome.firstByteAt = performance.now();
  response.writeHead(200, jsonHead(guarded, {}, bytes.length));
  response.end(bytes);
}

function listObject(ids: readonly string[]): object {
  // eslint-disable-next-line id-denylist -- a name of the OpenAI wire format.
  return { object: 'list', data: ids.map(modelObject) };
}

function modelObject(id: string): { id: string; object: 'model'; created: number; owned_by: string } {
  return { id, object: 'model', created, owned_by: 'sallyport' };
}
