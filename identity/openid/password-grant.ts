// The access token that POST /token gives for a password: made by oidc-provider like every other one, for the
// local test client, without a refresh token.
import type { Provider } from 'oidc-provider';
import type { Account } from '../accounts/accounts.ts';
import { builtInClientIds, resource } from '../config.ts';
import { resourceServerInfo } from './provider.ts';
import { resourceScopes } from './scopes.ts';

/** Issues an access token. The account must have been judged in the same request. */
export async function issueForPassword(
  openIdProvider: Provider,
  account: Account,
  lifetimeSeconds: number,
): Promise<string> {
  const client = await openIdProvider.Client.find(builtInClientIds.localTest);
  if (client === undefined) throw new Error('the local test client is missing');
  const issued = new openIdProvider.AccessToken({
    accountId: account.id,
    client,
    gty: 'password',
    scope: resourceScopes.access,
    resourceServer: new openIdProvider.ResourceServer(resource, resourceServerInfo(lifetimeSeconds)),
  } as never); // The published types lack members that the constructor documents.
  return issued.save();
}
