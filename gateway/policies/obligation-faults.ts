// What the obligations of a rule may not say: names that nobody knows, and demands that no request of the rule's actions
// could fulfil.
import type { Finding } from '../../core/yaml-file.ts';
import { matchesAction } from '../authorize/patterns.ts';
import type { RuleEntry } from '../authorize/rules-policy.ts';
import { takesMessages } from '../model-routes.ts';
import type { PolicyFiles } from './bundle.ts';
import { unknownName } from './unknown-name.ts';

type Files = {
  readonly [Name in 'rules' | 'routes' | 'limits' | 'guards']: PolicyFiles[Name] | undefined;
};
type RouteEntry = PolicyFiles['routes']['value']['routes'][string];

/** Faults of one rule's obligations. */
export function obligationFaults(rule: RuleEntry, index: number, files: Files): Finding[] {
  const { rules, routes, limits, guards } = files;
  const { obligations } = rule;
  if (rules === undefined || obligations === undefined) return [];
  const unknown = (member: 'limits' | 'guards', known: readonly string[] | null): Finding[] =>
    (known === null ? [] : (obligations[member] ?? [])).flatMap((name, at) =>
      known?.includes(name) === true
        ? []
        : [
            unknownName(rules, ['rules', index, 'obligations', member, at], {
              name,
              what: member.slice(0, -1),
              known: known ?? [],
            }),
          ],
    );
  return [
    ...unknown('limits', limits === undefined ? null : Object.keys(limits.value.limits)),
    ...unknown('guards', guards === undefined ? null : Object.keys(guards.value.guards)),
    ...(routes === undefined ? [] : demandFaults(rule, index, { rules, routes })),
  ];
}

/** Demands on the body where a route of the rule reads none, or none with messages. */
function demandFaults(
  { actions, obligations = {} }: RuleEntry,
  index: number,
  { rules, routes }: Pick<PolicyFiles, 'rules' | 'routes'>,
): Finding[] {
  const entries = Object.entries(routes.value.routes);
  const { guards, ceilings, system_message: systemMessage } = obligations;
  const object = (path: readonly PropertyKey[], message: string): Finding[] => [
    rules.finding(['rules', index, ...path], message, { code: 'unfulfillable' }),
  ];
  const objections = (
    found: readonly [string, RouteEntry][],
    path: readonly PropertyKey[],
    head: string,
  ): Finding[] => {
    const unread = found.find(([, route]) => route.kind === 'http');
    const other = found.find(([, route]) => !hasMessages(route));
    return [
      ...((guards ?? ceilings) === undefined || unread === undefined
        ? []
        : object(
            path,
            `${head}guards and ceilings read the body, which the route ${unread[0]} of kind http does not`,
          )),
      ...(systemMessage === undefined || other === undefined
        ? []
        : object(path, `${head}a system message needs messages, and the route ${other[0]} has none`)),
    ];
  };
  if (actions === undefined)
    // Routes that are open to anybody are left to rules that name them.
    return objections(
      entries.filter(([, route]) => !route.anonymous),
      ['obligations'],
      'name the actions of this rule: ',
    );
  return actions.flatMap((pattern, at) =>
    objections(
      entries.filter(([, route]) => matchesAction(pattern, route.action)),
      ['actions', at],
      '',
    ),
  );
}

const hasMessages = ({ kind, path, upstream_path: upstreamPath = path }: RouteEntry): boolean =>
  takesMessages({ kind, upstreamPath });
