// The client applications: five built-in public ones and the configured confidential ones.
import type { ClientMetadata } from 'oidc-provider';
import { readSecret } from '../../core/secret.ts';
import { builtInClientIds, type IdentityConfig } from '../config.ts';

/** RFC 8628's name of the device code grant. */
export const deviceCodeGrant = 'urn:ietf:params:oauth:grant-type:device_code';

const publicClient = { token_endpoint_auth_method: 'none', response_types: [], redirect_uris: [] } as const;

/** All clients in oidc-provider's form. @throws Error that names the reference of an unreadable or short secret */
export function clientMetadata(config: IdentityConfig): ClientMetadata[] {
  return [...builtIn(config), ...config.clients.map(confidential)];
}

function builtIn(config: IdentityConfig): ClientMetadata[] {
  return [
    {
      ...mutable(publicClient),
      client_id: builtInClientIds.cli,
      client_name: 'Sallyport command line',
      application_type: 'native',
      grant_types: [deviceCodeGrant, 'refresh_token'],
    },
    {
      client_id: builtInClientIds.apiPage,
      client_name: 'Sallyport API page',
      application_type: 'web',
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code'],
      response_types: ['code'],
      redirect_uris: [`${config.gateway_url}/docs/oauth2-redirect.html`],
    },
    {
      client_id: builtInClientIds.scripts,
      client_name: 'Notebooks and scripts',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', deviceCodeGrant, 'refresh_token'],
      response_types: ['code'],
      // RFC 8252 §7.3: on a loopback address any port is the same redirect URI; the path must match.
      redirect_uris: ['http://localhost', 'http://127.0.0.1', 'http://[::1]'].flatMap((host) => [
        host,
        `${host}/callback`,
      ]),
    },
    {
      // Known by name only: its tokens come from POST /token, no OAuth endpoint serves it.
      ...mutable(publicClient),
      client_id: builtInClientIds.localTest,
      client_name: 'Local test client',
      grant_types: [],
    },
    {
      // Known by name only: what introspection says of an API key names it.
      ...mutable(publicClient),
      client_id: builtInClientIds.apiKeys,
      client_name: 'API keys',
      grant_types: [],
    },
  ];
}

function confidential(client: IdentityConfig['clients'][number]): ClientMetadata {
  const secret = readSecret(client.secret);
  if (secret.length < 32)
    throw new Error(`the secret ${client.secret} of client ${client.client_id} has fewer than 32 characters`);
  return {
    client_id: client.client_id,
    client_name: client.name ?? client.client_id,
    client_secret: secret,
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    app_roles: client.app_roles,
  };
}

function mutable(
  metadata: typeof publicClient,
): Pick<ClientMetadata, 'token_endpoint_auth_method' | 'response_types' | 'redirect_uris'> {
  return { ...metadata, response_types: [], redirect_uris: [] };
}
