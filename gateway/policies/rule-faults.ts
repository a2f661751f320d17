// What rules.yaml may not say: names that nobody knows, expressions with a typo, effects that contradict themselves, and
// permits so wide that they would undo the roles.
import type { Finding } from '../../core/yaml-file.ts';
import { checkExpression } from '../authorize/cel/check-expression.ts';
import { createCelEnvironment } from '../authorize/cel/environment.ts';
import { matchesAction, modelMatcher } from '../authorize/patterns.ts';
import { compileModel } from '../authorize/relations/model.ts';
import { attributeTypes } from '../model-attributes.ts';
import type { RuleEntry } from '../authorize/rules-policy.ts';
import type { PolicyFiles } from './bundle.ts';
import { issuerNames } from './certificate-faults.ts';
import type { PolicyContext } from './context.ts';
import { knownActions } from './known-actions.ts';
import { obligationFaults } from './obligation-faults.ts';
import { unknownName } from './unknown-name.ts';

type Files = {
  readonly [Name in 'rules' | 'relations' | 'roles' | 'routes' | 'issuers' | 'access' | 'limits' | 'guards']:
    PolicyFiles[Name] | undefined;
};

/** Faults of rules.yaml by itself and towards the other files. */
export function checkRules(files: Files, context: PolicyContext): Finding[] {
  const { rules } = files;
  if (rules === undefined || rules.value.rules.length === 0) return [];
  const taken = new Set<string>();
  return [
    ...rules.value.rules.flatMap((rule, index) => {
      const isTwice = taken.has(rule.name);
      taken.add(rule.name);
      const message = `another rule is named "${rule.name}"`;
      return [
        ...(isTwice ? [rules.finding(['rules', index, 'name'], message, { code: 'duplicate_name' })] : []),
        ...contradictions(rule).map((fault) =>
          rules.finding(['rules', index, ...fault.path], fault.message, { code: fault.code }),
        ),
        ...nameFaults(rule, index, files),
        ...obligationFaults(rule, index, files),
      ];
    }),
    ...expressionFaults(rules, files.relations, context),
  ];
}

interface Contradiction {
  readonly path: readonly PropertyKey[];
  readonly code: string;
  readonly message: string;
}

/** Who a rule is about; a permit rule without any of these would be for everybody. */
const aboutWho = ['issuers', 'clients', 'roles', 'scopes', 'when'] as const;

function contradictions(rule: RuleEntry): Contradiction[] {
  if (rule.effect === undefined && rule.require === undefined && rule.obligations === undefined)
    return [
      {
        path: ['name'],
        code: 'missing_key',
        message: 'a rule has an effect (permit or deny), a require or obligations',
      },
    ];
  if (rule.effect === 'deny' && rule.obligations !== undefined)
    return [
      {
        path: ['obligations'],
        code: 'wrong_value',
        message:
          'a deny rule permits nothing that could be bound; leave effect out to bind what others permit',
      },
    ];
  if (rule.effect === 'deny' && rule.require !== undefined)
    return [
      {
        path: ['require'],
        code: 'wrong_value',
        message: 'a deny rule denies whatever the sign-in; leave effect out to ask for a sign-in',
      },
    ];
  const found = resourceContradictions(rule);
  if (rule.effect !== 'permit') return found;
  if (rule.actions === undefined)
    found.push({ path: ['effect'], code: 'too_permissive', message: 'a permit rule names its actions' });
  if (rule.actions?.includes('*') === true)
    found.push({
      path: ['actions'],
      code: 'too_permissive',
      message: 'a permit rule for every action would undo the roles; name the actions',
    });
  if (aboutWho.every((key) => rule[key] === undefined))
    found.push({
      path: ['effect'],
      code: 'too_permissive',
      message: `a permit rule says for whom: ${aboutWho.join(', ')}`,
    });
  return found;
}

/** A rule about resources of other services says nothing that holds at the gateway alone. */
function resourceContradictions({ resources, models, obligations }: RuleEntry): Contradiction[] {
  if (resources === undefined) return [];
  const object = (member: string, message: string): Contradiction => ({
    path: [member],
    code: 'wrong_value',
    message,
  });
  return [
    ...(models === undefined
      ? []
      : [object('models', 'a rule is about models or about resources of other services')]),
    ...(obligations === undefined
      ? []
      : [
          object(
            'obligations',
            'obligations bind requests to the gateway, which a rule with resources is not about',
          ),
        ]),
  ];
}

function nameFaults(rule: RuleEntry, index: number, files: Files): Finding[] {
  const { rules, roles, issuers } = files;
  if (rules === undefined) return [];
  const unknown = (
    member: 'actions' | 'roles' | 'issuers',
    what: string,
    known: readonly string[] | null,
  ): Finding[] =>
    (known === null ? [] : (rule[member] ?? [])).flatMap((name, at) =>
      known?.includes(name) === true || (member === 'actions' && name.endsWith('*'))
        ? []
        : [unknownName(rules, ['rules', index, member, at], { name, what, known: known ?? [] })],
    );
  return [
    ...unknown('actions', 'route with the action', knownActions(files)),
    ...unknown('roles', 'role', roles === undefined ? null : Object.keys(roles.value.roles)),
    ...unknown('issuers', 'issuer', issuers === undefined ? null : issuerNames(issuers.value)),
  ];
}

/** Faults of expressions, at the exact word. */
function expressionFaults(
  rules: PolicyFiles['rules'],
  relations: PolicyFiles['relations'] | undefined,
  { modelAttributes }: PolicyContext,
): Finding[] {
  if (rules.value.rules.every((rule) => rule.when === undefined)) return [];
  const attributes = attributeTypes(modelAttributes?.values() ?? []);
  const environment = createCelEnvironment(attributes);
  const model = relations === undefined ? null : compileModel(relations.value.types);
  return rules.value.rules.flatMap((rule, index) =>
    rule.when === undefined
      ? []
      : checkExpression(rule.when, environment, { attributes, relations: model }).map(
          ({ range, message, ...extra }) =>
            rules.findingWithin(['rules', index, 'when'], range, message, extra),
        ),
  );
}

/** Odd but harmless: conditions that nothing can match now. */
export function ruleWarnings(files: Omit<Files, 'roles'>, context: PolicyContext): Finding[] {
  const { rules, issuers } = files;
  const actions = knownActions(files);
  if (rules === undefined || actions === null) return [];
  const models = [...context.models.keys()];
  const clients = knownClients(issuers);
  return rules.value.rules.flatMap((rule, index) => {
    const noEffect = (member: string, at: number, message: string): Finding =>
      rules.finding(['rules', index, member, at], message, { code: 'no_effect' });
    return [
      ...(rule.models ?? []).flatMap((pattern, at) =>
        pattern === '*' || models.some(modelMatcher(pattern))
          ? []
          : [noEffect('models', at, `no upstream serves the model ${pattern}`)],
      ),
      ...(rule.actions ?? []).flatMap((pattern, at) =>
        actions.some((action) => matchesAction(pattern, action))
          ? []
          : [noEffect('actions', at, `no route has an action ${pattern}`)],
      ),
      ...(rule.clients ?? []).flatMap((client, at) =>
        clients === null || clients.includes(client)
          ? []
          : [noEffect('clients', at, `no issuer accepts the client ${client}`)],
      ),
    ];
  });
}

/** Clients that issuers.yaml lists; null when one accepts any. */
function knownClients(issuers: PolicyFiles['issuers'] | undefined): readonly string[] | null {
  if (issuers === undefined) return null;
  const lists = Object.values(issuers.value.issuers).map((issuer) => issuer.client_ids);
  const ofCertificates = Object.values(issuers.value.client_certificates).flatMap(
    (entry) => entry.client_id ?? [],
  );
  return lists.every((list) => Array.isArray(list)) ? [...lists.flat(), ...ofCertificates] : null;
}
