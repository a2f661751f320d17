// What a principal is called in relationship data: `user:<subject>`, and a member of his groups and roles where the model
// has types for them.
import type { RuleFacts } from '../conditions/condition.ts';
import type { RelationModel } from './model.ts';
import { subjectName } from './names.ts';
import type { RelationsPolicy } from './relations-policy.ts';
import { relationSubject, type RelationSubject } from './store.ts';

/** What the people of one issuer are called. */
export type PrincipalNames = NonNullable<RelationsPolicy['principals']>[string];

/** The relation that groups and roles must have. */
export const memberRelation = 'member';

/** Issuer name → what its people are called. OpenID Connect Core §5.7: one subject at two issuers may be two people. */
export function principalNames(
  policy: RelationsPolicy,
  model: RelationModel,
  issuers: readonly string[],
): ReadonlyMap<string, PrincipalNames> {
  if (policy.principals !== undefined) return new Map(Object.entries(policy.principals));
  const [only, ...others] = issuers;
  if (only === undefined || others.length > 0) return new Map();
  const hasMembers = (type: string): boolean =>
    model.get(type)?.get(memberRelation)?.direct.has('user') === true;
  return new Map([
    [
      only,
      {
        subject: 'user',
        ...(hasMembers('group') ? { groups: 'group' } : {}),
        ...(hasMembers('role') ? { roles: 'role' } : {}),
      },
    ],
  ]);
}

/** The subject that a principal is. @throws Error when his issuer's people have no name, his own is too long, or his groups are unknown */
export function subjectOf(
  { principal, roles, uncertainRoles }: Pick<RuleFacts, 'principal' | 'roles' | 'uncertainRoles'>,
  names: ReadonlyMap<string, PrincipalNames>,
): RelationSubject {
  const called = names.get(principal.issuerName);
  if (called === undefined)
    throw new Error('relations.yaml does not say what the people of this issuer are called');
  // A membership that is not known may decide either way, so nothing can be said of somebody with unknown groups.
  if (
    (called.groups !== undefined && principal.groupsUnknown === true) ||
    (called.roles !== undefined && uncertainRoles.size > 0)
  )
    throw new Error('the groups are not known');
  const members = (type: string | undefined, ids: Iterable<string>): string[] =>
    type === undefined ? [] : Array.from(ids, (id) => `${subjectName(type, id)}#${memberRelation}`);
  return relationSubject(subjectName(called.subject, principal.subject), [
    ...members(called.groups, principal.groups),
    ...members(called.roles, roles),
  ]);
}
