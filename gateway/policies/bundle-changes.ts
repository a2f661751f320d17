// What differs between two bundles, in words for the audit log and the log: what was added, removed and changed by name.
// Shows numbers, switches and lists of names; of texts (expressions, denied words, addresses) only that they changed.
import type { Bundle } from './bundle.ts';

/** Sentences of one swap at most; the last then says how many more there are. */
const mostChanges = 50;
const longestChange = 240;

type Entry = Readonly<Record<string, unknown>>;
type Named = ReadonlyMap<string, Entry>;

/** Lists whose members are names, which may be shown. */
const listsOfNames = new Set([
  'actions',
  'audiences',
  'client_ids',
  'clients',
  'guards',
  'inherits',
  'issuers',
  'limits',
  'methods',
  'models',
  'permits',
  'roles',
  'scopes',
]);
/** Texts that are words of the policy language. */
const texts = new Set(['action', 'by', 'effect', 'kind', 'path', 'require', 'upstream']);

/**
 * The changes, in the order issuers, roles, rules, relations, limits, guards, routes; empty when only comments or layout differ.
 * Bounded in number and length, whatever the bundles are.
 */
export function bundleChanges(old: Bundle, now: Bundle): readonly string[] {
  const changes = [
    ...differences('issuer', named(old.issuers.issuers), named(now.issuers.issuers)),
    ...differences('role', named(old.roles.roles), named(now.roles.roles)),
    ...other('roles.yaml', old.roles, now.roles, 'roles'),
    ...differences('rule', rules(old), rules(now)),
    ...reordered(old, now),
    ...other('rules.yaml', old.rules, now.rules, 'rules'),
    ...other('relations.yaml', old.relations, now.relations, ''),
    ...differences('limit', named(old.limits.limits), named(now.limits.limits)),
    ...other('limits.yaml', old.limits, now.limits, 'limits'),
    ...differences('guard', named(old.guards.guards), named(now.guards.guards)),
    ...differences('route', named(old.routes.routes), named(now.routes.routes)),
  ].map((change) => (change.length > longestChange ? `${change.slice(0, longestChange - 1)}…` : change));
  if (changes.length <= mostChanges) return changes;
  return [...changes.slice(0, mostChanges - 1), `and ${changes.length - mostChanges + 1} more changes`];
}

const named = (entries: Readonly<Record<string, Entry>>): Named => new Map(Object.entries(entries));
const rules = ({ rules: policy }: Bundle): Named =>
  new Map(policy.rules.map((rule) => [rule.name, rule as unknown as Entry])); // Read key by key.

/** What came and went first: where many change, these are not among those left out. */
function differences(what: string, old: Named, now: Named): string[] {
  const added = [...now.keys()].filter((name) => !old.has(name));
  const removed = [...old.keys()].filter((name) => !now.has(name));
  const changed = [...now].flatMap(([name, entry]) => {
    const before = old.get(name);
    return before === undefined || isSame(before, entry)
      ? []
      : [`${what} ${name}: ${keyChanges(before, entry).join(', ')}`];
  });
  return [
    ...added.map((name) => `${what} ${name} added`),
    ...removed.map((name) => `${what} ${name} removed`),
    ...changed,
  ];
}

function keyChanges(old: Entry, now: Entry): string[] {
  const keys = new Set([...Object.keys(old), ...Object.keys(now)]);
  return [...keys]
    .filter((key) => !isSame(old[key], now[key]))
    .map((key) => keyChange(key, old[key], now[key]));
}

function keyChange(key: string, old: unknown, now: unknown): string {
  if (listsOfNames.has(key) && isNames(old) && isNames(now)) {
    const gone = (old ?? []).filter((name) => now?.includes(name) !== true).map((name) => `-${name}`);
    const come = (now ?? []).filter((name) => old?.includes(name) !== true).map((name) => `+${name}`);
    return [key, ...(gone.length + come.length === 0 ? ['in another order'] : [...come, ...gone])].join(' ');
  }
  if (Array.isArray(old) && Array.isArray(now)) return [key, ...counted(old, now)].join(' ');
  if (isShown(key, old) && isShown(key, now)) return `${key} ${shown(old)} → ${shown(now)}`;
  if (old === undefined) return `${key} added`;
  return now === undefined ? `${key} removed` : `${key} changed`;
}

/** How many members came and went, where the members themselves are not shown. */
function counted(old: readonly unknown[], now: readonly unknown[]): string[] {
  const [before, after] = [old, now].map((list) => new Set(list.map((each) => JSON.stringify(each))));
  const come = [...(after ?? [])].filter((each) => before?.has(each) !== true).length;
  const gone = [...(before ?? [])].filter((each) => after?.has(each) !== true).length;
  const words = [...(come > 0 ? [`${come} added`] : []), ...(gone > 0 ? [`${gone} removed`] : [])];
  return words.length > 0 ? words : ['in another order'];
}

const isNames = (value: unknown): value is readonly string[] | undefined =>
  value === undefined || (Array.isArray(value) && value.every((each) => typeof each === 'string'));
const isShown = (key: string, value: unknown): boolean =>
  value === undefined ||
  typeof value === 'number' ||
  typeof value === 'boolean' ||
  (typeof value === 'string' && texts.has(key));
const shown = (value: unknown): string =>
  value === undefined ? 'none' : JSON.stringify(value).replaceAll('"', '');

/** Rules that stand in another order: the first that matches gives its name to a decision. */
function reordered(old: Bundle, now: Bundle): string[] {
  const before = old.rules.rules.map(({ name }) => name);
  const after = now.rules.rules.map(({ name }) => name);
  const kept = new Set(after);
  const known = new Set(before);
  const same = isSame(
    before.filter((name) => kept.has(name)),
    after.filter((name) => known.has(name)),
  );
  return same ? [] : ['rules in another order'];
}

/** The keys of a file beside its list of named things. */
function other(file: string, old: object, now: object, without: string): string[] {
  const rest = (policy: object): Entry =>
    Object.fromEntries(Object.entries(policy).filter(([key]) => key !== without));
  return isSame(rest(old), rest(now)) ? [] : [`${file}: ${keyChanges(rest(old), rest(now)).join(', ')}`];
}

function isSame(left: unknown, right: unknown): boolean {
  return left === right || JSON.stringify(left) === JSON.stringify(right);
}
