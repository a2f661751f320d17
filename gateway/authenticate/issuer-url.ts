// Which addresses an issuer stands for: the exact `iss` values and where its metadata lies.
import type { EntraPolicy, EntraVersion } from './entra-policy.ts';
import type { IssuerPolicy, IssuersPolicy } from './issuers-policy.ts';

/** The documents that bring the keys of one accepted `iss`, or of many: Entra's tenants can share them. */
export interface KeySource {
  /** What the metadata document must name; Entra's `{tenantid}` stands for each tenant. */
  readonly issuer: string;
  readonly metadataUrl: string;
  /** Where the keys are, if the policy says so; null: the metadata does. */
  readonly jwksUrl: string | null;
}

/** One accepted `iss`. */
export interface IssuerForm {
  readonly issuer: string;
  readonly source: KeySource;
  /** Entra's token version and tenant, or null for other issuers. */
  readonly entra: { readonly version: EntraVersion; readonly tenantId: string } | null;
}

/** A fault that the schema cannot see, with the path of its value in issuers.yaml. */
export interface IssuerFault {
  readonly path: readonly string[];
  readonly message: string;
}

/** Whether nobody on the path can change what this address answers. */
export function isSecureOrLoopback(url: URL): boolean {
  if (url.protocol === 'https:') return true;
  return url.protocol === 'http:' && /^(127(\.\d{1,3}){3}|\[::1\]|localhost)$/.test(url.hostname);
}

/** The accepted forms of one entry; `embedded` without an embedded issuer has none. */
export function issuerForms(entry: IssuerPolicy, embeddedIssuer: string | null): readonly IssuerForm[] {
  if (entry.entra !== undefined) return entraForms(entry.entra);
  const issuer = entry.issuer === 'embedded' ? embeddedIssuer : entry.issuer;
  if (issuer === null || issuer === undefined) return [];
  const { metadata_url: metadataUrl = wellKnown(issuer), jwks_url: jwksUrl = null } = entry;
  return [{ issuer, source: { issuer, metadataUrl, jwksUrl }, entra: null }];
}

/** The placeholder in the `issuer` of documents and keys that Entra's tenants share. */
export const tenantPlaceholder = '{tenantid}';

/** Entra's `iss` of a version, with the placeholder. */
export function entraIssuerTemplate(
  { authority, v1Issuer }: Pick<EntraPolicy, 'authority' | 'v1Issuer'>,
  version: EntraVersion,
): string {
  return version === '2.0' ? `${authority}/${tenantPlaceholder}/v2.0` : `${v1Issuer}/${tenantPlaceholder}/`;
}

function entraForms(entra: EntraPolicy): readonly IssuerForm[] {
  return entra.versions.flatMap((version) => {
    const template = entraIssuerTemplate(entra, version);
    return entra.tenants.map((tenantId) => {
      // Where several tenants are listed, one document serves all of them, so that its fetches do not multiply.
      const base = `${entra.authority}/${entra.isMultiTenant ? 'organizations' : tenantId}`;
      const issuer = template.replace(tenantPlaceholder, tenantId);
      const source = {
        issuer: entra.isMultiTenant ? template : issuer,
        metadataUrl: wellKnown(version === '2.0' ? `${base}/v2.0` : base),
        jwksUrl: null,
      };
      return { issuer, source, entra: { version, tenantId } };
    });
  });
}

// OpenID Connect Discovery 1.0 §4: a terminating slash is removed before the well-known suffix is appended.
function wellKnown(issuer: string): string {
  return `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
}

/** Faults between entries and towards the configuration: an unknown embedded issuer, one `iss` listed twice. */
export function checkIssuers(
  policy: IssuersPolicy,
  embeddedIssuer: string | null | undefined,
): readonly IssuerFault[] {
  const faults: IssuerFault[] = [];
  const owners = new Map<string, string>();
  for (const [name, entry] of Object.entries(policy.issuers)) {
    const forms = issuerForms(entry, embeddedIssuer ?? null);
    const path = ['issuers', name, entry.entra === undefined ? 'issuer' : 'entra'];
    if (forms.length === 0)
      faults.push({ path, message: 'embedded needs gateway.embedded_issuer in the configuration' });
    for (const { issuer } of forms) {
      const owner = owners.get(issuer);
      if (owner !== undefined)
        faults.push({ path, message: `the tokens of ${issuer} are already judged by ${owner}` });
      owners.set(issuer, name);
    }
    if (
      entry.issuer === 'embedded' &&
      !entry.insecure_plain_http &&
      forms.some((form) => !isSecureOrLoopback(new URL(form.issuer)))
    ) {
      const message =
        'the embedded issuer has an http:// address beyond loopback; insecure_plain_http: true accepts that';
      faults.push({ path, message });
    }
  }
  return faults;
}
