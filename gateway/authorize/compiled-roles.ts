// Compiles roles.yaml into per-principal grants. A role's permissions hold on that role's models: two roles held side
// by side never combine into something that neither permits alone.
import { isStranger, type Principal } from '../principal.ts';
import { PrincipalMemo } from '../principal-memo.ts';
import type { Reason } from './evaluation.ts';
import { impliedIdentityType, isIdentityType } from './identity-type.ts';
import { matchesAction, modelMatcher, resourceMatcher } from './patterns.ts';
import type { RolesPolicy } from './roles-policy.ts';

/** The compiled roles.yaml. */
export interface Authorization {
  /** Claimed roles plus assignments, closed over `inherits`. */
  effectiveRoles(principal: Principal): ReadonlySet<string>;
  /** Roles that the principal may hold besides, by groups that his credential does not list; empty when it lists all. */
  uncertainRoles(principal: Principal): ReadonlySet<string>;
  /** Models that the principal may see and use, in configuration order. */
  permittedModels(principal: Principal): readonly string[];
  /** The role that permits `action` (on `model`, if not null), or null. */
  permits(principal: Principal, action: string, model: string | null): string | null;
  /** The role that permits `action` on a resource of another service, or null. */
  permitsOn(principal: Principal, action: string, resource: ForeignResource): string | null;
  /** Two roles that the principal holds, or may hold, and nobody may combine; null when there are none. */
  conflictingDuties(principal: Principal): readonly [string, string] | null;
  /** What a permit by this role says. */
  permitBy(role: string): RolePermit;
  /** Line of a role in roles.yaml; 0 when that is not known. */
  lineOf(role: string): number;
}

/** A permit by a role: written once for each role. */
export interface RolePermit {
  readonly permitted: true;
  /** `roles.<name>`. */
  readonly by: string;
  readonly reasons: readonly Reason[];
}

/** A resource of another service. */
type ForeignResource = Readonly<{ type: string; id: string }>;

/** One role closed over what it inherits, its model patterns resolved to configured models. */
interface ClosedRole {
  readonly name: string;
  readonly includes: ReadonlySet<string>;
  readonly actions: readonly string[];
  readonly models: ReadonlySet<string>;
  readonly resources: readonly ((resource: ForeignResource) => boolean)[];
}

/** What one set of roles permits on one action: which role decides, per model and without one. */
interface ActionGrant {
  readonly anyModel: string | null;
  readonly byModel: ReadonlyMap<string, string>;
  /** Every role that permits the action, the least first. */
  readonly roles: readonly ClosedRole[];
}

interface Grants {
  readonly roles: ReadonlySet<string>;
  readonly uncertain: ReadonlySet<string>;
  readonly conflict: readonly [string, string] | null;
  readonly models: readonly string[];
  readonly byAction: Map<string, ActionGrant>;
}

/**
 * Compiles the roles against the configured models; `lines` are the lines of the roles in the file, for reasons.
 * Checks nothing: unknown and cyclic `inherits` are refused by the policy loader (gateway/policies/references.ts).
 */
export function compileRoles(
  policy: RolesPolicy,
  modelIds: readonly string[],
  lines: ReadonlyMap<string, number> = new Map(),
): Authorization {
  const ordered = closeRoles(policy, modelIds);
  const known = new Map(ordered.map((role) => [role.name, role]));
  const rolePermits = new Map(ordered.map(({ name }) => [name, rolePermit(name, lines.get(name) ?? 0)]));
  const perPrincipal = new PrincipalMemo<Grants>();
  // Principals with the same roles share one set of grants, so a hundred thousand callers cost a handful.
  const shared = new Map<string, Grants>();

  const closed = (names: Iterable<string>): Set<string> => {
    const roles = new Set<string>();
    for (const name of names) for (const included of known.get(name)?.includes ?? []) roles.add(included);
    return roles;
  };

  // One decision asks four times about the same principal.
  let latest: { readonly principal: Principal; readonly grants: Grants } | null = null;
  const grantsOf = (principal: Principal): Grants => {
    if (latest !== null && latest.principal === principal) return latest.grants;
    const grants = perPrincipal.get(principal) ?? grantsFor(principal);
    latest = { principal, grants };
    return grants;
  };

  const grantsFor = (principal: Principal): Grants => {
    const roles = closed(heldRoles(policy, principal));
    const uncertain = closed(rolesByUnknownGroups(policy, principal));
    for (const role of roles) uncertain.delete(role);
    const held = ordered.filter((role) => roles.has(role.name));
    const key = JSON.stringify([held.map((role) => role.name), [...uncertain].toSorted()]);
    const mayHold = (role: string): boolean => roles.has(role) || uncertain.has(role);
    const grants = shared.get(key) ?? {
      roles,
      uncertain,
      conflict: policy.separation_of_duties.find((pair) => pair.every(mayHold)) ?? null,
      models: modelIds.filter((model) => held.some((role) => role.models.has(model))),
      byAction: new Map<string, ActionGrant>(),
    };
    if (shared.size < 4_096) shared.set(key, grants);
    perPrincipal.set(principal, grants);
    return grants;
  };

  const grantOf = (grants: Grants, action: string): ActionGrant => {
    const cached = grants.byAction.get(action);
    if (cached !== undefined) return cached;
    const permitting = ordered.filter(
      (role) => grants.roles.has(role.name) && role.actions.some((pattern) => matchesAction(pattern, action)),
    );
    const byModel = new Map<string, string>();
    // The first, least role that permits is the one that is named.
    for (const role of permitting)
      for (const model of role.models) if (!byModel.has(model)) byModel.set(model, role.name);
    const grant = { anyModel: permitting[0]?.name ?? null, byModel, roles: permitting };
    if (grants.byAction.size < 1_024) grants.byAction.set(action, grant);
    return grant;
  };

  return {
    effectiveRoles: (principal) => grantsOf(principal).roles,
    uncertainRoles: (principal) => grantsOf(principal).uncertain,
    permittedModels: (principal) => grantsOf(principal).models,
    conflictingDuties: (principal) => grantsOf(principal).conflict,
    permitBy: (role) => rolePermits.get(role) ?? rolePermit(role, 0),
    lineOf: (role) => lines.get(role) ?? 0,
    permits(principal, action, model) {
      const grant = grantOf(grantsOf(principal), action);
      return model === null ? grant.anyModel : (grant.byModel.get(model) ?? null);
    },
    permitsOn(principal, action, resource) {
      const { roles } = grantOf(grantsOf(principal), action);
      return roles.find((role) => role.resources.some((matches) => matches(resource)))?.name ?? null;
    },
  };
}

function rolePermit(role: string, line: number): RolePermit {
  const by = `roles.${role}`;
  return {
    permitted: true,
    by,
    reasons: [{ rule: by, file: 'roles.yaml', line, condition: 'permits', code: 'role_permits' }],
  };
}

/** Roles before their hierarchy: those claimed, and those assigned to the principal. */
function* heldRoles(policy: RolesPolicy, principal: Principal): Iterable<string> {
  yield* principal.roles;
  // An assignment is about callers: a subject that only another service knows is none, whatever its id.
  if (isStranger(principal)) return;
  for (const assignment of policy.assignments) if (isAssigned(assignment, principal)) yield assignment.role;
}

/** Roles that the groups would give if they were those that are asked for; none when the groups are known. */
function* rolesByUnknownGroups(policy: RolesPolicy, principal: Principal): Iterable<string> {
  if (principal.groupsUnknown !== true) return;
  for (const { groups, ...others } of policy.assignments)
    if (groups !== undefined && isAssigned(others, principal, true)) yield others.role;
}

/** Whether an assignment is about a principal: every key that it states holds, one entry of each list suffices. */
function isAssigned(
  assignment: Omit<RolesPolicy['assignments'][number], 'groups'> & {
    readonly groups?: readonly string[] | undefined;
  },
  principal: Principal,
  hasGroups = assignment.groups !== undefined,
): boolean {
  const { groups, client_ids: clientIds, subjects, issuers } = assignment;
  return (
    (issuers === undefined || issuers.includes(principal.issuerName)) &&
    (groups === undefined || groups.some((group) => principal.groups.has(group))) &&
    (clientIds === undefined || (principal.clientId !== null && clientIds.includes(principal.clientId))) &&
    (subjects === undefined || subjects.includes(principal.subject)) &&
    isIdentityType(
      assignment.identity_type ??
        impliedIdentityType({ clients: clientIds, isNarrowed: hasGroups || subjects !== undefined }),
      principal,
    )
  );
}

/** Every role closed over `inherits`, included roles before those that include them. */
function closeRoles(policy: RolesPolicy, modelIds: readonly string[]): ClosedRole[] {
  const roles = new Map(Object.entries(policy.roles));
  const closed = new Map<string, ClosedRole>();
  const close = (name: string): ClosedRole => {
    const known = closed.get(name);
    if (known !== undefined) return known;
    const entry = roles.get(name);
    const parents = (entry?.inherits ?? []).map(close);
    const own = (entry?.models ?? []).map(modelMatcher);
    const models = modelIds.filter((model) => own.some((matches) => matches(model)));
    const role: ClosedRole = {
      name,
      includes: new Set([name, ...parents.flatMap((parent) => [...parent.includes])]),
      actions: [...new Set([...(entry?.permits ?? []), ...parents.flatMap((parent) => parent.actions)])],
      models: new Set([...models, ...parents.flatMap((parent) => [...parent.models])]),
      resources: [
        ...(entry?.resources ?? []).map(resourceMatcher),
        ...parents.flatMap((parent) => parent.resources),
      ],
    };
    closed.set(name, role);
    return role;
  };
  for (const name of roles.keys()) close(name);
  return [...closed.values()];
}
