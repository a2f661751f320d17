// What routes.yaml may not say: names that nobody knows, two routes for one request, and combinations that would let a
// request past a stage.
import type { Finding } from '../../core/yaml-file.ts';
import { operationOf } from '../access/endpoints.ts';
import type { PolicyFiles } from './bundle.ts';
import type { PolicyContext } from './context.ts';
import type { RoutesPolicy } from './routes.ts';
import { unknownName } from './unknown-name.ts';

type Files = { readonly [Name in 'routes' | 'limits' | 'guards']: PolicyFiles[Name] | undefined };
type RouteEntry = RoutesPolicy['routes'][string];

/** Paths that the gateway answers itself; a route there would hide them. */
const ownPaths = /^\/($|(healthz|readyz|metrics)$|docs(\/|$)|\.well-known\/)/;

/** Faults of routes.yaml towards the other files, the configuration and itself. */
export function checkRoutes(files: Files, context: PolicyContext): Finding[] {
  const { routes } = files;
  if (routes === undefined) return [];
  const findings: Finding[] = [];
  const taken = new Map<string, string>();
  for (const [name, route] of Object.entries(routes.value.routes)) {
    const object = (path: readonly PropertyKey[], message: string): unknown =>
      findings.push(routes.finding(['routes', name, ...path], message));
    for (const method of route.methods) {
      const key = `${method} ${route.path}`;
      const other = taken.get(key);
      if (other === undefined) taken.set(key, name);
      else object(['path'], `${key} is already the route ${other}`);
    }
    if (ownPaths.test(route.path)) object(['path'], 'the gateway answers this path itself');
    for (const { path, message } of contradictions(route)) object(path, message);
    findings.push(...nameFaults(name, route, { files, routes, context }));
  }
  return findings;
}

interface Contradiction {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

const readOnlyKinds: ReadonlySet<RouteEntry['kind']> = new Set(['models', 'shadow']);
/** Kinds whose action begins with admin., and why. */
const administratorsKinds: Readonly<Partial<Record<RouteEntry['kind'], string>>> = {
  revocations: 'only administrators revoke: the action begins with admin.',
  shadow: 'the list names people: the action begins with admin.',
};

/** What one route says against itself. */
function contradictions(route: RouteEntry): Contradiction[] {
  const found: Contradiction[] = [];
  const object = (when: boolean, path: readonly PropertyKey[], message: string): unknown =>
    when && found.push({ path, message });
  const isJudged = route.kind === 'openai' || route.kind === 'generate';
  const onlyMethod = (method: string): boolean => route.methods.every((each) => each === method);
  object(
    route.kind === 'http' && route.upstream === undefined,
    ['upstream'],
    'a route of kind http names its upstream',
  );
  object(
    route.kind !== 'http' && route.upstream !== undefined,
    ['upstream'],
    'only routes of kind http name an upstream; elsewhere the model decides',
  );
  const forAdministrators = administratorsKinds[route.kind];
  const takesJson = isJudged || route.kind === 'revocations' || route.kind === 'decision';
  object(takesJson && !onlyMethod('POST'), ['methods'], `a route of kind ${route.kind} answers POST only`);
  object(
    forAdministrators !== undefined && !route.action.startsWith('admin.'),
    ['action'],
    forAdministrators ?? '',
  );
  object(
    readOnlyKinds.has(route.kind) && !onlyMethod('GET'),
    ['methods'],
    `a route of kind ${route.kind} answers GET only`,
  );
  object(
    !isJudged && route.guards.length > 0,
    ['guards'],
    `guards judge what is sent to a model; a route of kind ${route.kind} sends nothing there`,
  );
  if (route.anonymous) found.push(...opennessContradictions(route));
  if (route.kind === 'decision') found.push(...decisionContradictions(route));
  return [...found, ...placeholderFaults(route)];
}

/** What a route says against itself by `{model}` and `{id}`. */
function placeholderFaults(route: RouteEntry): Contradiction[] {
  const hasId = route.path.includes('{id}');
  if (route.path.includes('{model}') && (route.kind === 'http' || route.kind === 'decision'))
    return [{ path: ['path'], message: `a route of kind ${route.kind} has no model` }];
  if (route.kind !== 'http' && hasId)
    return [{ path: ['path'], message: 'only routes of kind http have an {id}' }];
  if (route.upstream_path !== undefined && hasId !== route.upstream_path.includes('{id}'))
    return [{ path: ['upstream_path'], message: 'path and upstream_path both have an {id}, or neither' }];
  return [];
}

/** What a route that is open to anybody may not be. */
function opennessContradictions({ kind, action, limits, require }: RouteEntry): Contradiction[] {
  const objections: readonly (readonly [boolean, string, string])[] = [
    [kind !== 'http', 'anonymous', `a route of kind ${kind} needs a caller`],
    [action.startsWith('admin.'), 'anonymous', 'an action of administrators is not open to anybody'],
    [limits.length === 0, 'anonymous', 'a route that is open to anybody needs a limit'],
    [
      require !== undefined,
      'require',
      'a route that is open to anybody reads no access token, so nothing can be required of it',
    ],
  ];
  return objections.flatMap(([holds, member, message]) => (holds ? [{ path: [member], message }] : []));
}

function decisionContradictions(route: RouteEntry): Contradiction[] {
  const noEndpoint =
    'a route of kind decision ends in /access/v1/ and evaluation, evaluations, search/subject, search/resource or search/action';
  return [
    ...(operationOf(route.path) === null ? [{ path: ['path'], message: noEndpoint }] : []),
    ...(route.limits.length === 0
      ? [{ path: ['limits'], message: 'a route of kind decision needs a limit' }]
      : []),
  ];
}

interface Surroundings {
  readonly files: Files;
  readonly routes: PolicyFiles['routes'];
  readonly context: PolicyContext;
}

function nameFaults(name: string, route: RouteEntry, { files, routes, context }: Surroundings): Finding[] {
  const findings: Finding[] = [];
  const check = (member: 'limits' | 'guards', what: string, known: readonly string[]): void => {
    for (const [index, named] of route[member].entries()) {
      if (!known.includes(named))
        findings.push(unknownName(routes, ['routes', name, member, index], { name: named, what, known }));
    }
  };
  if (files.limits !== undefined) check('limits', 'limit', Object.keys(files.limits.value.limits));
  if (files.guards !== undefined) check('guards', 'guard', Object.keys(files.guards.value.guards));
  if (route.upstream !== undefined && route.kind === 'http') {
    const httpUpstreams = [...context.upstreams].flatMap(([upstream, kind]) =>
      kind === 'http' ? [upstream] : [],
    );
    if (!httpUpstreams.includes(route.upstream)) {
      findings.push(
        unknownName(routes, ['routes', name, 'upstream'], {
          name: route.upstream,
          what: 'upstream of kind http in the configuration',
          known: httpUpstreams,
        }),
      );
    }
  }
  return findings;
}
