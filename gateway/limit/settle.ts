// The end of a reservation: what was reserved is replaced by what was used. Runs beside the answer's end and never
// keeps it waiting; what cannot be known stays reserved, so that nobody gains by going away early.
import type { Limited, Received } from '../exchange.ts';
import type { LimitRule } from './store.ts';

/** Model tokens that one request holds of one quota. */
export interface Held {
  readonly rule: LimitRule;
  readonly key: string;
  readonly units: number;
  /** Epoch ms at which the window or period ends; after it nothing is given back. */
  readonly untilMs: number;
}

/**
 * Settles the model tokens of a request that has ended, however it ended; never throws.
 * Used up: what the upstream reported. Nothing: a refusal before an answer began, and an answer that is an error.
 * Unknown (the caller went away, the stream broke): the reservation stays.
 */
export function settle(received: Received & Partial<Pick<Limited, 'reservation'>>): void {
  const { reservation, outcome, services } = received;
  if (reservation === undefined || reservation.held.length === 0) return;
  const used = usedTokens(received);
  if (used === null) return;
  void Promise.all(
    reservation.held.map(async ({ rule, key, units, untilMs }) => {
      const difference = used - units;
      if (difference === 0 || (difference < 0 && Date.now() >= untilMs)) return;
      await services.limitStore.adjust(rule, key, difference);
    }),
  ).catch(() => {
    // The store tells of its fault itself (/readyz); the reservation stays, which is never too little.
    services.log.warn({ request_id: received.id, model: outcome.model }, 'model tokens could not be settled');
  });
}

/** Gives all back, for a request that is refused. */
export async function giveBack({ services }: Received, held: readonly Held[]): Promise<void> {
  await Promise.all(held.map(({ rule, key, units }) => services.limitStore.adjust(rule, key, -units))).catch(
    () => undefined,
  ); // As above.
}

function usedTokens({ outcome, response }: Received): number | null {
  if (outcome.promptTokens !== null || outcome.completionTokens !== null)
    return (outcome.promptTokens ?? 0) + (outcome.completionTokens ?? 0);
  if (outcome.aborted || outcome.firstByteAt !== null) return response.statusCode >= 400 ? 0 : null;
  return outcome.refusal === null ? null : 0;
}
