// What introspection says of a credential, in one shape for API keys, passwords and JWT access tokens: the claims that
// an access token of the same account would have, read from the account as it is now.
import type { Account } from '../accounts/accounts.ts';
import type { UsedApiKey } from '../api-keys/api-keys.ts';
import { builtInClientIds, resource } from '../config.ts';
import { accountTokenClaims } from '../openid/claims.ts';
import { resourceScopes, scpClaim } from '../openid/scopes.ts';
import { nowInSeconds } from '../storage/database.ts';

/** Who says it. */
export interface ClaimIssuer {
  readonly issuer: string;
  readonly tenantId: string;
}

/** Claims of an API key that is good. */
export function apiKeyClaims({ key, owner, roles }: UsedApiKey, from: ClaimIssuer): Record<string, unknown> {
  return {
    ...claims({ ...owner, roles }, builtInClientIds.apiKeys, from),
    token_type: 'api_key',
    jti: key.id,
    iat: key.createdAt,
    exp: key.expiresAt,
  };
}

/** Claims of an account whose password was shown a moment ago. */
export function passwordClaims(account: Account, from: ClaimIssuer): Record<string, unknown> {
  return {
    ...claims(account, builtInClientIds.localTest, from),
    token_type: 'password',
    iat: nowInSeconds(),
    auth_time: nowInSeconds(),
    amr: ['pwd'],
  };
}

function claims(account: Account, clientId: string, from: ClaimIssuer): Record<string, unknown> {
  return {
    ...accountTokenClaims(account, {
      tenantId: from.tenantId,
      clientId,
      scope: resourceScopes.access,
    }),
    active: true,
    iss: from.issuer,
    sub: account.id,
    client_id: clientId,
    aud: resource,
    scope: scpClaim(resourceScopes.access),
    username: account.username,
  };
}
