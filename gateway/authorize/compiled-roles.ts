// Compiles roles.yaml into per-principal grants. A role's permissions hold on that role's models: two roles held side
// by side never combine into something that neither permits alone.
import type { Principal } from '../principal.ts';
import type { RolesPolicy } from './roles-policy.ts';

/** The compiled roles.yaml. */
export interface Authorization {
  /** Claimed roles plus assignments by group, closed over `inherits`. */
  effectiveRoles(principal: Principal): ReadonlySet<string>;
  /** Models that the principal may see and use, in configuration order. */
  permittedModels(principal: Principal): readonly string[];
  /** The role that permits `action` (on `model`, if not null), or null. */
  permits(principal: Principal, action: string, model: string | null): string | null;
}

/** One role closed over what it inherits, its model patterns resolved to configured models. */
interface ClosedRole {
  readonly name: string;
  readonly includes: ReadonlySet<string>;
  readonly actions: readonly string[];
  readonly models: ReadonlySet<string>;
}

/** What one set of roles permits on one action: which role decides, per model and without one. */
interface ActionGrant {
  readonly anyModel: string | null;
  readonly byModel: ReadonlyMap<string, string>;
}

interface Grants {
  readonly roles: ReadonlySet<string>;
  readonly models: readonly string[];
  readonly byAction: Map<string, ActionGrant>;
}

/**
 * Compiles the roles against the configured models.
 * Checks nothing: unknown and cyclic `inherits` are refused by the policy loader (gateway/policies/references.ts).
 */
export function compileRoles(policy: RolesPolicy, modelIds: readonly string[]): Authorization {
  const ordered = closeRoles(policy, modelIds);
  const known = new Map(ordered.map((role) => [role.name, role]));
  const perPrincipal = new WeakMap<Principal, Grants>();
  // Principals with the same roles share one set of grants, so a hundred thousand callers cost a handful.
  const shared = new Map<string, Grants>();

  const grantsOf = (principal: Principal): Grants => {
    const cached = perPrincipal.get(principal);
    if (cached !== undefined) return cached;
    const roles = new Set<string>();
    for (const name of heldRoles(policy, principal))
      for (const included of known.get(name)?.includes ?? []) roles.add(included);
    const held = ordered.filter((role) => roles.has(role.name));
    const key = JSON.stringify(held.map((role) => role.name));
    const grants = shared.get(key) ?? {
      roles,
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
    const grant = { anyModel: permitting[0]?.name ?? null, byModel };
    if (grants.byAction.size < 1_024) grants.byAction.set(action, grant);
    return grant;
  };

  return {
    effectiveRoles: (principal) => grantsOf(principal).roles,
    permittedModels: (principal) => grantsOf(principal).models,
    permits(principal, action, model) {
      const grant = grantOf(grantsOf(principal), action);
      return model === null ? grant.anyModel : (grant.byModel.get(model) ?? null);
    },
  };
}

/** Roles before their hierarchy: those claimed, and those assigned to a group of the principal. */
function* heldRoles(policy: RolesPolicy, principal: Principal): Iterable<string> {
  yield* principal.roles;
  for (const { role, groups, issuers } of policy.assignments) {
    if (issuers !== undefined && !issuers.includes(principal.issuerName)) continue;
    if (groups.some((group) => principal.groups.has(group))) yield role;
  }
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
    };
    closed.set(name, role);
    return role;
  };
  for (const name of roles.keys()) close(name);
  return [...closed.values()];
}

/** Whether an action pattern of roles.yaml covers an action: equal, `*`, or `prefix.*`. */
export function matchesAction(pattern: string, action: string): boolean {
  if (pattern === '*') return true;
  return pattern.endsWith('.*') ? action.startsWith(pattern.slice(0, -1)) : pattern === action;
}

/** Compiles a model pattern: `*` stands for any run of characters; upper and lower case differ. */
export function modelMatcher(pattern: string): (model: string) => boolean {
  if (!pattern.includes('*')) return (model) => model === pattern;
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop() ?? '';
  return (model) => {
    if (!model.startsWith(first) || !model.endsWith(last) || model.length < first.length + last.length)
      return false;
    let from = first.length;
    for (const piece of rest) {
      const found = model.indexOf(piece, from);
      if (found === -1 || found + piece.length > model.length - last.length) return false;
      from = found + piece.length;
    }
    return true;
  };
}
