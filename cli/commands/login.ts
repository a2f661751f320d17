// `sallyport login`: the device code flow, needing only the gateway's address. Opens nothing by itself.
import { InvalidArgumentError, type Command } from 'commander';
import { connect, withConnectionOptions, type Connection, type ConnectionOptions } from '../connection.ts';
import { interruptible } from '../interrupt.ts';
import { showClaims } from '../sign-in/access-token-claims.ts';
import type { DeviceAuthorization } from '../sign-in/issuer-client.ts';
import { personLogin } from '../sign-in/person-login.ts';
import { stateFolder, type Session } from '../sign-in/session-file.ts';
import { isAcrValues, parseMaxAge } from '../sign-in/step-up.ts';
import { processTerminal, type Terminal } from '../terminal.ts';
import { homeRelative, isoSeconds, longDate, printable } from '../wording.ts';

interface LoginOptions extends ConnectionOptions {
  readonly clientId?: string;
  readonly acr?: string;
  readonly maxAge?: number;
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
    .option('--acr <values>', 'ask for a sign-in at one of these levels (acr_values)', acrArgument)
    .option('--max-age <seconds>', 'sign in again if the last time is longer ago', maxAgeArgument)
    .option('--qr', 'show a QR code also for an address on this machine')
    .option('--json', 'two JSON events on stdout: device_code, signed_in')
    .action(async (options: LoginOptions) =>
      interruptible((signal) => login(options, processTerminal(), signal)),
    );
}

async function login(options: LoginOptions, terminal: Terminal, signal: AbortSignal): Promise<void> {
  const connection = await connect(options);
  const { acr, maxAge, clientId, qr, json } = options;
  const session = await personLogin(connection, terminal, {
    signal,
    clientId,
    qr,
    ...(acr === undefined && maxAge === undefined
      ? {}
      : { stepUp: { acrValues: acr ?? null, maxAge: maxAge ?? null } }),
    ...(json === true ? { onCode: (authorization) => terminal.json(deviceCodeEvent(authorization)) } : {}),
  });
  if (json === true) terminal.json(signedInEvent(session));
  else sayWelcome(session, connection, terminal);
}

function acrArgument(text: string): string {
  if (!isAcrValues(text)) throw new InvalidArgumentError('It is one or more words, separated by a blank.');
  return text;
}

function maxAgeArgument(text: string): number {
  const seconds = parseMaxAge(text);
  if (seconds === null) throw new InvalidArgumentError('It is a whole number of seconds.');
  return seconds;
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
