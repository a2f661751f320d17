// `sallyport login`: the device code flow, needing only the gateway's address. Opens nothing by itself.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { connect, withConnectionOptions, type Connection, type ConnectionOptions } from '../connection.ts';
import { interruptible } from '../interrupt.ts';
import { rememberProfile } from '../profiles.ts';
import { showClaims } from '../sign-in/access-token-claims.ts';
import { deviceLogin } from '../sign-in/device-login.ts';
import type { DeviceAuthorization } from '../sign-in/issuer-client.ts';
import { showCode, startWaiting, type WaitingLine } from '../sign-in/prompt.ts';
import {
  prepareStateFolder,
  sessionFile,
  stateFolder,
  writeSession,
  type Session,
} from '../sign-in/session-file.ts';
import { withLock } from '../sign-in/session-lock.ts';
import { processTerminal, type Terminal } from '../terminal.ts';
import { homeRelative, isoSeconds, longDate, printable } from '../wording.ts';

interface LoginOptions extends ConnectionOptions {
  readonly clientId?: string;
  readonly qr?: boolean;
  readonly json?: boolean;
}

/** Adds `login` to the tree. */
export function registerLoginCommand(program: Command): void {
  withConnectionOptions(program.command('login'))
    .description('Sign in with a code on any device: over SSH, in a container, without a browser here.')
    .addHelpText(
      'before',
      'Example:\n  sallyport login\n  sallyport login --gateway https://llm.example.com\n',
    )
    .option('--client-id <id>', 'sign in as this OAuth client, not the one the gateway names')
    .option('--qr', 'show a QR code also for an address on this machine')
    .option('--json', 'two JSON events on stdout: device_code, signed_in')
    .action(async (options: LoginOptions) =>
      interruptible((signal) => login(options, processTerminal(), signal)),
    );
}

async function login(options: LoginOptions, terminal: Terminal, signal: AbortSignal): Promise<void> {
  const connection = await connect(options);
  prepareStateFolder();
  let waiting: WaitingLine | undefined;
  const endWaiting = (): void => {
    waiting?.end();
    waiting = undefined;
  };
  signal.addEventListener('abort', endWaiting);
  try {
    const session = await deviceLogin({
      key: connection.address,
      fetch: connection.fetch,
      clientId: options.clientId,
      signal,
      sleep: (ms) => sleep(ms, undefined, { signal }),
      onCode: (authorization) => {
        if (options.json === true) {
          terminal.json(deviceCodeEvent(authorization));
          return;
        }
        showCode(authorization, terminal, { gateway: connection.address.gateway, qr: options.qr === true });
        waiting = startWaiting(authorization, terminal, () => process.kill(process.pid, 'SIGINT'));
      },
      onNetwork: (lost) => waiting?.network(lost),
    });
    endWaiting();
    const file = sessionFile(session);
    await withLock(`${file}.lock`, () => Promise.resolve(writeSession(session)));
    rememberProfile(session.profile, { gateway: session.gateway, ca: connection.certificateAuthority });
    if (options.json === true) terminal.json(signedInEvent(session));
    else sayWelcome(session, connection, terminal);
  } finally {
    endWaiting();
  }
}

function deviceCodeEvent(authorization: DeviceAuthorization): Record<string, unknown> {
  return {
    event: 'device_code',
    verification_uri: authorization.verificationUri,
    verification_uri_complete: authorization.verificationUriComplete,
    user_code: authorization.userCode,
    expires_at: isoSeconds(Date.now() / 1000 + authorization.expiresInSeconds),
    interval: authorization.intervalSeconds,
  };
}

function signedInEvent(session: Session): Record<string, unknown> {
  return {
    event: 'signed_in',
    gateway: session.gateway,
    issuer: session.issuer,
    subject: session.subject,
    username: session.username,
    roles: showClaims(session.access_token).roles,
    expires_at: isoSeconds(session.expires_at),
  };
}

function sayWelcome(session: Session, connection: Connection, terminal: Terminal): void {
  const { roles } = showClaims(session.access_token);
  const name = printable(session.username ?? session.subject ?? 'somebody whom the issuer does not name');
  const shownRoles = roles.length === 0 ? '' : `     roles ${printable([...roles].sort().join(', '))}`;
  terminal.say();
  terminal.say(`${terminal.green('✓')} Signed in as ${name}${shownRoles}`);
  terminal.say(`  ${renewalSentence(session)}; stored in ${homeRelative(stateFolder())}`);
  if (connection.address.profile !== 'default') terminal.say(`  profile ${connection.address.profile}`);
  terminal.say();
  terminal.say(`Next:  ${terminal.command} chat "The future of AI is"`);
}

function renewalSentence(session: Session): string {
  if (session.refresh_token === null)
    return `valid until ${isoSeconds(session.expires_at)}, then sign in again`;
  return session.refresh_expires_at === null
    ? 'renewed by itself'
    : `renewed by itself until ${longDate(session.refresh_expires_at)}`;
}
