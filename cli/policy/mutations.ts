// Small changes of a bundle that its tests ought to notice: a permission, model, role or rule taken away, an effect flipped.
import type { RuleEntry } from '../../gateway/authorize/rules-policy.ts';
import type { Bundle, PolicyFileName } from '../../gateway/policies/bundle.ts';

export interface Mutation {
  /** `drops models[0] (tiny-gpt2) of role LLM.User` */
  readonly description: string;
  readonly file: PolicyFileName;
  readonly path: readonly PropertyKey[];
  readonly bundle: Bundle;
}

/** Every mutation of a bundle, in the order of its files. */
export function mutationsOf(bundle: Bundle): Mutation[] {
  return [
    ...requiredClaims(bundle),
    ...certificates(bundle),
    ...roles(bundle),
    ...assignments(bundle),
    ...rules(bundle),
    ...subjectRoles(bundle),
    ...tuples(bundle),
  ];
}

function requiredClaims(bundle: Bundle): Mutation[] {
  const { issuers } = bundle.issuers;
  return Object.entries(issuers).flatMap(([name, entry]) =>
    Object.keys(entry.required_claims).map((claim) => {
      const remaining = Object.fromEntries(
        Object.entries(entry.required_claims).filter(([other]) => other !== claim),
      );
      return {
        description: `issuer ${name}: drop the required claim ${claim}`,
        file: 'issuers.yaml' as const,
        path: ['issuers', name, 'required_claims', claim],
        bundle: {
          ...bundle,
          issuers: {
            ...bundle.issuers,
            issuers: { ...issuers, [name]: { ...entry, required_claims: remaining } },
          },
        },
      };
    }),
  );
}

function certificates(bundle: Bundle): Mutation[] {
  const entries = Object.entries(bundle.issuers.client_certificates);
  return entries.map(([name]) => ({
    description: `client certificates ${name}: drop the entry`,
    file: 'issuers.yaml' as const,
    path: ['client_certificates', name],
    bundle: {
      ...bundle,
      issuers: {
        ...bundle.issuers,
        client_certificates: Object.fromEntries(entries.filter(([other]) => other !== name)),
      },
    },
  }));
}

function roles(bundle: Bundle): Mutation[] {
  const { roles: entries } = bundle.roles;
  return Object.entries(entries).flatMap(([name, role]) =>
    (['inherits', 'permits', 'models', 'resources'] as const).flatMap((list) =>
      role[list].map((item, index) => ({
        description: `role ${name}: drop ${item} from ${list}`,
        file: 'roles.yaml' as const,
        path: ['roles', name, list, index],
        bundle: {
          ...bundle,
          roles: {
            ...bundle.roles,
            roles: { ...entries, [name]: { ...role, [list]: without(role[list], index) } },
          },
        },
      })),
    ),
  );
}

function assignments(bundle: Bundle): Mutation[] {
  return bundle.roles.assignments.map((assignment, index) => ({
    description: `drop the assignment of ${assignment.role}`,
    file: 'roles.yaml' as const,
    path: ['assignments', index],
    bundle: {
      ...bundle,
      roles: { ...bundle.roles, assignments: without(bundle.roles.assignments, index) },
    },
  }));
}

function rules(bundle: Bundle): Mutation[] {
  const entries = bundle.rules.rules;
  const withRules = (changed: RuleEntry[]): Bundle => ({ ...bundle, rules: { rules: changed } });
  return entries.flatMap((rule, index) => {
    const place = { file: 'rules.yaml' as const, path: ['rules', index] };
    const dropped = {
      ...place,
      description: `rule ${rule.name}: drop it`,
      bundle: withRules(without(entries, index)),
    };
    const { obligations = {} } = rule;
    const loosened = Object.keys(obligations).map((key) => {
      const left = Object.fromEntries(Object.entries(obligations).filter(([other]) => other !== key));
      return {
        ...place,
        path: [...place.path, 'obligations', key],
        description: `rule ${rule.name}: drop ${key} from obligations`,
        bundle: withRules(entries.map((each, at) => (at === index ? { ...each, obligations: left } : each))),
      };
    });
    if (rule.effect === undefined) return [dropped, ...loosened];
    const effect = rule.effect === 'deny' ? ('permit' as const) : ('deny' as const);
    return [
      dropped,
      {
        ...place,
        description: `rule ${rule.name}: ${effect} instead of ${rule.effect}`,
        bundle: withRules(entries.map((each, at) => (at === index ? { ...each, effect } : each))),
      },
      ...loosened,
    ];
  });
}

function without<T>(items: readonly T[], index: number): T[] {
  return items.filter((_, at) => at !== index);
}

/** Of very many tuples or subjects the first stand for the rest. */
const mutatedEntries = 100;

/** Roles that access.yaml gives to subjects of other services. */
function subjectRoles(bundle: Bundle): Mutation[] {
  const types = bundle.access.subject_types;
  const mutations = Object.entries(types).flatMap(([name, type]) =>
    Object.entries(type.subjects).flatMap(([id, subject]) =>
      subject.roles.map((role, index) => {
        const changed = { ...type.subjects, [id]: { ...subject, roles: without(subject.roles, index) } };
        return {
          description: `subject ${name}:${id}: drop the role ${role}`,
          file: 'access.yaml' as const,
          path: ['subject_types', name, 'subjects', id, 'roles', index],
          bundle: {
            ...bundle,
            access: {
              ...bundle.access,
              subject_types: { ...types, [name]: { ...type, subjects: changed } },
            },
          },
        };
      }),
    ),
  );
  return mutations.slice(0, mutatedEntries);
}

function tuples(bundle: Bundle): Mutation[] {
  const { relations } = bundle;
  return relations.tuples.slice(0, mutatedEntries).map((tuple, index) => ({
    description: `drop the tuple ${tuple}`,
    file: 'relations.yaml' as const,
    path: ['tuples', index],
    bundle: { ...bundle, relations: { ...relations, tuples: without(relations.tuples, index) } },
  }));
}
