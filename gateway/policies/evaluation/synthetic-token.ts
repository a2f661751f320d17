// Builds the access token that a test or an explanation speaks of: unsigned, and read by the gateway's own parser, so that
// form, types and claims are judged as if it had come over the wire.
import { clientAuthentications } from '../../authenticate/entra-policy.ts';
import { issuerForms, type IssuerForm } from '../../authenticate/issuer-url.ts';
import { issuerRules } from '../../authenticate/issuer-rules.ts';
import { listedAudiences, type IssuerPolicy, type IssuersPolicy } from '../../authenticate/issuers-policy.ts';
import { rulesByIssuer } from '../../authenticate/judge-claims.ts';
import type { Bearer, Credential } from './test-schema.ts';

/** What synthetic tokens are made from. */
export interface TokenSurroundings {
  readonly issuers: IssuersPolicy;
  readonly embeddedIssuer: string | null;
}

type Claims = Readonly<Record<string, unknown>>;
type Kind = 'entra-v1' | 'entra-v2' | 'app-only' | 'own';

const lifetimeSeconds = 3_600;
const guid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** What stands in a token in the place of too many groups; nobody follows the address. */
const overage = {
  _claim_names: { groups: 'src1' },
  _claim_sources: { src1: { endpoint: 'https://graph.windows.net/synthetic/getMemberObjects' } },
};
/** Object ids of the person and of the application in Entra tokens that name none. */
const personId = '11111111-1111-4111-8111-111111111111';
const applicationId = '22222222-2222-4222-8222-222222222222';

/** A compact JWS with an empty signature; its claims are as asked for, whether good or bad. */
export function syntheticToken(
  credential: Credential,
  nowMs: number,
  surroundings: TokenSurroundings,
): string {
  const nowSeconds = Math.floor(nowMs / 1_000);
  const times = { iat: nowSeconds - 60, nbf: nowSeconds - 60, exp: nowSeconds + lifetimeSeconds - 60 };
  if (credential.claims !== undefined) {
    const claims = { ...times, ...credential.claims };
    return unsigned(headerFor(claims, credential.type, surroundings), claims);
  }
  const [kind, bearer] = kindOf(credential);
  const claims = { ...times, ...claimsOf(kind, bearer, surroundings) };
  const whole: Claims = { ...claims, ...bearer.with };
  const laid = Object.entries(whole).filter(([, value]) => value !== null);
  const entra = kind === 'entra-v1' || kind === 'entra-v2';
  const header = headerFor(claims, entra ? 'JWT' : undefined, surroundings);
  return unsigned(header, Object.fromEntries(laid));
}

function kindOf(credential: Credential): readonly [Kind, Bearer] {
  for (const kind of ['entra-v1', 'entra-v2', 'app-only'] as const) {
    const bearer = credential[kind];
    if (bearer !== undefined) return [kind, bearer];
  }
  return ['own', credential];
}

/** The type and algorithm that the issuer's entry lists first. */
function headerFor(claims: Claims, type: string | undefined, surroundings: TokenSurroundings): Claims {
  const rules = rulesByIssuer(surroundings.issuers, surroundings.embeddedIssuer).get(String(claims['iss']));
  const [algorithm = 'RS256'] = rules?.algorithms ?? [];
  const [accepted = 'at+jwt'] = rules?.types ?? [];
  return { alg: algorithm, kid: 'synthetic', typ: type ?? accepted };
}

function claimsOf(kind: Kind, bearer: Bearer, { issuers, embeddedIssuer }: TokenSurroundings): Claims {
  const [name, entry] = chosenEntry(kind, bearer, issuers);
  const version = versionOf(kind, entry);
  const form = formOf(entry, { version, tenant: bearer.tenant, embeddedIssuer });
  if (form === null) return {};
  const { claims: places } = issuerRules(name, entry, form);
  const clientId =
    bearer.client_id ?? (Array.isArray(entry.client_ids) ? entry.client_ids[0] : undefined) ?? applicationId;
  const isApplication = kind === 'app-only';
  const common: Record<string, unknown> = {
    iss: form.issuer,
    aud: audienceFor(version, entry, clientId),
    ...requiredClaims(entry, isApplication),
  };
  if (bearer.scopes !== undefined) common[places.scopes?.[0] ?? 'scp'] = bearer.scopes.join(' ');
  const own =
    version === null
      ? ownClaims(clientId, bearer, isApplication)
      : entraClaims({
          version,
          clientId,
          bearer,
          isApplication,
          tenantId: form.entra?.tenantId ?? '',
          strength: strengthOf(entry, isApplication),
        });
  return {
    ...common,
    ...own,
    ...(bearer.roles === undefined ? {} : atPath(places.roles, bearer.roles)),
    ...(bearer.groups === undefined ? {} : atPath(places.groups, bearer.groups)),
  };
}

function chosenEntry(
  kind: Kind,
  bearer: Bearer,
  { issuers }: IssuersPolicy,
): readonly [string, IssuerPolicy] {
  const entries = Object.entries(issuers);
  const entra = entries.find(([, entry]) => entry.entra !== undefined);
  const wanted = kind === 'own' ? entries[0] : (entra ?? entries[0]);
  const found = bearer.issuer === undefined ? wanted : entries.find(([name]) => name === bearer.issuer);
  if (found === undefined) throw new Error(`there is no issuer ${bearer.issuer ?? ''}`); // Names are checked before.
  return found;
}

function versionOf(kind: Kind, { entra }: IssuerPolicy): '1.0' | '2.0' | null {
  if (entra === undefined) return null;
  if (kind === 'entra-v1') return '1.0';
  return kind === 'entra-v2' ? '2.0' : (entra.versions[0] ?? '2.0');
}

interface FormChoice {
  readonly version: '1.0' | '2.0' | null;
  readonly tenant: string | undefined;
  readonly embeddedIssuer: string | null;
}

/** The form of `iss` that a token has; null for the embedded issuer where there is none. */
function formOf(entry: IssuerPolicy, { version, tenant, embeddedIssuer }: FormChoice): IssuerForm | null {
  const { entra } = entry;
  const ofVersion =
    version === null || entra === undefined ? entry : { ...entry, entra: { ...entra, versions: [version] } };
  const [first = null] = issuerForms(ofVersion, embeddedIssuer);
  return first === null || tenant === undefined ? first : ofTenant(first, tenant);
}

/** The form of another tenant, listed or not: what its `iss` would be. */
function ofTenant(form: IssuerForm, tenant: string): IssuerForm {
  if (form.entra === null) return form;
  const tenantId = tenant.toLowerCase();
  return {
    ...form,
    issuer: form.issuer.replace(form.entra.tenantId, tenantId),
    entra: { ...form.entra, tenantId },
  };
}

/** How the client proved to be itself: as this kind does, or better where the entry asks for it. */
function strengthOf({ entra }: IssuerPolicy, isApplication: boolean): string {
  const needed = clientAuthentications.indexOf(entra?.client_authentication ?? 'public');
  return String(Math.max(needed, isApplication ? 1 : 0));
}

/** Entra v2.0 tokens name the application's GUID, v1.0 tokens mostly its identifier URI; a client may have its own. */
function audienceFor(version: '1.0' | '2.0' | null, entry: IssuerPolicy, clientId: string): string {
  const own = Object.hasOwn(entry.client_audiences, clientId) ? entry.client_audiences[clientId] : undefined;
  const audiences = own ?? listedAudiences(entry);
  const fits = (audience: string): boolean => version === null || guid.test(audience) === (version === '2.0');
  return audiences.find(fits) ?? audiences[0] ?? 'any-audience';
}

/** What the entry requires, so that a good token is good; an application has no scopes, whatever is required. */
function requiredClaims(entry: IssuerPolicy, isApplication: boolean): Claims {
  const rules = Object.entries(entry.required_claims).filter(
    ([name]) => !isApplication || (name !== 'scp' && name !== 'scope'),
  );
  return Object.fromEntries(
    rules.map(([name, { values, match, separator }]) => {
      const given = match === 'all' ? values : values.slice(0, 1);
      const joint = separator ?? (name === 'scp' || name === 'scope' ? ' ' : null);
      if (joint !== null) return [name, given.join(joint)];
      return [name, given.length === 1 ? given[0] : given];
    }),
  );
}

function ownClaims(clientId: string, { subject }: Bearer, isApplication: boolean): Claims {
  return {
    sub: subject ?? (isApplication ? clientId : 'somebody'),
    client_id: clientId,
    jti: 'synthetic',
  };
}

interface EntraToken {
  readonly version: '1.0' | '2.0';
  readonly tenantId: string;
  readonly clientId: string;
  readonly bearer: Bearer;
  readonly isApplication: boolean;
  /** `azpacr`, in v1.0 `appidacr`. */
  readonly strength: string;
}

function entraClaims({ version, tenantId, clientId, bearer, isApplication, strength }: EntraToken): Claims {
  const objectId = bearer.subject ?? (isApplication ? applicationId : personId);
  return {
    ver: version,
    tid: tenantId,
    oid: objectId,
    sub: isApplication ? objectId : `pairwise-${objectId}`,
    idtyp: isApplication ? 'app' : 'user',
    ...(version === '1.0' ? { appid: clientId, appidacr: strength } : { azp: clientId, azpacr: strength }),
    ...(bearer.overage === true ? overage : {}),
  };
}

/** `realm_access.roles` as the nested object that the issuer would send. */
function atPath(path: readonly string[], value: unknown): Claims {
  const [first = '', ...rest] = path;
  return { [first]: rest.length === 0 ? value : atPath(rest, value) };
}

function unsigned(header: Claims, claims: Claims): string {
  const part = (value: Claims): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part(header)}.${part(claims)}.AA`;
}
