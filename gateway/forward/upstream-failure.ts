// What a refusing upstream means to the caller. Nothing of the upstream's own words, headers
// or addresses gets through, except the message of a service that is ours.
import type { IncomingHttpHeaders } from 'node:http';
import { GatewayError, type GatewayErrorOptions } from '../../core/errors.ts';

/** An answer of the upstream that is not 2xx. */
export interface RefusingAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The parsed body, or null when it was not JSON or too long. */
  readonly json: unknown;
  readonly model: string | null;
  /** Whether the upstream is one of our own services, whose messages are fit for callers. */
  readonly isOurs: boolean;
}

/**
 * The refusal for an upstream's own refusal.
 * Its 401 and 403 are about our credential, not the caller's, and so become 502; redirects are never followed.
 */
export function refusalOfAnswer(answer: RefusingAnswer): GatewayError {
  const { status } = answer;
  const reason = `upstream_${status}`;
  if (status === 429 || status === 503)
    return new GatewayError('server_is_overloaded', {
      reason,
      retryAfterSeconds: retryAfter(answer.headers),
    });
  if (status === 408 || status === 504) return new GatewayError('upstream_timeout', { reason });
  if (status === 401 || status === 403 || status === 407 || status === 502)
    return new GatewayError('upstream_unavailable', { reason });
  if (status === 400 || status === 404 || status === 413 || status === 422)
    return refusalOfRequest(answer, { reason });
  return new GatewayError('upstream_invalid_response', { reason });
}

function refusalOfRequest(answer: RefusingAnswer, options: GatewayErrorOptions): GatewayError {
  const error = memberOf(answer.json, 'error');
  const code = memberOf(error, 'code');
  const param = memberOf(error, 'param');
  const named = typeof param === 'string' && /^[\w.[\]]{1,64}$/.test(param) ? { param } : {};
  if (code === 'context_length_exceeded')
    return new GatewayError('context_length_exceeded', { ...options, ...named });
  if (code === 'model_not_found' || (answer.status === 404 && param === 'model')) {
    return new GatewayError('model_not_found', { ...options, params: { model: answer.model ?? '' } });
  }
  if (answer.status === 404) return new GatewayError('endpoint_not_found', options);
  const message = memberOf(error, 'message');
  const problem =
    answer.isOurs && typeof message === 'string' ? withoutFrame(message) : 'the model server refuses it';
  return new GatewayError('body_invalid', { ...options, ...named, params: { problem } });
}

// Our model server renders the same catalogue sentence; only its `{problem}` is wanted inside ours.
function withoutFrame(message: string): string {
  return message.replace(/^The request body is not acceptable: /, '').replace(/\.$/, '');
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? Object.getOwnPropertyDescriptor(value, name)?.value
    : undefined;
}

function retryAfter(headers: IncomingHttpHeaders): number {
  const seconds = /^\d{1,5}$/.test(headers['retry-after'] ?? '') ? Number(headers['retry-after']) : 5;
  return Math.min(Math.max(seconds, 1), 3600);
}
