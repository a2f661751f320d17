// The end of a reservation: what was reserved is replaced by what was used. Runs beside the answer's end and never
// keeps it waiting; what cannot be known stays reserved, so that nobody gains by going away early.
import type { Limited, Received } from '../exchange.ts';
import type { CountedIn } from './store.ts';

/** Model tokens that one request holds of one quota. */
export interface Held extends CountedIn {
  readonly units: number;
}

/**
 * Settles the model tokens of a request that has ended, however it ended; never throws.
 * Used up: what the upstream reported. Nothing: a refusal before an answer began, and an answer that is an error.
 * Unknown (the caller went away, the stream broke): the reservation stays.
 */
export function settle(received: Received & Partial<Pick<Limited, 'reservation'>>): void {
  const { reservation } = received;
  if (reservation === undefined || reservation.held.length === 0) return;
  const used = usedTokens(received);
  if (used === null) return;
  for (const held of reservation.held) if (used !== held.units) correct(received, held, used - held.units);
}

/** Nobody waits for it, and a fault stays here: the reservation then remains, which is never too little. */
function correct(received: Received, held: Held, units: number): void {
  try {
    const adjusting = received.services.limitStore.adjust(held, units);
    if (adjusting instanceof Promise) adjusting.catch(() => noteFault(received));
  } catch {
    noteFault(received);
  }
}

/** The store tells of its fault itself (/readyz). */
function noteFault({ services, id, outcome }: Received): void {
  services.log.warn({ request_id: id, model: outcome.model }, 'model tokens could not be settled');
}

function usedTokens({ outcome, response }: Received): number | null {
  if (outcome.promptTokens !== null || outcome.completionTokens !== null)
    return (outcome.promptTokens ?? 0) + (outcome.completionTokens ?? 0);
  if (outcome.aborted || outcome.firstByteAt !== null) return response.statusCode >= 400 ? 0 : null;
  return outcome.refusal === null ? null : 0;
}
