// Which addresses an issuer stands for: the exact `iss` values and where its metadata lies.
import type { IssuerPolicy, IssuersPolicy, EntraVersion } from './issuers-policy.ts';

/** One accepted `iss` with the document that names its keys. */
export interface IssuerForm {
  readonly issuer: string;
  readonly metadataUrl: string;
  /** Where the keys are, if the policy says so; null: the metadata does. */
  readonly jwksUrl: string | null;
  /** Entra's token version, or null for other issuers. */
  readonly version: EntraVersion | null;
}

/** A fault that the schema cannot see, with the path of its value in issuers.yaml. */
export interface IssuerFault {
  readonly path: readonly string[];
  readonly message: string;
}

// Entra's v1.0 tokens are issued by a host of their own in each cloud; those not listed use the first.
const v1Hosts: Readonly<Record<string, string>> = {
  'https://login.partner.microsoftonline.cn': 'https://sts.chinacloudapi.cn',
  'https://login.chinacloudapi.cn': 'https://sts.chinacloudapi.cn',
};
const v1Host = 'https://sts.windows.net';

/** Whether nobody on the path can change what this address answers. */
export function isSecureOrLoopback(url: URL): boolean {
  if (url.protocol === 'https:') return true;
  return url.protocol === 'http:' && /^(127(\.\d{1,3}){3}|\[::1\]|localhost)$/.test(url.hostname);
}

/** The accepted forms of one entry; `embedded` without an embedded issuer has none. */
export function issuerForms(entry: IssuerPolicy, embeddedIssuer: string | null): readonly IssuerForm[] {
  const { entra } = entry;
  if (entra !== undefined) {
    const tenant = `${entra.authority}/${entra.tenant_id}`;
    return entra.versions.map((version) =>
      version === '2.0'
        ? { version, issuer: `${tenant}/v2.0`, metadataUrl: wellKnown(`${tenant}/v2.0`), jwksUrl: null }
        : {
            version,
            issuer: `${v1Hosts[entra.authority] ?? v1Host}/${entra.tenant_id}/`,
            metadataUrl: wellKnown(tenant),
            jwksUrl: null,
          },
    );
  }
  const issuer = entry.issuer === 'embedded' ? embeddedIssuer : entry.issuer;
  if (issuer === null || issuer === undefined) return [];
  const { metadata_url: metadataUrl = wellKnown(issuer), jwks_url: jwksUrl = null } = entry;
  return [{ version: null, issuer, metadataUrl, jwksUrl }];
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
