// Fifth stage: is this content allowed, are the parameters within their ceilings.
import type { Guarded, Limited } from '../exchange.ts';

/** The compiled guards.yaml. */
export interface Guards {
  readonly names: ReadonlySet<string>;
}

export function guard(_limited: Limited): Guarded {
  throw new Error('not built yet');
}
