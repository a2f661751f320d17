// Fourth stage: how much. Counts the request against every limit of its route; 429 with the standard headers.
import type { Authorized, Limited, Received } from '../exchange.ts';

/** What the limits say about this request; its headers go onto the answer. */
export interface Reservation {
  readonly headers: Readonly<Record<string, string>>;
}

export type { Limits } from './limits-policy.ts';

/** Before authenticate: refuses an address that has presented too many bad credentials. */
export async function admit(_received: Received): Promise<void> {
  throw new Error('not built yet');
}

/** After a 401: counts the bad credential against its address. Never throws. */
export function countFailedAuthentication(_received: Received): void {
  throw new Error('not built yet');
}

export async function limit(_authorized: Authorized): Promise<Limited> {
  throw new Error('not built yet');
}
