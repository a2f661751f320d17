// What the assignments and the separated duties of roles.yaml may not say.
import type { Finding } from '../../core/yaml-file.ts';
import type { PolicyFiles } from './bundle.ts';
import { issuerNames } from './certificate-faults.ts';
import { unknownName } from './unknown-name.ts';

type Roles = PolicyFiles['roles'];
type Assignment = Roles['value']['assignments'][number];

/** Assignments of unknown roles or issuers, and subjects that could be two people. */
export function assignmentFaults(roles: Roles, issuers: PolicyFiles['issuers'] | undefined): Finding[] {
  const names = Object.keys(roles.value.roles);
  const trusted = issuers === undefined ? [] : issuerNames(issuers.value);
  return roles.value.assignments.flatMap((assignment, index) => {
    const findings: Finding[] = [];
    if (!names.includes(assignment.role))
      findings.push(
        unknownName(roles, ['assignments', index, 'role'], {
          name: assignment.role,
          what: 'role',
          known: names,
        }),
      );
    if (issuers === undefined) return findings;
    for (const [at, name] of (assignment.issuers ?? []).entries())
      if (!trusted.includes(name))
        findings.push(
          unknownName(roles, ['assignments', index, 'issuers', at], { name, what: 'issuer', known: trusted }),
        );
    // OpenID Connect Core §5.7: only issuer and subject together identify a person.
    if (assignment.subjects !== undefined && assignment.issuers === undefined && trusted.length > 1)
      findings.push(
        roles.finding(
          ['assignments', index, 'subjects'],
          'with more than one trusted issuer, an assignment to subjects names its issuers',
        ),
      );
    return findings;
  });
}

/** Pairs that name unknown roles, and roles or assignments that join what a pair separates. */
export function dutyFaults(roles: Roles): Finding[] {
  const names = Object.keys(roles.value.roles);
  const included = new Map(names.map((name) => [name, includedRoles(name, roles)]));
  return roles.value.separation_of_duties.flatMap((pair, index) => {
    const unknown = pair.flatMap((name, at) =>
      names.includes(name)
        ? []
        : [unknownName(roles, ['separation_of_duties', index, at], { name, what: 'role', known: names })],
    );
    if (unknown.length > 0) return unknown;
    const [left, right] = pair;
    if (left === right)
      return [roles.finding(['separation_of_duties', index, 1], 'a pair names two different roles')];
    return [
      ...names
        .filter((name) => pair.every((duty) => included.get(name)?.has(duty) === true))
        .map((name) =>
          roles.finding(
            ['roles', name, 'inherits'],
            `the role joins the separated duties ${left} and ${right}`,
            {
              code: 'duties_joined',
            },
          ),
        ),
      ...joiningAssignments(pair, { roles, included }),
    ];
  });
}

function includedRoles(name: string, roles: Roles): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (role: string): void => {
    if (found.has(role)) return;
    found.add(role);
    roles.value.roles[role]?.inherits.forEach(visit);
  };
  visit(name);
  return found;
}

/** Two assignments that one and the same group, client or subject fulfils, and that give both duties. */
function joiningAssignments(
  [left, right]: readonly [string, string],
  { roles, included }: { roles: Roles; included: ReadonlyMap<string, ReadonlySet<string>> },
): Finding[] {
  const { assignments } = roles.value;
  const gives = (assignment: Assignment, duty: string): boolean =>
    included.get(assignment.role)?.has(duty) === true;
  return assignments.flatMap((later, index) => {
    const earlier = assignments
      .slice(0, index)
      .find(
        (other) =>
          ((gives(other, left) && gives(later, right)) || (gives(other, right) && gives(later, left))) &&
          shareHolder(other, later),
      );
    if (earlier === undefined) return [];
    const message = `with the assignment of ${earlier.role}, this joins the separated duties ${left} and ${right}`;
    return [roles.finding(['assignments', index], message, { code: 'duties_joined' })];
  });
}

/** Whether whoever fulfils one assignment may fulfil the other by the same entry. */
function shareHolder(one: Assignment, other: Assignment): boolean {
  const shares = (
    left: readonly string[] | undefined,
    right: readonly string[] | undefined,
  ): boolean | null =>
    left === undefined || right === undefined ? null : left.some((entry) => right.includes(entry));
  // A caller has one issuer, one client and one subject, but any number of groups.
  const single = [
    shares(one.issuers, other.issuers),
    shares(one.client_ids, other.client_ids),
    shares(one.subjects, other.subjects),
  ];
  if (single.includes(false)) return false;
  return [...single.slice(1), shares(one.groups, other.groups)].includes(true);
}
