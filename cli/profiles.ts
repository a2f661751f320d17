// What each profile remembers, in $XDG_CONFIG_HOME/sallyport/profiles.json: the gateway signed in to last.
// JSON, not YAML, because the fast path of `sallyport token` reads it.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** One profile's remembered settings. */
export interface Profile {
  readonly gateway?: string;
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

/** All profiles; an absent or unreadable file is an empty one, since it only holds a convenience. */
export function readProfiles(env: NodeJS.ProcessEnv = process.env): Readonly<Record<string, Profile>> {
  try {
    const parsed: unknown = JSON.parse(readFileSync(profilesFile(env), 'utf8'));
    return isProfiles(parsed) ? parsed : {};
  } catch {
    return {};
  }
}

/** Remembers the gateway of a profile. */
export function rememberGateway(
  profile: string,
  gateway: string,
  env: NodeJS.ProcessEnv = process.env,
): void {
  const file = profilesFile(env);
  const profiles = readProfiles(env);
  if (profiles[profile]?.gateway === gateway) return;
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.${process.pid}.new`;
  writeFileSync(draft, `${JSON.stringify({ ...profiles, [profile]: { gateway } }, null, 2)}\n`, {
    mode: 0o600,
  });
  renameSync(draft, file);
}

function isProfiles(value: unknown): value is Record<string, Profile> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) return false;
    return !('gateway' in entry) || typeof entry.gateway === 'string';
  });
}
