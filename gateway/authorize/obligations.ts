// The obligations of all rules that match a permitted request, together: limits and guards are joined, the lowest of each
// ceiling holds, system messages follow one another, header fields must agree.
import { compileCeilings, type CeilingName, type Ceilings, type CeilingTest } from '../ceilings.ts';
import type { Principal } from '../principal.ts';
import type { ObligationsEntry } from './obligations-policy.ts';

/** A rule that obliges. */
export interface ObligingRule {
  /** `rules.<name>`. */
  readonly id: string;
  readonly obligations: ObligationsEntry;
}

type HeaderSource = NonNullable<ObligationsEntry['upstream_headers']>[string];

/** What a permit is bound to. */
export interface Obligations {
  /** The rules that oblige, in the order of the file. */
  readonly rules: readonly ObligingRule[];
  /** Names in limits.yaml. */
  readonly limits: readonly string[];
  /** Names in guards.yaml. */
  readonly guards: readonly string[];
  /** Null when no rule states one. */
  readonly ceilings: Ceilings | null;
  /** The same, compiled. */
  readonly ceilingTest: CeilingTest | null;
  /** Text of the message to put first, or null. */
  readonly systemMessage: string | null;
  readonly upstreamHeaders: Readonly<Record<string, HeaderSource>>;
  /** Name of a header field that two rules set to different values, or null. */
  readonly conflict: string | null;
}

/** What of obligations a tool or an audit record shows, in the words of rules.yaml: `context.obligations` of a decision. */
export interface ShownObligations {
  readonly rules: readonly string[];
  readonly limits?: readonly string[];
  readonly guards?: readonly string[];
  readonly ceilings?: Ceilings;
  readonly system_message?: string;
  readonly upstream_headers?: Readonly<Record<string, HeaderSource>>;
}

/** Joins the obligations of at least one rule. */
export function joinObligations(rules: readonly ObligingRule[]): Obligations {
  const all = rules.map((rule) => rule.obligations);
  const ceilings: { [Name in CeilingName]?: number } = {};
  for (const entry of all)
    for (const [name, value] of Object.entries(entry.ceilings ?? {}) as [CeilingName, number | undefined][])
      // Keys of the strict schema.
      if (value !== undefined) ceilings[name] = Math.min(value, ceilings[name] ?? value);
  const headers = all.flatMap((entry) => Object.entries(entry.upstream_headers ?? {}));
  const texts = new Set(all.flatMap((entry) => entry.system_message ?? []));
  return {
    rules,
    limits: [...new Set(all.flatMap((entry) => entry.limits ?? []))],
    guards: [...new Set(all.flatMap((entry) => entry.guards ?? []))],
    ...(Object.keys(ceilings).length === 0
      ? { ceilings: null, ceilingTest: null }
      : { ceilings, ceilingTest: compileCeilings(ceilings) }),
    // One message, because chat templates are often content with one system message only.
    systemMessage: texts.size === 0 ? null : [...texts].join('\n\n'),
    upstreamHeaders: Object.fromEntries(headers),
    conflict:
      headers.find(([name, value]) =>
        headers.some(([other, source]) => other === name && JSON.stringify(source) !== JSON.stringify(value)),
      )?.[0] ?? null,
  };
}

/** The obligations in the words of rules.yaml, without what is empty. */
export function shownObligations(obligations: Obligations): ShownObligations {
  const { rules, limits, guards, ceilings, systemMessage, upstreamHeaders } = obligations;
  return {
    rules: rules.map((rule) => rule.id),
    ...(limits.length === 0 ? {} : { limits }),
    ...(guards.length === 0 ? {} : { guards }),
    ...(ceilings === null ? {} : { ceilings }),
    ...(systemMessage === null ? {} : { system_message: systemMessage }),
    ...(Object.keys(upstreamHeaders).length === 0 ? {} : { upstream_headers: upstreamHeaders }),
  };
}

/** Header fields with their values. */
export type HeaderValues = readonly (readonly [name: string, value: string])[];

const longestHeaderValue = 1_024;

/**
 * The header fields with their values for this principal; null when a value is not there, too long or not text.
 * Somebody on a route that is open to anybody has no name that could be vouched for.
 */
export function headerValues(
  headers: Obligations['upstreamHeaders'],
  principal: Principal | null,
): HeaderValues | null {
  const values: (readonly [string, string])[] = [];
  for (const [name, source] of Object.entries(headers)) {
    const value = typeof source === 'string' ? source : encoded(source.from, principal);
    if (value === null) return null;
    values.push([name, value]);
  }
  return values;
}

type PrincipalValue = Exclude<HeaderSource, string>['from'];

function encoded(from: PrincipalValue, principal: Principal | null): string | null {
  if (principal === null) return null;
  const value = {
    subject: principal.subject,
    client_id: principal.clientId,
    tenant_id: principal.tenantId,
    issuer: principal.issuerName,
  }[from];
  if (value === null || value === '' || !value.isWellFormed()) return null;
  // RFC 3986 §2.1: percent-encoding leaves nothing that could end a header field.
  const text = encodeURIComponent(value);
  return text.length > longestHeaderValue ? null : text;
}
