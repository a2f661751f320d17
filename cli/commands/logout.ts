// `sallyport logout`: revokes the refresh token at its issuer (RFC 7009), then deletes the stored sign-in.
import type { Command } from 'commander';
import { withConnectionOptions, type ConnectionOptions } from '../connection.ts';
import { exitCodes } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import { resolveGateway } from '../gateway-address.ts';
import { createIssuerClient, issuerOfSession } from '../sign-in/issuer-client.ts';
import {
  deleteSession,
  listSessions,
  readSession,
  sessionFile,
  type Session,
  type SessionKey,
} from '../sign-in/session-file.ts';
import { withLock } from '../sign-in/session-lock.ts';
import { processTerminal, type Terminal } from '../terminal.ts';
import { createTrustedFetch, findCertificateAuthority } from '../trusted-fetch.ts';

interface LogoutOptions extends ConnectionOptions {
  readonly all?: boolean;
  readonly json?: boolean;
}

interface LogoutResult extends SessionKey {
  readonly revoked: boolean;
}

/** Adds `logout` to the tree. */
export function registerLogoutCommand(program: Command): void {
  withConnectionOptions(program.command('logout'))
    .description('Revoke the sign-in at its issuer and delete it here.')
    .addHelpText('before', 'Example:\n  sallyport logout\n  sallyport logout --all\n')
    .option('--all', 'every gateway and profile')
    .option('--json', 'one JSON array of what was ended')
    .action(logout);
}

async function logout(options: LogoutOptions): Promise<void> {
  const terminal = processTerminal();
  const keys = options.all === true ? listSessions() : [resolveGateway(options)];
  const ended: LogoutResult[] = [];
  for (const { gateway, profile } of keys) {
    const result = await endSession({ gateway, profile }, options.ca);
    if (result !== null) ended.push(result);
  }
  if (options.json === true) terminal.json(ended);
  else report(ended, terminal);
  if (ended.some((result) => !result.revoked)) {
    throw new CommandFailure(
      exitCodes.unreachable,
      'Deleted here, but the sign-in server could not be told.',
      {
        code: 'not_revoked',
        hints: ['The sign-in is still valid there until it expires; an administrator can end it.'],
      },
    );
  }
}

async function endSession(key: SessionKey, ca: string | undefined): Promise<LogoutResult | null> {
  const session = readForLogout(key);
  if (session === null) return deleteSession(key) ? { ...key, revoked: false } : null;
  return withLock(`${sessionFile(key)}.lock`, async () => {
    const current = readForLogout(key) ?? session;
    const revoked = await revoke(current, ca);
    deleteSession(key);
    return { ...key, revoked };
  });
}

// A file that cannot be used can still be deleted; that is what logout is for.
function readForLogout(key: SessionKey): Session | null {
  try {
    return readSession(key);
  } catch (error) {
    if (error instanceof CommandFailure && error.code === 'session_damaged') return null;
    throw error;
  }
}

async function revoke(session: Session, ca: string | undefined): Promise<boolean> {
  // Nothing that outlives the access token, or nobody who could end it.
  if (session.refresh_token === null) return true;
  if (session.revocation_endpoint === null) return false;
  try {
    const fetch = await createTrustedFetch(findCertificateAuthority(session, ca));
    await createIssuerClient(issuerOfSession(session), session.client_id, fetch).revoke(
      session.refresh_token,
    );
    return true;
  } catch {
    return false;
  }
}

function report(ended: readonly LogoutResult[], terminal: Terminal): void {
  if (ended.length === 0) terminal.say('You were not signed in.');
  for (const { gateway, profile, revoked } of ended) {
    if (revoked)
      terminal.say(
        `${terminal.green('✓')} Signed out of ${gateway}${profile === 'default' ? '' : ` (profile ${profile})`}`,
      );
  }
}
