// The stored sign-in of one gateway and profile: one JSON file, 0600 in a 0700 folder, replaced by rename.
// Trusts nobody else on the machine: wider modes on reading are a refusal with the chmod to run.
import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { exitCodes } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';

/** What login stores; member names as on the wire, because it is a file. Tokens never leave for another origin. */
export interface Session {
  readonly version: 1;
  readonly gateway: string;
  readonly profile: string;
  readonly issuer: string;
  readonly client_id: string;
  readonly token_endpoint: string;
  readonly revocation_endpoint: string | null;
  readonly scope: string;
  readonly access_token: string;
  /** Epoch seconds. */
  readonly expires_at: number;
  /** Null once the issuer has refused it, so that nobody tries it again. */
  readonly refresh_token: string | null;
  /** Epoch seconds, where the issuer says it. */
  readonly refresh_expires_at: number | null;
  readonly subject: string | null;
  readonly username: string | null;
}

/** Which gateway and profile a session belongs to. */
export interface SessionKey {
  readonly gateway: string;
  readonly profile: string;
}

/** The folder of all sessions: SALLYPORT_STATE_DIR, else $XDG_STATE_HOME/sallyport. */
export function stateFolder(env: NodeJS.ProcessEnv = process.env): string {
  const own = env['SALLYPORT_STATE_DIR'];
  if (own !== undefined && own !== '') return own;
  const base = env['XDG_STATE_HOME'];
  return join(base === undefined || base === '' ? join(homedir(), '.local/state') : base, 'sallyport');
}

/** The file of one session. */
export function sessionFile(key: SessionKey, folder = stateFolder()): string {
  return join(folder, `${key.profile}@${encodeURIComponent(key.gateway)}.json`);
}

/**
 * Reads a session; null when there is none.
 * Checks: modes and owner of folder and file, the JSON and its members, that it belongs to this gateway.
 * Does not check: expiry (sign-in/renewal.ts) or the token itself (the gateway).
 * @throws CommandFailure when modes are wider than 0700/0600 or the file is damaged.
 */
export function readSession(key: SessionKey, folder = stateFolder()): Session | null {
  const file = sessionFile(key, folder);
  const folderStats = statSync(folder, { throwIfNoEntry: false });
  const fileStats = statSync(file, { throwIfNoEntry: false });
  if (folderStats === undefined || fileStats === undefined) return null;
  checkPrivate(folder, folderStats, '700');
  checkPrivate(file, fileStats, '600');
  const session = parseSession(readFileSync(file, 'utf8'));
  if (session?.gateway !== key.gateway) {
    throw new CommandFailure(exitCodes.signInNeeded, `The stored sign-in ${file} is damaged.`, {
      code: 'session_damaged',
      hints: ['Sign in again; that replaces it:  sallyport login'],
    });
  }
  return session;
}

/** Replaces a session, under its lock; after a crash at any moment the file is the old or the new one, never half of it. */
export function writeSession(session: Session, folder = stateFolder()): string {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = sessionFile(session, folder);
  const draft = `${file}.new`; // One name, so that a draft left by a crash is overwritten by the next one.
  rmSync(draft, { force: true });
  const descriptor = openSync(draft, 'wx', 0o600);
  try {
    writeSync(descriptor, `${JSON.stringify(session, null, 2)}\n`);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(draft, file);
  return file;
}

/** Makes the folder private before the first session is written into it. @throws CommandFailure when it is another's. */
export function prepareStateFolder(folder = stateFolder()): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const stats = statSync(folder);
  checkOwner(folder, stats.uid);
  if ((stats.mode & 0o077) !== 0) chmodSync(folder, 0o700);
}

/** Deletes a session and what belongs to it; true when there was one. */
export function deleteSession(key: SessionKey, folder = stateFolder()): boolean {
  const file = sessionFile(key, folder);
  const existed = statSync(file, { throwIfNoEntry: false }) !== undefined;
  // The empty lock file stays: removing it while another process waits for it would make two locks.
  for (const path of [file, `${file}.new`]) rmSync(path, { force: true });
  return existed;
}

/** The keys of all stored sessions. */
export function listSessions(folder = stateFolder()): readonly SessionKey[] {
  if (statSync(folder, { throwIfNoEntry: false }) === undefined) return [];
  return readdirSync(folder).flatMap((name) => {
    const match = /^([^@]+)@(.+)\.json$/.exec(name);
    return match?.[1] === undefined || match[2] === undefined
      ? []
      : [{ profile: match[1], gateway: decodeURIComponent(match[2]) }];
  });
}

function checkPrivate(
  path: string,
  stats: { readonly mode: number; readonly uid: number },
  wanted: '600' | '700',
): void {
  checkOwner(path, stats.uid);
  if ((stats.mode & 0o077) === 0) return;
  const mode = (stats.mode & 0o777).toString(8);
  throw new CommandFailure(
    exitCodes.signInNeeded,
    `Others on this machine can open ${path} (mode ${mode}), so its tokens are not used.`,
    {
      code: 'session_exposed',
      hints: [
        `Close it:  chmod ${wanted} '${path}'`,
        'If you are not alone on this machine, also sign in again:  sallyport logout && sallyport login',
      ],
    },
  );
}

function checkOwner(path: string, uid: number): void {
  const own = process.getuid?.();
  if (own === undefined || uid === own) return;
  throw new CommandFailure(
    exitCodes.signInNeeded,
    `${path} belongs to another user (uid ${uid}), so it is not used.`,
    {
      code: 'session_exposed',
      hints: [
        'Run the command as the user who signed in, or set SALLYPORT_STATE_DIR to a folder of your own.',
      ],
    },
  );
}

function parseSession(text: string): Session | null {
  try {
    const value = JSON.parse(text) as Partial<Session> | null; // Border: a file; every member used is checked below.
    const strings = [
      value?.gateway,
      value?.profile,
      value?.issuer,
      value?.client_id,
      value?.token_endpoint,
      value?.access_token,
    ];
    if (value?.version !== 1 || !strings.every((member) => typeof member === 'string' && member !== ''))
      return null;
    if (typeof value.expires_at !== 'number' || !isStringOrNull(value.refresh_token)) return null;
    if (!isStringOrNull(value.revocation_endpoint)) return null;
    return value as Session;
  } catch {
    return null;
  }
}

function isStringOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string';
}
