// The one renderer of the model server's refusals: OpenAI shape, Retry-After, x-should-retry.
import type { ServerResponse } from 'node:http';
import { GatewayError } from '../core/errors.ts';

const defaultRetrySeconds = 1;

/** Anything thrown as a catalogued refusal: what is not one is a bug of ours. */
export function refusalOf(error: unknown): GatewayError {
  return error instanceof GatewayError ? error : new GatewayError('internal_error', { cause: error });
}

/** The OpenAI error object, all four members. */
export function errorBody(refusal: GatewayError): object {
  const { openAiType } = refusal.definition;
  return {
    error: {
      message: refusal.publicMessage,
      type: openAiType,
      param: refusal.param ?? null,
      code: refusal.code,
    },
  };
}

/** Answers a refusal; once streaming has begun, one error event without `[DONE]`, since SDKs take a bare close for the end. */
export function refuse(response: ServerResponse, refusal: GatewayError): void {
  if (response.destroyed || response.writableEnded) return;
  if (response.headersSent) {
    response.end(`data: ${JSON.stringify(errorBody(refusal))}\n\n`);
    return;
  }
  const { status, challenge, retryable } = refusal.definition;
  const body = JSON.stringify(errorBody(refusal));
  const headers: Record<string, string | number> = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...refusal.headers,
  };
  // RFC 9110 §11.6.1: a 401 carries a challenge.
  if (challenge !== null) headers['www-authenticate'] = 'Sallyport-Assertion';
  if (status === 429 || status === 503)
    headers['retry-after'] = refusal.retryAfterSeconds ?? defaultRetrySeconds;
  if (!retryable) headers['x-should-retry'] = 'false';
  if (!response.req.complete) response.shouldKeepAlive = false; // The unread rest must never become a request.
  response.writeHead(status, headers).end(body);
}
