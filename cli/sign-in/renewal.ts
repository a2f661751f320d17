// A valid access token for a gateway, renewed when it is about to expire. Twenty processes at once make one refresh:
// the first under the lock renews, the others find the new file.
import { exitCodes } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import type { GatewayAddress } from '../gateway-address.ts';
import { profileInUse } from '../profiles.ts';
import { createTrustedFetch, findCertificateAuthority } from '../trusted-fetch.ts';
import type { IssuedTokens } from './issuer-client.ts';
import { readSession, sessionFile, stateFolder, writeSession, type Session } from './session-file.ts';

/** How long a token must stay valid to be handed out, where the caller does not say. */
export const defaultMarginSeconds = 60;

export interface RenewalOptions {
  readonly address: GatewayAddress;
  /** The token must stay valid this long; else it is renewed. */
  readonly minTtlSeconds?: number | undefined;
  readonly certificateAuthority?: string | undefined;
  readonly folder?: string | undefined;
}

/**
 * The session with an access token that is valid long enough. Never prompts.
 * @throws CommandFailure sign_in_needed, issuer_unreachable, session_exposed
 */
export async function freshSession(options: RenewalOptions): Promise<Session> {
  const { address, minTtlSeconds = defaultMarginSeconds, folder = stateFolder() } = options;
  const stored = readSession(address, folder);
  if (stored === null) throw signInNeeded(address, 'You are not signed in to');
  if (secondsLeft(stored) > minTtlSeconds) return stored;
  const { withLock } = await import('./session-lock.ts');
  return withLock(`${sessionFile(address, folder)}.lock`, async () => {
    const current = readSession(address, folder);
    if (current === null) throw signInNeeded(address, 'You are not signed in to');
    // Renewed by another process while this one waited: a second refresh would give nothing better.
    const renewed = current.access_token !== stored.access_token && secondsLeft(current) > 0;
    if (renewed || secondsLeft(current) > minTtlSeconds) return current;
    return renew(current, { ...options, folder });
  });
}

/** The failure of every command that needs a sign-in; the line also says how. */
export function signInNeeded(address: GatewayAddress, sentence: string): CommandFailure {
  const message = `${sentence} ${address.gateway}.  Run:  sallyport ${loginWords(address)}`;
  return new CommandFailure(exitCodes.signInNeeded, message, { code: 'sign_in_needed' });
}

/** The command that signs in at this address: `login`, with what names it where that is not remembered. */
export function loginWords({ gateway, profile, namedBy }: GatewayAddress): string {
  const flags = namedBy === 'flag' ? ` --gateway ${gateway}` : '';
  return `login${flags}${profile === profileInUse() ? '' : ` --profile ${profile}`}`;
}

/** Seconds until the access token of a session expires; negative afterwards. */
export function secondsLeft(session: Session): number {
  return session.expires_at - Date.now() / 1000;
}

/** A session after the issuer gave new tokens; what it did not repeat stays. */
export function withTokens(
  session: Omit<Session, 'access_token' | 'expires_at'>,
  issued: IssuedTokens,
): Session {
  const now = Math.floor(Date.now() / 1000);
  return {
    ...session,
    access_token: issued.accessToken,
    expires_at: now + issued.expiresInSeconds,
    // RFC 6749 §6: without a new refresh token the old one stays.
    refresh_token: issued.refreshToken ?? session.refresh_token,
    refresh_expires_at:
      issued.refreshExpiresInSeconds === null
        ? session.refresh_expires_at
        : now + issued.refreshExpiresInSeconds,
    scope: issued.scope ?? session.scope,
  };
}

async function renew(session: Session, options: RenewalOptions): Promise<Session> {
  const { address, folder } = options;
  const ended = signInNeeded(address, 'Your sign-in has ended at');
  if (session.refresh_token === null) throw ended;
  const fetch = await createTrustedFetch(
    options.certificateAuthority ?? findCertificateAuthority(address, undefined),
  );
  const { createIssuerClient, IssuerRefusal, issuerOfSession } = await import('./issuer-client.ts');
  try {
    const issued = await createIssuerClient(issuerOfSession(session), session.client_id, fetch).refresh(
      session.refresh_token,
    );
    const renewed = withTokens(session, issued);
    writeSession(renewed, folder);
    return renewed;
  } catch (error) {
    if (error instanceof IssuerRefusal && error.error === 'invalid_grant') {
      writeSession({ ...session, refresh_token: null }, folder);
      throw ended;
    }
    if (error instanceof IssuerRefusal) {
      throw new CommandFailure(
        exitCodes.signInNeeded,
        `The sign-in server refuses to renew (${error.error}).  Run:  sallyport login`,
        {
          code: 'sign_in_needed',
        },
      );
    }
    // Still valid for a while: better used than refused, unless the caller asked for a longer life.
    if (options.minTtlSeconds === undefined && secondsLeft(session) > 10) return session;
    const { tlsFailure, unreachableIssuer } = await import('./discovery.ts');
    throw tlsFailure(error, session.token_endpoint) ?? unreachableIssuer(session.issuer);
  }
}
