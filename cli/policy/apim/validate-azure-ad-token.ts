// APIM `validate-azure-ad-token`: access tokens of Microsoft Entra ID, v1.0 and v2.0.
import { textsOf, type PolicyElement } from './document.ts';
import { isExpression } from './expression.ts';
import { freeName, note, type Imported } from './imported.ts';
import { audiencesOf, noteTokenSource, noteAttributes, requiredClaims } from './token-validation.ts';

const guid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Imports one element to issuers.yaml: an entry for each tenant. */
export function validateAzureAdToken(imported: Imported, element: PolicyElement): void {
  noteTokenSource(imported, element);
  noteAttributes(imported, element);
  const tenants = tenantsOf(imported, element);
  const clientIds = textsOf(element, 'client-application-ids', 'application-id');
  const usable = clientIds.filter((id) => !isExpression(id));
  if (clientIds.length > 0 && usable.length === 0) {
    note(imported, element, 'missing', 'no client application could be read: name them in issuers.yaml');
    return;
  }
  if (usable.length < clientIds.length)
    note(imported, element, 'differs', 'client applications by expression or named value are left out');
  const backends = textsOf(element, 'backend-application-ids', 'application-id');
  const audiences = audiencesOf(imported, element, {
    written: [
      ...textsOf(element, 'audiences', 'audience'),
      // A token for an application names it as its audience: by its id (v2.0), or by its address (v1.0).
      ...backends.flatMap((id) => [id, `api://${id}`]),
    ],
    hasClients: usable.length > 0,
  });
  if (tenants.length === 0 || audiences === null) return;
  const endpoint = element.attributes.get('authentication-endpoint');
  for (const tenant of tenants) {
    const name = freeName(imported.issuers, 'entra');
    imported.issuers.set(name, {
      entra: {
        tenant_id: tenant,
        versions: ['1.0', '2.0'],
        ...(endpoint === undefined ? {} : { authority: authorityOf(endpoint) }),
      },
      audiences: 'insecure_any' in audiences ? audiences : [...new Set(audiences)],
      client_ids: usable.length === 0 ? { any: true } : usable,
      // The element has no clock-skew; APIM states none.
      clock_skew: '0s',
      required_claims: requiredClaims(imported, element, name),
    });
    note(imported, element, 'imported', `issuers.yaml: ${name}`);
  }
  if (usable.length === 0)
    note(imported, element, 'imported', 'every client application is accepted, as in the document');
}

const authorityOf = (endpoint: string): string =>
  `https://${endpoint.replace(/^https:\/\//i, '').replace(/\/.*$/, '')}`;

function tenantsOf(imported: Imported, element: PolicyElement): readonly string[] {
  const written = element.attributes.get('tenant-id') ?? '';
  const tenant = written.replace(/^https:\/\/[^/]+\//i, '').replace(/\/.*$/, '');
  if (guid.test(tenant)) return [tenant.toLowerCase()];
  const named = imported.answers.tenants;
  if (named.length > 0) return named;
  const why = /^(common|organizations)$/i.test(tenant)
    ? `tenant-id="${tenant}" accepts every directory, which has no equivalent: name the tenants with --tenant`
    : `tenant-id="${written}" is no tenant id: import again with --tenant GUID`;
  note(imported, element, 'missing', why);
  return [];
}
