// The compiled access.yaml and what it is completed by: which actions the routes have on the gateway's own resources, and
// how stated claims become a principal. The closed world in which questions are answered and searches look.
import type { StatedClaimsJudge } from '../authenticate/index.ts';
import type { Route } from '../policies/routes.ts';
import type { AccessPolicy } from './access-policy.ts';

type Properties = Readonly<Record<string, unknown>>;

/** A type of subjects that only other services know. */
export interface SubjectType {
  /** Property in which the asking service states roles; null: roles are those of access.yaml alone. */
  readonly rolesProperty: string | null;
  readonly subjects: ReadonlyMap<
    string,
    { readonly roles: readonly string[]; readonly properties: Properties }
  >;
}

/** A type of resources of other services. */
export interface ResourceType {
  /** In the order of the file. */
  readonly actions: ReadonlySet<string>;
  readonly resources: ReadonlyMap<string, Properties>;
}

/** What questions can be about. */
export interface Access {
  readonly subjectTypes: ReadonlyMap<string, SubjectType>;
  readonly resourceTypes: ReadonlyMap<string, ResourceType>;
  /** Routes by their action, of those that are about a model, and of all others. */
  readonly modelRoutes: ReadonlyMap<string, readonly Route[]>;
  readonly gatewayRoutes: ReadonlyMap<string, readonly Route[]>;
  readonly judgeStatedClaims: StatedClaimsJudge;
}

/** Compiles access.yaml. Checks nothing: names are judged by the policy loader (gateway/policies/access-faults.ts). */
export function compileAccess(
  policy: AccessPolicy,
  { routes, judgeStatedClaims }: { routes: readonly Route[]; judgeStatedClaims: StatedClaimsJudge },
): Access {
  return {
    subjectTypes: new Map(
      Object.entries(policy.subject_types).map(([name, { roles_property, subjects }]) => [
        name,
        { rolesProperty: roles_property ?? null, subjects: new Map(Object.entries(subjects)) },
      ]),
    ),
    resourceTypes: new Map(
      Object.entries(policy.resource_types).map(([name, { actions, resources }]) => [
        name,
        { actions: new Set(actions), resources: new Map(Object.entries(resources)) },
      ]),
    ),
    modelRoutes: byAction(routes.filter(isAboutModels)),
    gatewayRoutes: byAction(routes.filter((route) => !isAboutModels(route))),
    judgeStatedClaims,
  };
}

/** Whether the action of a route is on a resource of type `model`; else it is on `gateway`. */
export function isAboutModels({ kind, path }: Pick<Route, 'kind' | 'path'>): boolean {
  return kind === 'openai' || kind === 'generate' || path.includes('{model}');
}

function byAction(routes: readonly Route[]): ReadonlyMap<string, readonly Route[]> {
  return new Map(
    routes.map(({ action }) => [action, routes.filter((route) => route.action === action)] as const),
  );
}
