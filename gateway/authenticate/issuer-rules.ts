// What one accepted `iss` demands of its access tokens: the entry of issuers.yaml, compiled.
import { normalisedType } from './compact-jws.ts';
import type { ClientAuthentication, EntraPolicy, EntraVersion } from './entra-policy.ts';
import type { IssuerForm } from './issuer-url.ts';
import { listedAudiences, type IssuerPolicy, type RequiredClaim } from './issuers-policy.ts';

/** One required claim with its separator decided. */
export interface ClaimRule {
  readonly name: string;
  readonly values: readonly (string | number | boolean)[];
  readonly match: 'all' | 'any';
  readonly separator: string | null;
}

/** What an Entra token must say beside what others must. */
export interface EntraRules {
  readonly version: EntraVersion;
  readonly tenantId: string;
  readonly identityType: EntraPolicy['identity_type'];
  readonly clientAuthentication: ClientAuthentication;
}

/** The entry of issuers.yaml for one form of `iss`. */
export interface IssuerRules {
  readonly name: string;
  readonly issuer: string;
  /** What an Entra token must say, or null for other issuers. */
  readonly entra: EntraRules | null;
  /** Null accepts every audience. */
  readonly audiences: ReadonlySet<string> | null;
  /** Null accepts every client. */
  readonly clientIds: ReadonlySet<string> | null;
  /** Clients that may use some of the audiences only. */
  readonly clientAudiences: ReadonlyMap<string, ReadonlySet<string>>;
  readonly algorithms: ReadonlySet<string>;
  readonly types: ReadonlySet<string>;
  readonly clockSkewSeconds: number;
  readonly requiredClaims: readonly ClaimRule[];
  readonly claims: IssuerPolicy['claims'];
  readonly dpop: IssuerPolicy['dpop'];
}

/** Compiles an entry for one of its forms. */
export function issuerRules(name: string, entry: IssuerPolicy, form: IssuerForm): IssuerRules {
  const { entra } = entry;
  return {
    name,
    issuer: form.issuer,
    entra:
      entra === undefined || form.entra === null
        ? null
        : {
            ...form.entra,
            identityType: entra.identity_type,
            clientAuthentication: entra.client_authentication,
          },
    audiences: Array.isArray(entry.audiences) ? new Set(entry.audiences) : null,
    clientIds: Array.isArray(entry.client_ids) ? new Set(entry.client_ids) : null,
    clientAudiences: new Map(
      Object.entries(entry.client_audiences).map(([client, audiences]) => [client, new Set(audiences)]),
    ),
    algorithms: new Set(entry.algorithms),
    types: new Set((entry.token_types ?? [entra === undefined ? 'at+jwt' : 'JWT']).map(normalisedType)),
    clockSkewSeconds: entry.clock_skew / 1000,
    requiredClaims: Object.entries(entry.required_claims).map(([claim, rule]) => claimRule(claim, rule)),
    claims: entry.claims,
    dpop: entry.dpop,
  };
}

function claimRule(name: string, rule: RequiredClaim): ClaimRule {
  return { name, ...rule, separator: rule.separator ?? (name === 'scp' || name === 'scope' ? ' ' : null) };
}

/**
 * The scopes that an entry requires, as a client requests them: Entra and the embedded issuer put the audience in
 * front (`api://sallyport/LLM.Access` becomes `scp: LLM.Access`), others use the scope as it is.
 */
export function requestedScopes(entry: IssuerPolicy): readonly string[] {
  const scopes = ['scp', 'scope']
    .flatMap((name) => entry.required_claims[name]?.values ?? [])
    .filter((value) => typeof value === 'string');
  if (entry.entra === undefined && entry.issuer !== 'embedded') return scopes;
  const audiences = listedAudiences(entry);
  const resources = [...audiences.filter((audience) => audience.includes('://')), ...audiences];
  return resources
    .slice(0, 1)
    .flatMap((resource) => scopes.map((scope) => `${resource.replace(/\/$/, '')}/${scope}`));
}
