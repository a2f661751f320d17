// Second stage: bounded read and one strict parse, only for an authenticated caller.
import type { Authenticated, Parsed } from './exchange.ts';

export async function readBody(_authenticated: Authenticated): Promise<Parsed> {
  throw new Error('not built yet');
}
