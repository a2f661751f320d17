// The RFC 9728 document: from the gateway URL alone a client learns whose tokens are accepted and which scope to ask
// for. Made of configuration only; nothing of the request can change it.
import { dpopAlgorithms } from '../dpop-algorithms.ts';
import type { ControlDependencies } from './control-dependencies.ts';

/** Client registered at the embedded identity server for `sallyport login`. */
export const cliClientId = '5a11b0a7-0000-4000-8000-000000000001';
/** Client registered at the embedded identity server for the API page. */
export const docsClientId = '5a11b0a7-0000-4000-8000-000000000002';

/** Where the document is, and its URL is what challenges and Link headers name. */
export const metadataPath = '/.well-known/oauth-protected-resource';

/** The document for one resource: the gateway, or a path below it (RFC 9728 §3.1). */
export function resourceMetadata(
  deps: ControlDependencies,
  resourcePath: string,
): Readonly<Record<string, unknown>> {
  const { authentication } = deps.current();
  return {
    // RFC 9728 §3.3: the value must be the resource identifier into which the well-known path was inserted.
    resource: `${deps.services.publicUrl}${resourcePath}`,
    authorization_servers: authentication.issuers,
    scopes_supported: authentication.scopesSupported,
    bearer_methods_supported: ['header'],
    dpop_signing_alg_values_supported: dpopAlgorithms,
    resource_name: 'Sallyport',
    resource_documentation: `${deps.services.publicUrl}/docs`,
    sallyport_cli_client_id: cliClientId,
    sallyport_docs_client_id: docsClientId,
  };
}
