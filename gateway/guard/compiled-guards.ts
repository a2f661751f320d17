// Compiles guards.yaml; the ordered list of kinds is here.
import { deniedWords } from './denied-words.ts';
import type { CompiledGuard } from './guard.ts';
import type { GuardsPolicy } from './guards-policy.ts';
import { parameterCeilings } from './parameter-ceilings.ts';

/** Every kind of guard; a new one is a file and a line here and in guards-policy.ts. */
export const guardKinds = [deniedWords, parameterCeilings] as const;

/** The compiled guards.yaml. */
export interface Guards {
  readonly names: ReadonlySet<string>;
  readonly byName: ReadonlyMap<string, CompiledGuard>;
}

/** Compiles every guard once; what is slow about a guard happens here. */
export function compileGuards(policy: GuardsPolicy): Guards {
  const byName = new Map(Object.entries(policy.guards).map(([name, options]) => [name, compile(options)]));
  return { names: new Set(byName.keys()), byName };
}

function compile(options: GuardsPolicy['guards'][string]): CompiledGuard {
  switch (options.kind) {
    case 'denied_words':
      return deniedWords.create(options);
    case 'parameter_ceilings':
      return parameterCeilings.create(options);
  }
}
