// The one renderer of refusals: OpenAI shape or problem+json, challenge, Retry-After, request id.
import type { GatewayError } from '../core/errors.ts';
import type { Received } from './exchange.ts';

/** Answers a refusal; after streaming has begun, sends one `data: {"error":…}` event and ends without `[DONE]`. */
export function refuse(_received: Received, _refusal: GatewayError): void {
  throw new Error('not built yet');
}
