// Second stage: bounded read and one strict parse, only for an authenticated caller.
import { GatewayError } from '../core/errors.ts';
import { IncomingMessage } from '../core/node-http.ts';
import { StrictJsonError } from '../core/strict-json.ts';
import type { CallerRequest } from './caller.ts';
import type { Authenticated, Parsed, RequestBody } from './exchange.ts';
import { parseStrictJson } from './strict-json.ts';

/**
 * Reads and parses the body of routes whose content is judged (`openai`, `generate`, `revocations`), and names the model.
 * Checks: media type, no content coding, size, arrival in time (server options), JSON (strict-json.ts), that the model in
 * the path and the one in the body agree. Synchronous when the body came with its head.
 * Does not check: that the model exists (authorize) or what the members mean (guard).
 * Bodies of `http` and `decision` routes are left in the stream, bounded where they are read.
 */
export function readBody(authenticated: Authenticated): Parsed | Promise<Parsed> {
  const parsed = authenticated as Authenticated & { body: RequestBody | null; model: string | null }; // Filled in place: see exchange.ts.
  const { route, request, outcome, pathModel } = authenticated;
  parsed.body = null;
  parsed.model = pathModel;
  if (route.kind !== 'openai' && route.kind !== 'generate' && route.kind !== 'revocations') {
    outcome.model = pathModel;
    return parsed;
  }
  if (!isJsonRequest(request)) throw new GatewayError('unsupported_media_type');
  const bytes = collectBody(authenticated);
  return bytes instanceof Promise ? bytes.then((whole) => withBody(parsed, whole)) : withBody(parsed, bytes);
}

function withBody(
  parsed: Authenticated & { body: RequestBody | null; model: string | null },
  bytes: Buffer,
): Parsed {
  const { route, outcome, pathModel } = parsed;
  const body = parse(bytes);
  parsed.body = body;
  if (route.kind !== 'revocations') parsed.model = modelOf(body, pathModel);
  outcome.model = parsed.model;
  return parsed;
}

/** Whether a request says that its body is plain JSON in UTF-8. */
export function isJsonRequest({ headers }: Pick<CallerRequest, 'headers'>): boolean {
  const { 'content-type': contentType, 'content-encoding': encoding } = headers;
  if (encoding !== undefined && encoding !== 'identity') return false;
  if (contentType === 'application/json') return true;
  // Parameters other than charset=utf-8 are refused: utf-16 or utf-7 would be read as something else upstream.
  return (
    contentType !== undefined && /^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?$/i.test(contentType)
  );
}

/** The whole body, no longer than the route permits; at once where it has come. @throws GatewayError `body_too_large`, `body_invalid` */
export function collectBody({ request, response, route }: Authenticated): Buffer | Promise<Buffer> {
  const limit = route.maxBodyBytes;
  const declared = request.headers['content-length'];
  if (declared !== undefined && Number(declared) > limit)
    throw new GatewayError('body_too_large', { params: { limit } });
  // RFC 9110 §10.1.1: only now is the caller told to go on, so a refused caller never sends the body.
  if (request.headers.expect !== undefined) response.writeContinue();
  if (request.collectBody !== undefined) return request.collectBody(limit);
  if (!(request instanceof IncomingMessage))
    throw new GatewayError('internal_error', { reason: 'no_way_to_the_body' });
  return collectStream(request, limit);
}

function collectStream(request: IncomingMessage, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > limit) {
        request.pause();
        request.removeAllListeners('data');
        reject(new GatewayError('body_too_large', { params: { limit } }));
        return;
      }
      chunks.push(chunk);
    });
    request.on('end', () =>
      resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, length)),
    );
    const cut = (): void => {
      if (request.complete) return; // `close` also follows a whole body; an error made in vain would cost 3 µs.
      reject(
        new GatewayError('body_invalid', { params: { problem: 'it was cut off' }, reason: 'caller_gone' }),
      );
    };
    request.on('error', cut);
    request.on('close', cut);
    if (request.destroyed) cut(); // It was cut off before anybody read it.
  });
}

function parse(bytes: Buffer): RequestBody {
  try {
    return parseStrictJson(bytes);
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    throw new GatewayError('body_invalid', { params: { problem: error.message } });
  }
}

function modelOf(body: RequestBody, pathModel: string | null): string | null {
  const named = body.json['model'];
  if (named === undefined) return pathModel;
  if (typeof named !== 'string' || named === '') {
    throw new GatewayError('body_invalid', { params: { problem: 'model is not a string' }, param: 'model' });
  }
  if (pathModel !== null && named !== pathModel) {
    throw new GatewayError('body_invalid', {
      params: { problem: 'model differs from the one in the path' },
      param: 'model',
    });
  }
  return named;
}
