// APIM `validate-jwt`: tokens of any OpenID provider.
import { childOf, textsOf, type PolicyElement } from './document.ts';
import { isExpression } from './expression.ts';
import { freeName, note, type Entry, type Imported } from './imported.ts';
import { audiencesOf, noteTokenSource, noteAttributes, requiredClaims } from './token-validation.ts';

/** What APIM accepts without being told. */
const algorithms = ['RS256', 'RS512', 'PS256', 'ES256'];
const wellKnown = /\/\.well-known\/openid-configuration$/;
const entraDocument =
  /^(https:\/\/login\.[^/]+)\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(\/v2\.0)?\/\.well-known\/openid-configuration$/i;
const longestSkewSeconds = 60;

/** Imports one element to issuers.yaml: an entry for each issuer. */
export function validateJwt(imported: Imported, element: PolicyElement): void {
  noteTokenSource(imported, element);
  noteAttributes(imported, element);
  for (const name of ['require-expiration-time', 'require-signed-tokens']) {
    if (element.attributes.get(name)?.toLowerCase() === 'false')
      note(imported, element, 'differs', `${name}="false": unsigned and endless tokens are refused here`);
  }
  if (childOf(element, 'issuer-signing-keys') !== undefined)
    note(
      imported,
      element,
      'differs',
      'issuer-signing-keys: keys are fetched from the issuer, shared secrets are refused; set jwks_url in issuers.yaml',
    );
  const documents = element.children
    .filter((child) => child.name === 'openid-config')
    .map((child) => child.attributes.get('url') ?? '');
  const audiences = audiencesOf(imported, element, {
    written: textsOf(element, 'audiences', 'audience'),
    hasClients: false,
  });
  const issuers = issuersOf(textsOf(element, 'issuers', 'issuer'), documents);
  if (issuers.length === 0)
    note(
      imported,
      element,
      'missing',
      'no openid-config and no issuer with an https:// address: name the issuer in issuers.yaml',
    );
  if (audiences === null || issuers.length === 0) return;
  const shared = { clock_skew: skewOf(imported, element), algorithms };
  for (const issuer of issuers) {
    const name = freeName(imported.issuers, 'entra' in issuer ? 'entra' : 'jwt');
    imported.issuers.set(name, {
      ...issuer,
      audiences,
      // The element knows client applications only as a required claim.
      client_ids: { any: true },
      ...shared,
      ...('entra' in issuer ? {} : { token_types: ['at+jwt', 'JWT'] }),
      required_claims: requiredClaims(imported, element, name),
    });
    note(imported, element, 'imported', `issuers.yaml: ${name}`);
  }
}

function skewOf(imported: Imported, element: PolicyElement): string {
  const seconds = Number(element.attributes.get('clock-skew') ?? '0');
  if (Number.isInteger(seconds) && seconds >= 0 && seconds <= longestSkewSeconds) return `${seconds}s`;
  note(imported, element, 'differs', `clock-skew: at most ${longestSkewSeconds}s here`);
  return `${longestSkewSeconds}s`;
}

/** Each issuer with where its metadata is. Issuers that are named alone must be found by their own address. */
function issuersOf(named: readonly string[], documents: readonly string[]): readonly Entry[] {
  const readable = documents.filter((url) => /^https:\/\//i.test(url) && !isExpression(url));
  const explicit = named.filter((issuer) => /^https:\/\//i.test(issuer) && !isExpression(issuer));
  const found = readable.flatMap((url): Entry[] => {
    const [, authority, tenantId, v2] = entraDocument.exec(url) ?? [];
    if (authority !== undefined && tenantId !== undefined)
      return [
        {
          entra: {
            tenant_id: tenantId.toLowerCase(),
            versions: [v2 === undefined ? '1.0' : '2.0'],
            authority,
          },
        },
      ];
    const own = url.replace(wellKnown, '');
    if (explicit.length === 0) return wellKnown.test(url) ? [{ issuer: own }] : [];
    // The document's own issuer needs no second address; another one is read from this document.
    return explicit.map((issuer) =>
      issuer.replace(/\/$/, '') === own.replace(/\/$/, '') ? { issuer } : { issuer, metadata_url: url },
    );
  });
  const all = readable.length === 0 ? explicit.map((issuer): Entry => ({ issuer })) : found;
  return [...new Map(all.map((entry) => [JSON.stringify(entry), entry])).values()];
}
