// What access.yaml may not say, and what roles and rules may not say about it: names that nobody knows, subjects that join
// separated duties.
import type { Finding, YamlFile } from '../../core/yaml-file.ts';
import { typeOf } from '../authorize/patterns.ts';
import type { PolicyFiles } from './bundle.ts';
import { unknownName } from './unknown-name.ts';

type Files = { readonly [Name in 'access' | 'roles' | 'rules']: PolicyFiles[Name] | undefined };

/** Faults of access.yaml, and of the resources that roles and rules name. */
export function checkAccess({ access, roles, rules }: Files): Finding[] {
  if (access === undefined) return [];
  const types = Object.keys(access.value.resource_types);
  return [
    ...(roles === undefined ? [] : subjectFaults(access, roles)),
    ...Object.entries(roles?.value.roles ?? {}).flatMap(([name, role]) =>
      typeFaults(roles, ['roles', name, 'resources'], role.resources, types),
    ),
    ...(rules?.value.rules ?? []).flatMap((rule, index) =>
      typeFaults(rules, ['rules', index, 'resources'], rule.resources ?? [], types),
    ),
  ];
}

/** Resources of a type that access.yaml does not have. */
function typeFaults(
  file: Pick<YamlFile<unknown>, 'finding'> | undefined,
  path: readonly PropertyKey[],
  patterns: readonly string[],
  known: readonly string[],
): Finding[] {
  if (file === undefined) return [];
  return patterns.flatMap((pattern, at) => {
    const name = typeOf(pattern);
    if (known.includes(name)) return [];
    return [unknownName(file, [...path, at], { name, what: 'resource type in access.yaml', known })];
  });
}

function subjectFaults(access: PolicyFiles['access'], roles: PolicyFiles['roles']): Finding[] {
  const known = Object.keys(roles.value.roles);
  return Object.entries(access.value.subject_types).flatMap(([type, { subjects }]) =>
    Object.entries(subjects).flatMap(([id, subject]) => {
      const path = ['subject_types', type, 'subjects', id, 'roles'];
      const pair = roles.value.separation_of_duties.find((duties) =>
        duties.every((duty) => subject.roles.includes(duty)),
      );
      return [
        ...subject.roles.flatMap((name, at) =>
          known.includes(name) ? [] : [unknownName(access, [...path, at], { name, what: 'role', known })],
        ),
        ...(pair === undefined
          ? []
          : [
              access.finding(path, `the subject joins the separated duties ${pair.join(' and ')}`, {
                code: 'duties_joined',
              }),
            ]),
      ];
    }),
  );
}
