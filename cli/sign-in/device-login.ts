// The device authorization grant (RFC 8628) from discovery to tokens. Says each way to fail in its own sentence.
// Prints nothing: what the person sees is the caller's.
import { exitCodes } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import {
  checkEndpoint,
  discoverIssuer,
  discoverProtectedResource,
  tlsFailure,
  unreachableIssuer,
} from './discovery.ts';
import {
  createIssuerClient,
  IssuerRefusal,
  type DeviceAuthorization,
  type IssuedTokens,
  type IssuerClient,
} from './issuer-client.ts';
import { showClaims } from './access-token-claims.ts';
import type { SessionKey, Session } from './session-file.ts';
import { stepUpParameters, type StepUp } from './step-up.ts';
import { withTokens } from './renewal.ts';
import type { Fetch } from '../trusted-fetch.ts';

export interface DeviceLoginOptions {
  readonly key: SessionKey;
  readonly fetch: Fetch;
  /** The sign-in that the gateway asks for (RFC 9470). */
  readonly stepUp?: StepUp | undefined;
  /** Instead of the client that the gateway names. */
  readonly clientId?: string | undefined;
  readonly signal: AbortSignal;
  /** Waits between two polls; replaced in tests. */
  readonly sleep: (ms: number) => Promise<void>;
  /** Called once, when there is a code to show. */
  readonly onCode: (authorization: DeviceAuthorization) => void;
  /** Called when the network is lost (true) and when it is back (false). */
  readonly onNetwork: (lost: boolean) => void;
}

/** How long a lost network is waited for before the sign-in is given up. */
const networkPatienceMs = 60_000;

/** Signs in and answers the session to store. @throws CommandFailure with its own sentence per cause */
export async function deviceLogin(options: DeviceLoginOptions): Promise<Session> {
  const { key, fetch } = options;
  const resource = await discoverProtectedResource(key.gateway, fetch, options.clientId);
  const metadata = await discoverIssuer(resource.issuer, fetch);
  if (metadata.device_authorization_endpoint === undefined) {
    throw new CommandFailure(
      exitCodes.configurationInvalid,
      `${resource.issuer} does not offer sign-in with a device code.`,
      {
        code: 'no_device_flow',
        hints: ['Its operator switches the device code flow on for this client.'],
      },
    );
  }
  const client = createIssuerClient(metadata, resource.clientId, fetch);
  const scope = [...new Set(['openid', 'profile', 'offline_access', ...resource.scopes])].join(' ');
  const parameters = { scope, ...(options.stepUp === undefined ? {} : stepUpParameters(options.stepUp)) };
  const authorization = await startDevice(client, parameters, resource.issuer);
  // A person opens these, perhaps by one key press: nothing but a web address of the usual kind.
  checkEndpoint(authorization.verificationUri, 'verification_uri');
  if (authorization.verificationUriComplete !== null)
    checkEndpoint(authorization.verificationUriComplete, 'verification_uri_complete');
  options.onCode(authorization);
  const issued = await pollUntilDone(client, authorization, options);
  const shown = showClaims(issued.accessToken);
  return withTokens(
    {
      version: 1,
      gateway: key.gateway,
      profile: key.profile,
      issuer: resource.issuer,
      client_id: resource.clientId,
      token_endpoint: metadata.token_endpoint,
      revocation_endpoint: metadata.revocation_endpoint ?? null,
      scope,
      refresh_token: null,
      refresh_expires_at: null,
      subject: shown.subject ?? issued.subject,
      username: issued.username ?? shown.username,
    },
    issued,
  );
}

async function startDevice(
  client: IssuerClient,
  parameters: Readonly<Record<string, string>>,
  issuer: string,
): Promise<DeviceAuthorization> {
  try {
    return await client.authorizeDevice(parameters);
  } catch (error) {
    if (error instanceof IssuerRefusal) throw deviceRefusal(error.error);
    throw tlsFailure(error, issuer) ?? unreachableIssuer(issuer);
  }
}

async function pollUntilDone(
  client: IssuerClient,
  authorization: DeviceAuthorization,
  options: DeviceLoginOptions,
): Promise<IssuedTokens> {
  const expiresAt = Date.now() + authorization.expiresInSeconds * 1000;
  let intervalMs = authorization.intervalSeconds * 1000;
  let lostSince: number | null = null;
  let backoffMs = 0;
  while (!options.signal.aborted) {
    // RFC 8628 §3.5: never faster than the interval, and slower after a lost connection.
    await options.sleep(intervalMs + backoffMs);
    if (Date.now() >= expiresAt) throw deviceRefusal('expired_token');
    try {
      return await client.pollDevice(authorization.deviceCode);
    } catch (error) {
      if (error instanceof IssuerRefusal) {
        if (lostSince !== null) options.onNetwork(false);
        [lostSince, backoffMs] = [null, 0];
        if (error.error === 'authorization_pending') continue;
        if (error.error !== 'slow_down') throw deviceRefusal(error.error);
        // RFC 8628 §3.5: slow_down adds five seconds to this and all later waits.
        intervalMs += 5_000;
        continue;
      }
      if (lostSince === null) options.onNetwork(true);
      lostSince ??= Date.now();
      if (Date.now() - lostSince > networkPatienceMs) throw networkLost();
      backoffMs = Math.min(backoffMs * 2 + 1_000, 10_000);
    }
  }
  throw new CommandFailure(exitCodes.interrupted, '', { code: 'interrupted' });
}

function networkLost(): CommandFailure {
  return new CommandFailure(
    exitCodes.unreachable,
    'The connection to the sign-in server was lost and did not come back.',
    {
      code: 'network_lost',
      hints: ['Nothing was stored. When the network is back:  sallyport login'],
    },
  );
}

const refusalSentences: Readonly<Record<string, string>> = {
  expired_token: 'The code expired before anybody confirmed it.',
  access_denied: 'The sign-in was denied on the page.',
  invalid_grant: 'The sign-in was not granted: the account is locked, or the code was already used.',
  invalid_client: 'The sign-in server does not know this program (client id).',
  unauthorized_client: 'The sign-in server does not allow this program to use device codes.',
  invalid_scope: 'The sign-in server does not offer the rights that the gateway asks for.',
};

function deviceRefusal(error: string): CommandFailure {
  const known = refusalSentences[error];
  const retry = error === 'expired_token' || error === 'access_denied';
  const safe = error.replaceAll(/[^a-z0-9_.-]/gi, '?').slice(0, 64);
  return new CommandFailure(
    exitCodes.signInNeeded,
    known ?? `The sign-in server refused the sign-in (${safe}).`,
    {
      code: safe,
      hints: [
        retry
          ? 'Nothing was stored. Start again:  sallyport login'
          : 'Nothing was stored. Ask whoever runs the sign-in server.',
      ],
    },
  );
}
