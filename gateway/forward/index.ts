// Sixth stage: pick the upstream, send the judged bytes, stream the answer back.
import type { Guarded } from '../exchange.ts';

export async function forward(_guarded: Guarded): Promise<void> {
  throw new Error('not built yet');
}
