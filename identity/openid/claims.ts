// What tokens say, shaped as Entra ID v2.0 does it. Read from the account at the moment of issuing, so that a role
// given or taken is in the next token.
import type { Account } from '../accounts/accounts.ts';
import { scpClaim } from './scopes.ts';

interface ClaimContext {
  readonly tenantId: string;
  readonly clientId: string;
  readonly scope: unknown;
}

/** Extra claims of an access token issued for a person. */
export function accountTokenClaims(account: Account, context: ClaimContext): Record<string, unknown> {
  return {
    ...commonClaims(context),
    oid: account.id,
    azpacr: '0',
    idtyp: 'user',
    scp: scpClaim(context.scope),
    roles: account.roles,
    groups: account.groups,
    preferred_username: account.username,
    name: account.fullName ?? account.username,
  };
}

/** Extra claims of an access token that a confidential client got for itself. */
export function clientTokenClaims(roles: readonly string[], context: ClaimContext): Record<string, unknown> {
  return { ...commonClaims(context), oid: context.clientId, azpacr: '1', idtyp: 'app', roles };
}

/** Claims about the account for ID tokens and userinfo; the granted scopes select among them. */
export function accountClaims(account: Account, tenantId: string): Record<string, unknown> & { sub: string } {
  return {
    sub: account.id,
    oid: account.id,
    tid: tenantId,
    ver: '2.0',
    name: account.fullName ?? account.username,
    preferred_username: account.username,
    roles: account.roles,
    groups: account.groups,
    ...(account.email === null ? {} : { email: account.email }),
  };
}

function commonClaims(context: ClaimContext): Record<string, unknown> {
  return { tid: context.tenantId, ver: '2.0', azp: context.clientId };
}
