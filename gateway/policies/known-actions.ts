// Every action that a role or a rule may name: those of routes, of other services (access.yaml), and the one that has no
// route of its own.
import { explainAction } from '../access/asker.ts';
import type { PolicyFiles } from './bundle.ts';

/** The actions; null when the routes could not be read, so that nothing can be said. */
export function knownActions({
  routes,
  access,
}: {
  readonly [Name in 'routes' | 'access']: PolicyFiles[Name] | undefined;
}): readonly string[] | null {
  if (routes === undefined || access === undefined) return null;
  const entries = Object.values(routes.value.routes);
  return [
    ...new Set([
      ...entries.map((route) => route.action),
      ...(entries.some((route) => route.kind === 'decision') ? [explainAction] : []),
      ...Object.values(access.value.resource_types).flatMap((type) => type.actions),
    ]),
  ];
}
