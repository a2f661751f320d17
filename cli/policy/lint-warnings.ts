// What a good bundle says that is probably not meant, or that opens more than it seems: warnings, never errors.
import type { Finding } from '../../core/yaml-file.ts';
import type { IssuerPolicy } from '../../gateway/authenticate/issuers-policy.ts';
import { matchesAction, modelMatcher } from '../../gateway/authorize/patterns.ts';
import type { RuleEntry } from '../../gateway/authorize/rules-policy.ts';
import type { OpenedPolicies } from './opened-policies.ts';

const guid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Warnings about a bundle that loaded.
 * Checks: near-miss audiences, audiences without a client, constructs that open a lot, roles that can permit nothing, rules behind a
 * wider deny rule.
 * Does not check: names and references (the loader), limits and guards that no route names (its own warnings), and
 * whether anybody holds a role, since issuers claim roles that no file lists.
 */
export function lintWarnings(opened: OpenedPolicies): Finding[] {
  return [...issuerWarnings(opened), ...roleWarnings(opened), ...unreachableRules(opened)];
}

function issuerWarnings({ bundle, fileOf }: OpenedPolicies): Finding[] {
  const file = fileOf('issuers.yaml');
  return Object.entries(bundle.issuers.issuers).flatMap(([name, entry]) => {
    const warn = (path: readonly PropertyKey[], message: string, code: string): Finding =>
      file.finding(['issuers', name, ...path], message, { code });
    return [
      ...audienceWarnings(entry, (path, message) => warn(path, message, 'near_miss_audience')),
      ...unusedAudiences(entry, (path, message) => warn(path, message, 'no_effect')),
      ...(entry.entra?.identity_type === 'app' && (entry.required_claims['scp']?.values.length ?? 0) > 0
        ? [
            warn(
              ['required_claims', 'scp'],
              "an application's own token has no scp: no token passes",
              'no_effect',
            ),
          ]
        : []),
      ...(Array.isArray(entry.client_ids)
        ? []
        : [warn(['client_ids'], 'every client application of this issuer is accepted', 'permissive')]),
      ...(entry.insecure_plain_http
        ? [
            warn(
              ['insecure_plain_http'],
              'whoever is on the path to this issuer can hand out keys of his own',
              'permissive',
            ),
          ]
        : []),
    ];
  });
}

function audienceWarnings(
  entry: IssuerPolicy,
  warn: (path: readonly PropertyKey[], message: string) => Finding,
): Finding[] {
  const { audiences, entra } = entry;
  const loose = (text: string): string => text.trim().replace(/\/+$/, '').toLowerCase();
  const found = audiences.flatMap((audience, index) => {
    const twin = audiences.findIndex((other) => loose(other) === loose(audience));
    const path = ['audiences', index];
    if (audience !== audience.trim())
      return [warn(path, `"${audience}" begins or ends with a blank; aud is compared as exact text`)];
    if (twin < index)
      return [
        warn(
          path,
          audiences[twin] === audience
            ? 'this audience is listed twice'
            : `this differs from "${audiences[twin] ?? ''}" by letter case or a trailing slash only; aud is compared as exact text`,
        ),
      ];
    if (/[^/]\/$/.test(audience))
      return [
        warn(
          path,
          `"${audience}" ends with a slash; aud is compared as exact text, and most issuers send none`,
        ),
      ];
    return [];
  });
  // Entra's v2.0 tokens name the application by its GUID, whatever its identifier URI is.
  if (entra?.versions.includes('2.0') === true && !audiences.some((audience) => guid.test(audience)))
    found.push(
      warn(
        ['audiences'],
        'Entra v2.0 tokens carry the GUID of the application as aud, and no GUID is listed here',
      ),
    );
  return found;
}

/** Audiences that no listed client may use, because `client_audiences` gives each of them others. */
function unusedAudiences(
  { audiences, client_ids: clientIds, client_audiences: pairs }: IssuerPolicy,
  warn: (path: readonly PropertyKey[], message: string) => Finding,
): Finding[] {
  if (!Array.isArray(clientIds) || clientIds.some((client) => !Object.hasOwn(pairs, client))) return [];
  const used = new Set(Object.values(pairs).flat());
  return audiences.flatMap((audience, index) =>
    used.has(audience)
      ? []
      : [warn(['audiences', index], 'client_audiences gives this audience to no client')],
  );
}

function roleWarnings({ bundle, fileOf }: OpenedPolicies): Finding[] {
  const { roles } = bundle.roles;
  const file = fileOf('roles.yaml');
  const closure = (name: string, seen = new Set<string>()): Set<string> => {
    if (seen.has(name)) return seen;
    seen.add(name);
    for (const parent of roles[name]?.inherits ?? []) closure(parent, seen);
    return seen;
  };
  return Object.entries(roles).flatMap(([name, role]) => {
    const included = [...closure(name)].flatMap((each) => roles[each] ?? []);
    const warn = (path: readonly PropertyKey[], message: string, code: string): Finding =>
      file.finding(['roles', name, ...path], message, { code });
    if (included.every((each) => each.permits.length === 0))
      return [warn([], 'the role permits no action, by itself or by what it inherits', 'no_effect')];
    if (role.permits.includes('*'))
      return [warn(['permits'], 'the role permits every action, also those of routes to come', 'permissive')];
    return [];
  });
}

/** Rules that never decide, because a deny rule matches whatever they match. */
function unreachableRules({ bundle, fileOf }: OpenedPolicies): Finding[] {
  const { rules } = bundle.rules;
  const file = fileOf('rules.yaml');
  const denies = rules.flatMap((rule, at) => (rule.effect === 'deny' ? [{ rule, at }] : []));
  return rules.flatMap((rule, index) => {
    // Of two deny rules that match the same, the first decides.
    const before = rule.effect === 'deny' ? index : rules.length;
    const wider = denies.find(({ rule: other, at }) => at < before && covers(other, rule))?.rule;
    if (wider === undefined) return [];
    const message = `the rule never decides: ${wider.name} denies whatever it matches`;
    return [file.finding(['rules', index, 'name'], message, { code: 'unreachable_rule' })];
  });
}

/** Whether `wide` matches every request that `narrow` matches, as far as their text shows. */
function covers(wide: RuleEntry, narrow: RuleEntry): boolean {
  const lists = (
    key: 'actions' | 'models' | 'issuers' | 'clients' | 'roles' | 'scopes',
    isWithin: (pattern: string, entry: string) => boolean,
  ): boolean => {
    const [wanted, given] = [wide[key], narrow[key]];
    return (
      wanted === undefined ||
      given?.every((entry) => wanted.some((pattern) => isWithin(pattern, entry))) === true
    );
  };
  const isSame = (key: 'identity_type' | 'network' | 'time' | 'when' | 'require'): boolean =>
    wide[key] === undefined || JSON.stringify(wide[key]) === JSON.stringify(narrow[key]);
  const equal = (pattern: string, entry: string): boolean => pattern === entry;
  return (
    lists('actions', (pattern, entry) => pattern === entry || matchesAction(pattern, entry)) &&
    lists('models', (pattern, entry) => pattern === entry || modelMatcher(pattern)(entry)) &&
    (['issuers', 'clients', 'roles', 'scopes'] as const).every((key) => lists(key, equal)) &&
    (['identity_type', 'network', 'time', 'when', 'require'] as const).every(isSame)
  );
}
