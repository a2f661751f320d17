// Configures oidc-provider: one tenant with Entra-shaped URLs and tokens. Everything that oidc-provider would do
// loosely by default is closed here: implicit flow, optional PKCE, unknown scopes, unthrottled pages.
import {
  Provider,
  errors,
  type Configuration,
  type KoaContextWithOIDC,
  type ResourceServer,
} from 'oidc-provider';
import { findAccountById } from '../accounts/accounts.ts';
import { callerOf } from '../caller.ts';
import { resource, type IdentityConfig } from '../config.ts';
import type { EventLog } from '../revocation/event-log.ts';
import { noteIssuedToken } from '../revocation/issued-tokens.ts';
import { nowInSeconds, type Database } from '../storage/database.ts';
import { isDatabaseOutage, outageRetrySeconds } from '../storage/outage.ts';
import type { SigningKey } from '../storage/signing-keys.ts';
import { recordAdapter } from './adapter.ts';
import { accountClaims, accountTokenClaims, clientTokenClaims } from './claims.ts';
import { clientMetadata, deviceCodeGrant } from './clients.ts';
import { answerForJwt } from './introspection.ts';
import { promptPolicy } from './prompts.ts';
import { asksForResource, assertKnownScopes, openIdScopes, parseScopes, resourceScopes } from './scopes.ts';

export { Provider as OpenIdProvider } from 'oidc-provider';

/** Paths below `/{tenant}`, as Entra ID has them. */
export const routes = {
  authorization: '/oauth2/v2.0/authorize',
  // eslint-disable-next-line id-denylist -- oidc-provider's name of the route.
  token: '/oauth2/v2.0/token',
  device_authorization: '/oauth2/v2.0/devicecode',
  code_verification: '/oauth2/v2.0/deviceauth',
  jwks: '/discovery/v2.0/keys',
  end_session: '/oauth2/v2.0/logout',
  introspection: '/oauth2/v2.0/introspect',
  revocation: '/oauth2/v2.0/revoke',
  userinfo: '/openid/userinfo',
} as const;

/** The pages that oidc-provider asks for while it handles a request itself; each writes `ctx.body`. */
export interface ProviderPages {
  readonly enterCode: (ctx: KoaContextWithOIDC, problem: Error | undefined) => void;
  readonly deviceDone: (ctx: KoaContextWithOIDC) => void;
  readonly error: (
    ctx: KoaContextWithOIDC,
    out: { error: string; error_description?: string | undefined },
  ) => void;
  readonly confirmSignOut: (ctx: KoaContextWithOIDC) => Promise<void>;
  readonly signedOut: (ctx: KoaContextWithOIDC) => void;
}

export interface ProviderDeps {
  readonly base: string;
  readonly config: IdentityConfig;
  readonly database: Database;
  readonly events: EventLog;
  readonly keys: readonly SigningKey[];
  readonly cookieKey: string;
  readonly pages: ProviderPages;
}

/** Issuer of a tenant at a base URL. */
export function issuerOf(base: string, tenantId: string): string {
  return `${base}/${tenantId}/v2.0`;
}

/** Creates the provider; a new one replaces it when keys rotate, since all state is in the database. */
export function createProvider(deps: ProviderDeps): Provider {
  const openIdProvider = new Provider(issuerOf(deps.base, deps.config.tenant_id), configuration(deps));
  // Host and scheme come from our own base URL (mount.ts sets the headers), never from the caller.
  openIdProvider.proxy = true;
  openIdProvider.on('server_error', (ctx, error) => {
    // A redirect back to the program tells it already.
    if (ctx.status >= 500 && isDatabaseOutage(error)) sayUnavailable(ctx, deps.pages);
  });
  openIdProvider.use(async (ctx, next) => {
    const context = ctx as KoaContextWithOIDC;
    try {
      await next();
    } catch (error) {
      // Sessions are read and written outside of what oidc-provider answers for.
      if (!isDatabaseOutage(error)) throw error;
      sayUnavailable(context, deps.pages);
      ctx.app.emit('error', error, ctx);
      refuseForeignOrigin(context, deps);
      return;
    }
    refuseForeignOrigin(context, deps);
    // Requests that oidc-provider does not route have no `oidc`.
    if ((context as { oidc?: unknown }).oidc === undefined) return;
    completeDeviceResponse(context, deps);
    completeTokenResponse(context);
    await answerForJwt(context, { ...deps, issuer: openIdProvider.issuer });
  });
  return openIdProvider;
}

/** RFC 6749 §4.1.2.1 has the word; with 503 MSAL and others ask again. */
function sayUnavailable(ctx: KoaContextWithOIDC, pages: ProviderPages): void {
  const out = { error: 'temporarily_unavailable', error_description: 'the database does not answer' };
  if (ctx.accepts('json', 'html') === 'html') pages.error(ctx, out);
  else ctx.body = out;
  ctx.status = 503;
  ctx.set('retry-after', String(outageRetrySeconds));
}

function configuration(deps: ProviderDeps): Configuration {
  const { config, database, pages } = deps;
  const cookie = {
    signed: true,
    httpOnly: true,
    sameSite: 'lax',
    secure: deps.base.startsWith('https:'),
  } as const;
  const lifetime = config.access_token_ttl_s;
  return {
    adapter: recordAdapter(database, deps.events),
    clients: clientMetadata(config),
    jwks: { keys: [...deps.keys] },
    routes,
    cookies: {
      keys: [deps.cookieKey],
      // With the prefix no other host or plain-HTTP page can plant it; browsers accept it over https alone.
      names: { session: cookie.secure ? '__Host-session' : '_session' },
      long: { ...cookie, path: '/' },
      short: cookie,
    },
    scopes: [...openIdScopes],
    claims: {
      openid: ['sub', 'tid', 'oid', 'ver'],
      profile: ['name', 'preferred_username', 'roles', 'groups'],
      email: ['email'],
    },
    conformIdTokenClaims: false,
    // RFC 9700 §2.1.2: no implicit flow.
    responseTypes: ['code'],
    // RFC 9700 §2.1.1: PKCE from every client; oidc-provider accepts S256 only.
    pkce: { required: () => true },
    // RFC 9700 §4.14.2: refresh tokens of public clients rotate; reuse of an old one revokes the family.
    rotateRefreshToken: true,
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    expiresWithSession: () => false,
    extraClientMetadata: { properties: ['app_roles'] },
    clientBasedCORS: (_ctx, origin, client) =>
      client.clientAuthMethod === 'none' &&
      (client.redirectUris ?? []).some((uri) => URL.parse(uri)?.origin === origin),
    findAccount: (ctx, id) => findAccount(ctx, id, deps),
    loadExistingGrant,
    extraTokenClaims: (ctx, issued) => extraTokenClaims(ctx, issued, deps),
    interactions: {
      policy: promptPolicy(),
      url: (_ctx, interaction) => `/${config.tenant_id}/interaction/${interaction.uid}`,
    },
    ttl: {
      AccessToken: lifetime,
      ClientCredentials: lifetime,
      IdToken: lifetime,
      // RFC 6749 §4.1.2: a code lives for a moment.
      AuthorizationCode: 60,
      DeviceCode: config.device_code.lifetime_s,
      RefreshToken: (_ctx, issued) => {
        const since = issued.iiat ?? nowInSeconds();
        return Math.max(
          1,
          Math.min(config.refresh_token_idle_s, since + config.refresh_token_absolute_s - nowInSeconds()),
        );
      },
      Grant: config.refresh_token_absolute_s,
      Session: config.session_ttl_s,
      Interaction: 900,
    },
    renderError: (ctx, out) => pages.error(ctx, out),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      // RFC 9449: a client that sends a proof gets tokens bound to its key. Each proof counts once.
      dPoP: { enabled: true, allowReplay: false },
      userinfo: { enabled: true },
      deviceFlow: {
        enabled: true,
        charset: 'base-20',
        mask: '****-****',
        deviceInfo: (ctx) => ({
          address: callerOf(ctx.req).address,
          agent: ctx.get('user-agent').slice(0, 256),
        }),
        userCodeInputSource: (ctx, _form, _out, problem) => pages.enterCode(ctx, problem),
        // Never reached: mount.ts confirms, because our own page after sign-in asks for the press.
        userCodeConfirmSource: (ctx) => pages.enterCode(ctx, undefined),
        successSource: (ctx) => pages.deviceDone(ctx),
      },
      introspection: {
        enabled: true,
        allowedPolicy: (_ctx, client, issued) =>
          client.clientAuthMethod !== 'none' || issued.clientId === client.clientId,
      },
      revocation: {
        enabled: true,
        allowedPolicy: (_ctx, client, issued) => issued.clientId === client.clientId,
      },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx) => pages.confirmSignOut(ctx),
        postLogoutSuccessSource: (ctx) => pages.signedOut(ctx),
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: (ctx, _client, oneOf) => defaultResource(ctx, oneOf),
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, indicator) => resourceServer(ctx, indicator, lifetime),
      },
    },
  };
}

// oidc-provider reflects any origin in public documents and, before it knows the client, in errors: public documents
// are for everybody by name, anything else is for the origin of the API page alone.
function refuseForeignOrigin(ctx: KoaContextWithOIDC, { config }: ProviderDeps): void {
  if (ctx.response.get('access-control-allow-origin') === '') return;
  const isPublic = ctx.path.startsWith('/.well-known/') || ctx.path === routes.jwks;
  if (isPublic) ctx.set('access-control-allow-origin', '*');
  else if (ctx.get('origin') !== config.gateway_url) {
    for (const name of ['allow-origin', 'allow-methods', 'allow-headers', 'expose-headers', 'max-age'])
      ctx.remove(`access-control-${name}`);
  }
}

/** The resource server's description, also for tokens that POST /token issues. */
export function resourceServerInfo(accessTokenTtlSeconds: number): ResourceServer {
  return {
    scope: Object.values(resourceScopes).join(' '),
    audience: resource,
    accessTokenTTL: accessTokenTtlSeconds,
    accessTokenFormat: 'jwt',
    jwt: { sign: { alg: 'RS256' } },
  };
}

function resourceServer(ctx: KoaContextWithOIDC, indicator: string, lifetime: number): ResourceServer {
  // RFC 8707 §2: a resource that we do not know is refused.
  if (indicator !== resource) throw new errors.InvalidTarget();
  assertKnownScopes(ctx.oidc.params?.['scope']);
  return resourceServerInfo(lifetime);
}

// MSAL never sends `resource`, so the scope tells.
function defaultResource(ctx: KoaContextWithOIDC, oneOf: readonly string[] | undefined): string | undefined {
  if (oneOf !== undefined) return oneOf.find((indicator) => indicator === resource);
  const scope = ctx.oidc.params?.['scope'];
  assertKnownScopes(scope);
  if (ctx.oidc.params?.['grant_type'] === 'client_credentials') {
    // A client acts for itself with its roles; the scope of people is not for it.
    const delegated = parseScopes(scope).find((name) => name !== resourceScopes.default);
    if (delegated !== undefined)
      throw new errors.InvalidScope(`ask for ${resourceScopes.default}`, delegated);
    return resource;
  }
  return asksForResource(scope) ? resource : undefined;
}

// Checked wherever tokens are issued, not only at sign-in: CVE-2026-88770 and its kind.
async function findAccount(ctx: KoaContextWithOIDC, id: string, deps: ProviderDeps) {
  const account = await findAccountById(deps.database, id);
  if (account !== null && !account.disabled) {
    const claims = accountClaims(account, deps.config.tenant_id);
    return { accountId: id, claims: () => claims };
  }
  // RFC 8628 §3.5: the device learns access_denied; other grants answer invalid_grant.
  if (ctx.oidc.params?.['grant_type'] === deviceCodeGrant)
    throw new errors.AccessDenied('the account may not sign in');
  return undefined;
}

// Each device gets a grant of its own, so that signing out on one leaves the others alone.
async function loadExistingGrant(ctx: KoaContextWithOIDC) {
  const fresh = ctx.oidc.result?.consent?.grantId;
  const isDevice = ctx.oidc.route === 'code_verification' || ctx.oidc.route === 'device_resume';
  const grantId =
    fresh ??
    (isDevice || ctx.oidc.client === undefined
      ? undefined
      : ctx.oidc.session?.grantIdFor(ctx.oidc.client.clientId));
  return grantId === undefined ? undefined : ctx.oidc.provider.Grant.find(grantId);
}

interface IssuedToken {
  readonly kind: string;
  readonly clientId?: string | undefined;
  readonly scope?: string | undefined;
  readonly aud?: string | string[] | undefined;
  readonly accountId?: string;
  readonly jti?: string;
  readonly grantId?: string;
  readonly remainingTTL?: number;
  readonly gty?: string;
}

async function extraTokenClaims(
  ctx: KoaContextWithOIDC | undefined,
  issued: IssuedToken,
  deps: ProviderDeps,
): Promise<Record<string, unknown> | undefined> {
  if (issued.aud !== resource || issued.clientId === undefined) return undefined;
  const context = { tenantId: deps.config.tenant_id, clientId: issued.clientId, scope: issued.scope };
  if (issued.accountId === undefined) {
    const roles = ctx?.oidc.client?.['app_roles'];
    return clientTokenClaims(Array.isArray(roles) ? roles.map(String) : [], context);
  }
  const account = await findAccountById(deps.database, issued.accountId);
  if (account === null || account.disabled) throw new errors.AccessDenied('the account may not sign in');
  const { jti, grantId, remainingTTL: expiresIn = deps.config.access_token_ttl_s } = issued;
  if (jti !== undefined && grantId !== undefined)
    await noteIssuedToken(deps.database, { jti, grantId, expiresIn });
  return { ...accountTokenClaims(account, context), ...signInClaims(ctx, issued) };
}

// RFC 9470 §6: the resource server learns of the sign-in from auth_time, acr and amr; renewing a token moves none of them.
function signInClaims(ctx: KoaContextWithOIDC | undefined, issued: IssuedToken): Record<string, unknown> {
  if (issued.gty === 'password') return { auth_time: nowInSeconds(), amr: ['pwd'] };
  const { DeviceCode, AuthorizationCode, RefreshToken } = ctx?.oidc.entities ?? {};
  const { authTime, acr, amr } = DeviceCode ?? AuthorizationCode ?? RefreshToken ?? {};
  return {
    ...(authTime === undefined ? {} : { auth_time: authTime }),
    ...(acr === undefined ? {} : { acr }),
    ...(amr === undefined ? {} : { amr }),
  };
}

function completeDeviceResponse(ctx: KoaContextWithOIDC, { base, config }: ProviderDeps): void {
  if (ctx.oidc.route !== 'device_authorization') return;
  const body = ctx.body as { user_code?: string } | undefined;
  if (body?.user_code === undefined) return;
  const uri = `${base}/device`;
  ctx.body = {
    ...body,
    verification_uri: uri,
    verification_uri_complete: `${uri}?user_code=${body.user_code}`,
    // RFC 8628 §3.2: seconds between two polls; MSAL polls in a tight loop without it.
    interval: config.device_code.interval_s,
    message: `To sign in, open ${uri} and enter the code ${body.user_code}.`,
  };
}

// Entra's and MSAL's name for how long the refresh token lives, unless it is used earlier.
function completeTokenResponse(ctx: KoaContextWithOIDC): void {
  const issued = ctx.oidc.entities.RefreshToken;
  if (ctx.oidc.route !== 'token' || issued === undefined) return;
  const body = ctx.body as { refresh_token?: string } | undefined;
  if (body?.refresh_token === undefined) return;
  ctx.body = { ...body, refresh_token_expires_in: issued.expiration };
}
