// What each profile remembers, in $XDG_CONFIG_HOME/sallyport/profiles.json: the gateway signed in to last,
// and the certificate authority trusted for it. Beside it, in `profile`, the name of the one in use.
// JSON, not YAML, because the fast path of `sallyport token` reads it.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

/** One profile's remembered settings. */
export interface Profile {
  readonly gateway?: string | undefined;
  /** The certificate authority that was trusted for this gateway at sign-in. */
  readonly ca?: string | undefined;
}

/** The file of the profiles. */
export function profilesFile(env: NodeJS.ProcessEnv = process.env): string {
  const base = env['XDG_CONFIG_HOME'];
  return join(
    base === undefined || base === '' ? join(homedir(), '.config') : base,
    'sallyport',
    'profiles.json',
  );
}

/** Whether a name can be one: it becomes part of a file name. */
export function isProfileName(name: string): boolean {
  return /^[A-Za-z0-9._-]{1,64}$/.test(name);
}

/** The profile that `sallyport profile use` chose, where no flag or variable names one. */
export function profileInUse(env: NodeJS.ProcessEnv = process.env): string {
  try {
    const name = readFileSync(join(dirname(profilesFile(env)), 'profile'), 'utf8').trim();
    return isProfileName(name) ? name : 'default';
  } catch {
    return 'default';
  }
}

/** Chooses the profile of later commands. */
export function useProfile(name: string, env: NodeJS.ProcessEnv = process.env): void {
  replaceFile(join(dirname(profilesFile(env)), 'profile'), `${name}\n`);
}

/** All profiles; an absent or unreadable file is an empty one, since it only holds a convenience. */
export function readProfiles(env: NodeJS.ProcessEnv = process.env): Readonly<Record<string, Profile>> {
  try {
    const parsed: unknown = JSON.parse(readFileSync(profilesFile(env), 'utf8'));
    return isProfiles(parsed) ? parsed : {};
  } catch {
    return {};
  }
}

/** Remembers a profile; paths become absolute. */
export function rememberProfile(name: string, profile: Profile, env: NodeJS.ProcessEnv = process.env): void {
  const file = profilesFile(env);
  const profiles = readProfiles(env);
  const remembered = {
    gateway: profile.gateway,
    ...(profile.ca === undefined ? {} : { ca: resolve(profile.ca) }),
  };
  if (profiles[name]?.gateway === remembered.gateway && profiles[name]?.ca === remembered.ca) return;
  replaceFile(file, `${JSON.stringify({ ...profiles, [name]: remembered }, null, 2)}\n`);
}

function replaceFile(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.${process.pid}.new`;
  writeFileSync(draft, text, { mode: 0o600 });
  renameSync(draft, file);
}

function isProfiles(value: unknown): value is Record<string, Profile> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) return false;
    return [Reflect.get(entry, 'gateway'), Reflect.get(entry, 'ca')].every(isOptionalText);
  });
}

function isOptionalText(value: unknown): boolean {
  return value === undefined || typeof value === 'string';
}
