// What a good bundle says that is probably not meant, or that opens more than it seems: warnings, never errors.
import type { Finding } from '../../core/yaml-file.ts';
import { listedAudiences, type IssuerPolicy } from '../../gateway/authenticate/issuers-policy.ts';
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
      ...(Array.isArray(entry.audiences)
        ? []
        : [
            warn(
              ['audiences'],
              'tokens for other services are accepted: whoever receives one can use it here',
              'permissive',
            ),
          ]),
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
  const { entra } = entry;
  const audiences = listedAudiences(entry);
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
  entry: IssuerPolicy,
  warn: (path: readonly PropertyKey[], message: string) => Finding,
): Finding[] {
  const { client_ids: clientIds, client_audiences: pairs } = entry;
  if (!Array.isArray(clientIds) || clientIds.some((client) => !Object.hasOwn(pairs, client))) return [];
  const used = new Set(Object.values(pairs).flat());
  return listedAudiences(entry).flatMap((audience, index) =>
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

/** A rule as far as another one may cover it: what it states, and its conditions as text. */
interface Outline {
  readonly rule: RuleEntry;
  /** One bit for each condition that is stated. */
  readonly stated: number;
  /** Conditions that are compared as a whole. */
  readonly wholes: readonly string[];
}

const patternKeys = ['actions', 'models'] as const;
const nameKeys = ['issuers', 'clients', 'roles', 'scopes'] as const;
const wholeKeys = ['identity_type', 'network', 'time', 'when', 'require'] as const;
const statedKeys = [...patternKeys, ...nameKeys, ...wholeKeys];

function outlineOf(rule: RuleEntry): Outline {
  return {
    rule,
    stated: statedKeys.reduce((bits, key, at) => (rule[key] === undefined ? bits : bits | (1 << at)), 0),
    wholes: wholeKeys.map((key) => (rule[key] === undefined ? '' : JSON.stringify(rule[key]))),
  };
}

/** Rules that never decide, because a deny rule matches whatever they match. */
function unreachableRules({ bundle, fileOf }: OpenedPolicies): Finding[] {
  const { rules } = bundle.rules;
  const outlines = rules.map(outlineOf);
  const denies = outlines.flatMap((outline, at) => (outline.rule.effect === 'deny' ? [{ outline, at }] : []));
  return outlines.flatMap((outline, index) => {
    // Of two deny rules that match the same, the first decides.
    const before = outline.rule.effect === 'deny' ? index : rules.length;
    const wider = denies.find(({ outline: other, at }) => at < before && covers(other, outline))?.outline
      .rule;
    if (wider === undefined) return [];
    const message = `the rule never decides: ${wider.name} denies whatever it matches`;
    const path = ['rules', index, 'name'];
    return [fileOf('rules.yaml').finding(path, message, { code: 'unreachable_rule' })];
  });
}

/** Whether `wide` matches every request that `narrow` matches, as far as their text shows. */
function covers(wide: Outline, narrow: Outline): boolean {
  // Most pairs end here: with a thousand rules there are a million.
  if ((wide.stated & ~narrow.stated) !== 0) return false;
  if (!wide.wholes.every((text, at) => text === '' || text === narrow.wholes[at])) return false;
  const isWithin = (
    key: (typeof patternKeys)[number] | (typeof nameKeys)[number],
    matches: (pattern: string, entry: string) => boolean,
  ): boolean =>
    wide.rule[key] === undefined ||
    narrow.rule[key]?.every((entry) => wide.rule[key]?.some((pattern) => matches(pattern, entry))) === true;
  const equal = (pattern: string, entry: string): boolean => pattern === entry;
  return (
    nameKeys.every((key) => isWithin(key, equal)) &&
    isWithin('actions', (pattern, entry) => pattern === entry || matchesAction(pattern, entry)) &&
    isWithin('models', (pattern, entry) => pattern === entry || modelMatcher(pattern)(entry))
  );
}
