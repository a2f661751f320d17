// What happens to a request, in order, written once. Every stage may throw a GatewayError; anything else is a bug of
// ours and becomes `internal_error` (fail closed). Accounting always runs, also after a refusal or a disconnect.
import { GatewayError } from '../core/errors.ts';
import { account } from './accounting/index.ts';
import { authenticate } from './authenticate/index.ts';
import { authorizeAsking } from './authorize/ask.ts';
import { oblige } from './authorize/index.ts';
import { readBody } from './body.ts';
import { refuse } from './error-response.ts';
import type { Received } from './exchange.ts';
import { forward } from './forward/index.ts';
import { guard, refuseAboveCeiling } from './guard/index.ts';
import { admit, countFailedAuthentication, limit, settle } from './limit/index.ts';

/**
 * Takes one request through authenticate → body → authorize → limit → guard → forward → account; never rejects. Waits
 * only where a stage answers with a promise: a turn of the microtask queue for each stage would cost more than some of them.
 */
export async function handle(received: Received): Promise<void> {
  try {
    const admitting = admit(received);
    if (admitting instanceof Promise) await admitting;
    const authenticating = authenticate(received);
    const authenticated = authenticating instanceof Promise ? await authenticating : authenticating;
    const reading = readBody(authenticated);
    const parsed = reading instanceof Promise ? await reading : reading;
    const authorizing = authorizeAsking(parsed);
    const authorized = authorizing instanceof Promise ? await authorizing : authorizing;
    const limiting = limit(oblige(authorized), refuseAboveCeiling);
    const limited = limiting instanceof Promise ? await limiting : limiting;
    const forwarding = forward(guard(limited));
    if (forwarding instanceof Promise) await forwarding;
  } catch (error) {
    const refusal =
      error instanceof GatewayError ? error : new GatewayError('internal_error', { cause: error });
    // Neither a nonce nor a new sign-in is asked of bad credentials, and what is revoked in mid-request was good by then.
    const wereGood =
      refusal.code === 'use_dpop_nonce' ||
      refusal.stepUp !== undefined ||
      received.signal.reason instanceof GatewayError;
    if (refusal.definition.status === 401 && !wereGood) countFailedAuthentication(received, refusal.code);
    refuse(received, refusal);
  } finally {
    settle(received);
    account(received);
  }
}
