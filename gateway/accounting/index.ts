// Last stage, always: writes the audit record and counts.
import type { Received } from '../exchange.ts';

/** Never throws. Called once per request, when the answer has ended or the caller has gone. */
export function account(_received: Received): void {
  throw new Error('not built yet');
}
