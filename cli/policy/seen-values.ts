// The values that a recorded decision was made on: roles, groups, scopes, claims and the numbers of the request.
import type { RecordedDecision } from '../../gateway/accounting/decision-files.ts';
import type { RequestFacts } from '../../gateway/request-facts.ts';
import { shownList, shownValue } from './shown-value.ts';

/** What `--json` prints of them. */
export interface SeenValues {
  readonly roles: readonly string[];
  readonly groups: readonly string[];
  readonly scopes: readonly string[];
  readonly acr: string | null;
  readonly amr: readonly string[];
  readonly claims: Readonly<Record<string, unknown>>;
  /** Claims that are not recorded (`gateway.decisions.omit_claims`). */
  readonly omitted_claims: readonly string[];
  readonly request: RequestFacts | null;
}

/** Reads them from the record. */
export function seenValues({ principal, omitted, facts }: RecordedDecision): SeenValues {
  return {
    roles: [...principal.roles],
    groups: [...principal.groups],
    scopes: [...principal.scopes],
    acr: principal.acr,
    amr: principal.amr,
    claims: principal.claims,
    omitted_claims: omitted,
    request: facts,
  };
}

/** Claims that say who issued the token for whom and when; roles, groups and scopes have words of their own. */
const ordinary = new Set(
  'iss aud sub exp iat nbf jti uti oid tid azp appid client_id ver roles groups scp scope acr amr auth_time'.split(
    ' ',
  ),
);
const longestLine = 160;

/** At most four lines for people. */
export function seenLines(seen: SeenValues): string[] {
  const list = (name: string, values: readonly string[]): string =>
    values.length === 0 ? `no ${name}` : `${name} ${shownList(values)}`;
  const claims = Object.entries(seen.claims).filter(([name]) => !ordinary.has(name));
  const { request } = seen;
  const lines = [
    [
      list('roles', seen.roles),
      list('groups', seen.groups),
      list('scopes', seen.scopes),
      ...(seen.amr.length === 0 ? [] : [list('amr', seen.amr)]),
      ...(seen.acr === null ? [] : [`acr ${shownValue(seen.acr)}`]),
    ].join('; '),
    ...(claims.length === 0
      ? []
      : [`claims ${claims.map(([name, value]) => `${name} ${shownValue(value)}`).join(', ')}`]),
    ...(request === null
      ? []
      : [
          `request ${Object.entries(request)
            .map(([name, value]) => `${name} ${String(value)}`)
            .join(', ')}`,
        ]),
    ...(seen.omitted_claims.length === 0 ? [] : [`not recorded: ${seen.omitted_claims.join(', ')}`]),
  ];
  return lines.map((line) => (line.length > longestLine ? `${line.slice(0, longestLine - 1)}…` : line));
}
