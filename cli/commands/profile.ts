// `sallyport profile list|use`: the stored sign-ins by name, and which of them commands use without a flag.
import { closest, distance } from 'fastest-levenshtein';
import type { Command } from 'commander';
import { exitCodes } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import { resolveGateway } from '../gateway-address.ts';
import { profileInUse, readProfiles, useProfile } from '../profiles.ts';
import { listSessions, readSession, type SessionKey } from '../sign-in/session-file.ts';
import { processTerminal } from '../terminal.ts';
import { printable } from '../wording.ts';

/** One stored sign-in, or a profile without one; member names as in `profile list --json`. */
interface ListedProfile {
  readonly profile: string;
  readonly gateway: string;
  readonly in_use: boolean;
  readonly username: string | null;
  readonly signed_in: boolean;
}

/** Adds `profile` and its commands to the tree. */
export function registerProfileCommands(program: Command): void {
  const profile = program
    .command('profile')
    .description('The stored sign-ins by name, and the one in use.')
    .helpCommand(false)
    .addHelpText('before', 'Example:\n  sallyport login --profile work --gateway https://llm.example.com\n');
  profile
    .command('list')
    .description('List profiles with gateway and account; * is the one in use.')
    .addHelpText('before', 'Example:\n  sallyport profile list\n')
    .option('--json', 'one JSON array')
    .action(list);
  profile
    .command('use')
    .description('Let later commands use this profile.')
    .addHelpText('before', 'Example:\n  sallyport profile use work\n')
    .argument('<name>', 'a name that list shows')
    .action(use);
}

function list({ json }: { readonly json?: boolean }): void {
  const terminal = processTerminal();
  const profiles = listProfiles();
  if (json === true) {
    terminal.json(profiles);
    return;
  }
  if (profiles.length === 0) terminal.say(`Nobody has signed in yet.  Run:  ${terminal.command} login`);
  const width = Math.max(0, ...profiles.map((entry) => entry.profile.length));
  const gatewayWidth = Math.max(0, ...profiles.map((entry) => entry.gateway.length));
  for (const entry of profiles) {
    const who = entry.signed_in ? (entry.username ?? 'signed in') : 'not signed in';
    terminal.write(
      printable(
        `${entry.in_use ? '*' : ' '} ${entry.profile.padEnd(width)}  ${entry.gateway.padEnd(gatewayWidth)}  ${who}`,
      ) + '\n',
    );
  }
}

function use(name: string): void {
  const terminal = processTerminal();
  const names = [...new Set(['default', ...listProfiles().map((entry) => entry.profile)])];
  if (!names.includes(name)) {
    const nearest = closest(name, names);
    throw new CommandFailure(exitCodes.usage, `There is no profile ${printable(name)}.`, {
      code: 'no_profile',
      hints: [
        distance(name, nearest) <= 2 ? `Did you mean ${nearest}?` : `There are: ${names.join(', ')}.`,
        `A new one:  sallyport login --profile NAME --gateway URL`,
      ],
    });
  }
  useProfile(name);
  terminal.say(`${terminal.green('✓')} Commands use the profile ${name}.`);
  const fromEnvironment = process.env['SALLYPORT_PROFILE'] ?? '';
  if (fromEnvironment !== '' && fromEnvironment !== name)
    terminal.say(`  But SALLYPORT_PROFILE is set to ${printable(fromEnvironment)} here, and goes first.`);
}

function listProfiles(): readonly ListedProfile[] {
  const profiles = readProfiles();
  const keys = new Map<string, SessionKey>();
  const add = (key: SessionKey): void => void keys.set(`${key.profile} ${key.gateway}`, key);
  for (const [profile, { gateway }] of Object.entries(profiles))
    if (gateway !== undefined) add({ profile, gateway });
  for (const { profile, gateway } of listSessions()) add({ profile, gateway });
  const current = process.env['SALLYPORT_PROFILE'] ?? '';
  const inUse = resolveGateway({ profile: current === '' ? profileInUse() : current });
  return [...keys.values()]
    .sort((one, other) => `${one.profile} ${one.gateway}`.localeCompare(`${other.profile} ${other.gateway}`))
    .map((key) => ({
      ...key,
      in_use: key.profile === inUse.profile && key.gateway === inUse.gateway,
      ...account(key),
    }));
}

/** Whose sign-in a file holds; one that may not be read counts as none, and the other commands say why. */
function account(key: SessionKey): Pick<ListedProfile, 'username' | 'signed_in'> {
  try {
    const session = readSession(key);
    const isAlive =
      session !== null && (session.refresh_token !== null || session.expires_at > Date.now() / 1000);
    return { username: isAlive ? session.username : null, signed_in: isAlive };
  } catch {
    return { username: null, signed_in: false };
  }
}
