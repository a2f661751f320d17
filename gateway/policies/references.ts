// What no single file can show: names that another file or the configuration must know, and combinations of routes that
// would open something. Runs over whatever files could be read.
import type { Finding, YamlFile } from '../../core/yaml-file.ts';
import { listedAudiences } from '../authenticate/issuers-policy.ts';
import { checkIntrospection } from '../authenticate/introspection/compile-introspection.ts';
import { checkIssuers } from '../authenticate/issuer-url.ts';
import { matchesAction, modelMatcher } from '../authorize/patterns.ts';
import { checkAccess } from './access-faults.ts';
import type { PolicyFiles } from './bundle.ts';
import { basicFaults, certificateFaults, certificateWarnings } from './certificate-faults.ts';
import type { PolicyContext } from './context.ts';
import { assignmentFaults, dutyFaults } from './role-faults.ts';
import { knownActions } from './known-actions.ts';
import { checkRelations, relationWarnings } from './relation-faults.ts';
import { checkRoutes } from './route-rules.ts';
import { checkRules, ruleWarnings } from './rule-faults.ts';
import { unknownName } from './unknown-name.ts';

type Readable = { readonly [Name in keyof PolicyFiles]: PolicyFiles[Name] | undefined };

/** Faults stop a bundle; warnings are logged and shown by `sallyport policy check`. */
export interface ReferenceFindings {
  readonly faults: readonly Finding[];
  readonly warnings: readonly Finding[];
}

/**
 * Checks the references of a bundle.
 * Checks: roles (unknown, cyclic), assignments and duties (role-faults.ts), actions and models of roles, rules
 * (rule-faults.ts), relations (relation-faults.ts), routes (route-rules.ts), issuers, client certificates
 * (certificate-faults.ts).
 * Does not check: the files by themselves (their schemas).
 */
export function checkReferences(files: Readable, context: PolicyContext): ReferenceFindings {
  const faults = [
    ...issuerFaults(files, context),
    ...certificateFaults(files, context),
    ...basicFaults(files),
    ...roleFaults(files),
    ...checkRelations(files.relations, files.issuers),
    ...checkRules(files, context),
    ...checkAccess(files),
    ...checkRoutes(files, context),
  ];
  return { faults, warnings: faults.length > 0 ? [] : warningsOf(files, context) };
}

function issuerFaults({ issuers }: Readable, context: PolicyContext): Finding[] {
  if (issuers === undefined) return [];
  return [
    ...[...checkIssuers(issuers.value, context.embeddedIssuer), ...checkIntrospection(issuers.value)].map(
      ({ path, message }) => issuers.finding(path, message),
    ),
    ...Object.keys(issuers.value.issuers).flatMap((name) => clientAudienceFaults(name, issuers)),
  ];
}

/** `client_audiences` pairs what `client_ids` and `audiences` list; anything else would never match. */
function clientAudienceFaults(issuer: string, issuers: PolicyFiles['issuers']): Finding[] {
  const entry = issuers.value.issuers[issuer];
  const listed = Array.isArray(entry?.client_ids) ? entry.client_ids : null;
  const known = entry === undefined ? [] : listedAudiences(entry);
  return Object.entries(entry?.client_audiences ?? {}).flatMap(([client, audiences]) => {
    const path = ['issuers', issuer, 'client_audiences', client];
    const unlisted =
      listed === null || listed.includes(client)
        ? []
        : [unknownName(issuers, path, { name: client, what: 'client in client_ids', known: listed })];
    return [
      ...unlisted,
      ...audiences.flatMap((audience, index) =>
        known.includes(audience)
          ? []
          : [
              unknownName(issuers, [...path, index], {
                name: audience,
                what: 'audience in audiences',
                known,
              }),
            ],
      ),
    ];
  });
}

function roleFaults(files: Readable): Finding[] {
  const { roles } = files;
  if (roles === undefined) return [];
  const names = Object.keys(roles.value.roles);
  const findings: Finding[] = [];
  for (const [name, role] of Object.entries(roles.value.roles)) {
    for (const [index, parent] of role.inherits.entries()) {
      if (!names.includes(parent))
        findings.push(
          unknownName(roles, ['roles', name, 'inherits', index], {
            name: parent,
            what: 'role',
            known: names,
          }),
        );
    }
    const cycle = cycleFrom(name, roles.value.roles);
    if (cycle !== null)
      findings.push(
        roles.finding(['roles', name, 'inherits'], `the role includes itself: ${cycle.join(' → ')}`, {
          code: 'cycle',
        }),
      );
    const actions = knownActions(files);
    if (actions !== null) findings.push(...actionFaults(name, role.permits, { roles, actions }));
  }
  findings.push(...assignmentFaults(roles, files.issuers));
  // With an unknown or circular parent there is no hierarchy to judge.
  if (findings.length === 0) findings.push(...dutyFaults(roles));
  return findings;
}

/** The way from a role back to itself, or null; each cycle is reported at its first role in the file. */
function cycleFrom(start: string, roles: PolicyFiles['roles']['value']['roles']): string[] | null {
  const order = Object.keys(roles);
  const walk = (name: string, way: readonly string[]): string[] | null => {
    for (const parent of roles[name]?.inherits ?? []) {
      if (parent === start) return [...way, parent];
      if (way.includes(parent) || order.indexOf(parent) < order.indexOf(start)) continue;
      const found = walk(parent, [...way, parent]);
      if (found !== null) return found;
    }
    return null;
  };
  return walk(start, [start]);
}

function actionFaults(
  role: string,
  permits: readonly string[],
  { roles, actions }: { roles: PolicyFiles['roles']; actions: readonly string[] },
): Finding[] {
  return permits.flatMap((pattern, index) => {
    if (pattern.endsWith('*') || actions.includes(pattern)) return [];
    return [
      unknownName(roles, ['roles', role, 'permits', index], {
        name: pattern,
        what: 'route with the action',
        known: actions,
      }),
    ];
  });
}

/** Odd but harmless: patterns that match nothing now, limits and guards that neither a route nor a rule names. */
function warningsOf(files: Readable, context: PolicyContext): Finding[] {
  const { roles, rules, relations, routes, limits, guards } = files;
  const actions = knownActions(files);
  if (roles === undefined || routes === undefined || actions === null) return [];
  const entries = Object.values(routes.value.routes);
  const obligations = rules?.value.rules.flatMap((rule) => rule.obligations ?? []) ?? [];
  const obliged = {
    limits: new Set(obligations.flatMap((entry) => entry.limits ?? [])),
    guards: new Set(obligations.flatMap((entry) => entry.guards ?? [])),
  };
  const unnamed = (
    file: YamlFile<unknown> | undefined,
    section: 'limits' | 'guards',
    names: readonly string[],
  ): Finding[] =>
    names
      .filter(
        (name) => !entries.some((route) => route[section].includes(name)) && !obliged[section].has(name),
      )
      .flatMap((name) =>
        noEffect(file, [section, name], `no route and no rule names this ${section.slice(0, -1)}`),
      );
  return [
    ...certificateWarnings(files, context),
    ...ruleWarnings(files, context),
    ...relationWarnings(relations, context),
    ...Object.keys(roles.value.roles).flatMap((name) => roleWarnings(name, { roles, actions }, context)),
    ...unnamed(limits, 'limits', Object.keys(limits?.value.limits ?? {})),
    ...unnamed(guards, 'guards', Object.keys(guards?.value.guards ?? {})),
  ];
}

function roleWarnings(
  name: string,
  { roles, actions }: { roles: PolicyFiles['roles']; actions: readonly string[] },
  context: PolicyContext,
): Finding[] {
  const role = roles.value.roles[name];
  const models = [...context.models.keys()];
  const unserved = (role?.models ?? []).flatMap((pattern, index) => {
    const matches = modelMatcher(pattern);
    if (pattern === '*' || models.some((model) => matches(model))) return [];
    return noEffect(roles, ['roles', name, 'models', index], `no upstream serves the model ${pattern}`);
  });
  const unrouted = (role?.permits ?? []).flatMap((pattern, index) => {
    if (actions.some((action) => matchesAction(pattern, action))) return [];
    return noEffect(roles, ['roles', name, 'permits', index], `no route has an action ${pattern}`);
  });
  return [...unserved, ...unrouted];
}

function noEffect(
  file: YamlFile<unknown> | undefined,
  path: readonly PropertyKey[],
  message: string,
): Finding[] {
  return file === undefined ? [] : [file.finding(path, message, { code: 'no_effect' })];
}
