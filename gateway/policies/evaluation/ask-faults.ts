// What the question of a test may not name: types, actions, roles and routes that nobody knows. Its answer would be right, or
// wrong, for that reason alone.
import type { Finding } from '../../../core/yaml-file.ts';
import { isAboutModels } from '../../access/compiled-access.ts';
import type { Bundle } from '../bundle.ts';
import type { UnknownName } from '../unknown-name.ts';
import type { Ask } from './ask-schema.ts';
import { askProblem } from './ask.ts';

/** A finding at a path of the test, if the name is not known. */
export type KnownName = (path: readonly PropertyKey[], sought: UnknownName) => Finding[];

interface Place {
  readonly bundle: Bundle;
  readonly known: KnownName;
  /** A finding at a path of the test. */
  readonly at: (path: readonly PropertyKey[], message: string) => Finding;
}

/**
 * Faults of one question.
 * Checks: types, the action on that type, roles that a subject states, the route, what the gateway could not read.
 * Does not check: ids (a resource need not be listed, and a model not be served), claims of a principal.
 */
export function askFindings(ask: Ask, { bundle, known, at }: Place): Finding[] {
  const { subject, action, resource, context } = ask;
  const { subject_types: subjectTypes, resource_types: resourceTypes } = bundle.access;
  const problem = askProblem(ask);
  const actions = actionsOn(resource.type, bundle);
  const name = typeof action === 'string' ? action : action.name;
  const path = ['ask', 'action', ...(typeof action === 'string' ? [] : ['name'])];
  const routes = routesAbout(resource.type, bundle).filter(([, route]) => route.action === name);
  return [
    ...(problem === null ? [] : [at(['ask'], problem)]),
    ...known(['ask', 'subject', 'type'], {
      name: subject.type,
      what: 'subject type in access.yaml',
      known: ['principal', ...Object.keys(subjectTypes)],
    }),
    ...roleFindings(subject, { bundle, known }),
    ...known(['ask', 'resource', 'type'], {
      name: resource.type,
      what: 'resource type in access.yaml',
      known: ['model', 'gateway', ...Object.keys(resourceTypes)],
    }),
    ...(actions === null ? [] : known(path, { name, what: `action on ${resource.type}`, known: actions })),
    ...(context?.route === undefined || actions?.includes(name) !== true
      ? []
      : known(['ask', 'context', 'route'], {
          name: context.route,
          what: `route with the action ${name}`,
          known: routes.map(([routeName]) => routeName),
        })),
  ];
}

/** Roles that a subject of another service states, and roles.yaml does not have. */
function roleFindings(
  { type, properties }: Ask['subject'],
  { bundle, known }: Pick<Place, 'bundle' | 'known'>,
): Finding[] {
  const types = bundle.access.subject_types;
  const property = Object.hasOwn(types, type) ? types[type]?.roles_property : undefined;
  if (property === undefined) return [];
  const stated = properties?.[property];
  const path = ['ask', 'subject', 'properties', property];
  const isList = Array.isArray(stated);
  return (isList ? (stated as unknown[]) : [stated]).flatMap((role, index) =>
    typeof role === 'string'
      ? known(isList ? [...path, index] : path, {
          name: role,
          what: 'role',
          known: Object.keys(bundle.roles.roles),
        })
      : [],
  );
}

/** Every action on a type of resources; null for a type that nobody knows. */
function actionsOn(type: string, bundle: Bundle): readonly string[] | null {
  const types = bundle.access.resource_types;
  if (Object.hasOwn(types, type)) return types[type]?.actions ?? null;
  return type === 'model' || type === 'gateway'
    ? [...new Set(routesAbout(type, bundle).map(([, route]) => route.action))]
    : null;
}

type Routes = Bundle['routes']['routes'];

const routesAbout = (type: string, { routes }: Bundle): (readonly [string, Routes[string]])[] =>
  Object.entries(routes.routes).filter(([, route]) =>
    type === 'model' ? isAboutModels(route) : type === 'gateway' && !isAboutModels(route),
  );
