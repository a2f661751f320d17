// Guard kind `parameter_ceilings`: how much one request may ask for. A parameter that is absent is left to the
// upstream's default; types were checked before (parameter-types.ts).
import { z } from 'zod';
import { ceilingsShape, compileCeilings, type CeilingTest } from '../ceilings.ts';
import type { CompiledGuard, GuardKind, Objection } from './guard.ts';

const schema = z.strictObject({
  kind: z
    .literal('parameter_ceilings')
    .describe('Refuses parameters above a ceiling with `parameter_above_ceiling`.'),
  ...ceilingsShape,
});

/** What a test of ceilings objects to. */
export function ceilingObjection(
  test: CeilingTest,
  body: Readonly<Record<string, unknown>>,
): Objection | null {
  const excess = test(body);
  if (excess === null) return null;
  const { param, size, ceiling } = excess;
  return {
    code: 'parameter_above_ceiling',
    reason: `${param} ${size} above ${ceiling}`,
    param,
    params: { param, ceiling },
  };
}

/** Ceilings for what one request may ask for. */
export const parameterCeilings = {
  name: 'parameter_ceilings',
  schema,
  create(options): CompiledGuard {
    const test = compileCeilings(options);
    return { check: (body) => ceilingObjection(test, body) };
  },
} as const satisfies GuardKind<typeof schema>;
