// Which endpoint of AuthZEN a route is, by the end of its path; what the metadata and the policy loader know of them.
import type { Route } from '../policies/routes.ts';

/** Path of the metadata document. */
export const accessMetadataPath = '/.well-known/authzen-configuration';

const operations = [
  'evaluation',
  'evaluations',
  'search/subject',
  'search/resource',
  'search/action',
] as const;
/** What a route of kind `decision` answers. */
export type AccessOperation = (typeof operations)[number];

/** The metadata parameter that names each endpoint. */
const parameters: Readonly<Record<AccessOperation, string>> = {
  evaluation: 'access_evaluation_endpoint',
  evaluations: 'access_evaluations_endpoint',
  'search/subject': 'search_subject_endpoint',
  'search/resource': 'search_resource_endpoint',
  'search/action': 'search_action_endpoint',
};

/** The operation of a path, or null when it is none of AuthZEN's. */
export function operationOf(path: string): AccessOperation | null {
  const [, named] = /^.*\/access\/v1\/(.+)$/.exec(path) ?? [];
  return operations.find((operation) => operation === named) ?? null;
}

/** The metadata document, or null where there is no evaluation endpoint. */
export function accessMetadata(
  publicUrl: string,
  routes: readonly Route[],
): Readonly<Record<string, string>> | null {
  const endpoints = routes.flatMap(({ kind, path }) => {
    const operation = kind === 'decision' ? operationOf(path) : null;
    return operation === null ? [] : [[parameters[operation], `${publicUrl}${path}`] as const];
  });
  if (!endpoints.some(([parameter]) => parameter === parameters.evaluation)) return null;
  return { policy_decision_point: publicUrl, ...Object.fromEntries(endpoints) };
}
