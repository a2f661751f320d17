// The command line as an OAuth client, on openid-client: device authorization, one poll, refresh, revocation.
// Trusts the endpoints found by discovery.ts and sends tokens to nothing else.
import { hostname, platform } from 'node:os';
import * as oauth from 'openid-client';
import { packageVersion } from '../../core/package.ts';
import type { Fetch } from '../trusted-fetch.ts';
import type { IssuerMetadata } from './discovery.ts';
import type { Session } from './session-file.ts';

/** An issuer's answer with tokens, names as ours. */
export interface IssuedTokens {
  readonly accessToken: string;
  readonly expiresInSeconds: number;
  readonly refreshToken: string | null;
  readonly refreshExpiresInSeconds: number | null;
  readonly scope: string | null;
  readonly username: string | null;
  readonly subject: string | null;
}

/** RFC 8628 §3.2, names as ours. */
export interface DeviceAuthorization {
  readonly deviceCode: string;
  readonly userCode: string;
  readonly verificationUri: string;
  readonly verificationUriComplete: string | null;
  readonly expiresInSeconds: number;
  readonly intervalSeconds: number;
}

/** The issuer answered with an OAuth error; `error` is its code. */
export class IssuerRefusal extends Error {
  readonly error: string;
  constructor(error: string) {
    super(error);
    this.name = 'IssuerRefusal';
    this.error = error;
  }
}

/** The requests that the command line makes to one issuer. */
export interface IssuerClient {
  authorizeDevice: (parameters: Readonly<Record<string, string>>) => Promise<DeviceAuthorization>;
  pollDevice: (deviceCode: string) => Promise<IssuedTokens>;
  refresh: (refreshToken: string) => Promise<IssuedTokens>;
  revoke: (secret: string) => Promise<void>;
}

/** Makes the client. Methods throw IssuerRefusal for an OAuth error, and whatever fetch throws when nobody answers. */
export function createIssuerClient(metadata: IssuerMetadata, clientId: string, fetch: Fetch): IssuerClient {
  const configuration = new oauth.Configuration({ ...metadata }, clientId, undefined, oauth.None());
  configuration[oauth.customFetch] = (url, init) => {
    const headers = new Headers(init.headers);
    headers.set('user-agent', userAgent());
    return fetch(url, { ...init, headers } as RequestInit); // openid-client types its own narrower init.
  };
  configuration.timeout = 15;
  // Endpoints were checked to be https or loopback when they were discovered.
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- The library marks it so to be seen; loopback needs it.
  oauth.allowInsecureRequests(configuration);
  return {
    authorizeDevice: async (parameters) => {
      const answer = await refusals(() => oauth.initiateDeviceAuthorization(configuration, parameters));
      return {
        deviceCode: answer.device_code,
        userCode: answer.user_code,
        verificationUri: answer.verification_uri,
        verificationUriComplete: answer.verification_uri_complete ?? null,
        expiresInSeconds: answer.expires_in,
        // RFC 8628 §3.2: without an interval, five seconds.
        intervalSeconds: answer.interval ?? 5,
      };
    },
    pollDevice: async (deviceCode) => {
      const grant = 'urn:ietf:params:oauth:grant-type:device_code';
      return issuedTokens(
        await refusals(() => oauth.genericGrantRequest(configuration, grant, { device_code: deviceCode })),
      );
    },
    refresh: async (refreshToken) =>
      issuedTokens(await refusals(() => oauth.refreshTokenGrant(configuration, refreshToken))),
    revoke: (secret) => refusals(() => oauth.tokenRevocation(configuration, secret)),
  };
}

/** The endpoints of the issuer that a session came from, as they were checked at sign-in. */
export function issuerOfSession(session: Session): IssuerMetadata {
  return {
    issuer: session.issuer,
    token_endpoint: session.token_endpoint,
    ...(session.revocation_endpoint === null ? {} : { revocation_endpoint: session.revocation_endpoint }),
  };
}

/** Names this computer, so that the confirmation page can: who did not start the sign-in sees a strange name. */
function userAgent(): string {
  return `sallyport/${packageVersion} (${hostname().replaceAll(/[^A-Za-z0-9._-]/g, '?')}; ${platform()})`;
}

async function refusals<Result>(request: () => Promise<Result>): Promise<Result> {
  try {
    return await request();
  } catch (error) {
    if (error instanceof oauth.ResponseBodyError) throw new IssuerRefusal(error.error);
    if (error instanceof oauth.WWWAuthenticateChallengeError) throw new IssuerRefusal('invalid_client');
    throw error;
  }
}

function issuedTokens(
  answer: oauth.TokenEndpointResponse & Partial<oauth.TokenEndpointResponseHelpers>,
): IssuedTokens {
  const refreshExpiry = answer['refresh_token_expires_in'] ?? answer['refresh_expires_in']; // Entra, Keycloak.
  const claims = answer.claims?.();
  const username = claims?.['preferred_username'];
  return {
    accessToken: answer.access_token,
    expiresInSeconds: answer.expires_in ?? 300,
    refreshToken: answer.refresh_token ?? null,
    refreshExpiresInSeconds: typeof refreshExpiry === 'number' && refreshExpiry > 0 ? refreshExpiry : null,
    scope: answer.scope ?? null,
    username: typeof username === 'string' ? username : null,
    subject: claims?.sub ?? null,
  };
}
