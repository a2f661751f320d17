// Revocations on disk, in a folder that all processes of a gateway share: each appends what it learns and follows what
// the others append. A file for each day, so that old ones are deleted whole and nothing is ever rewritten under a reader;
// what has no end stands in a file of its own.
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  watch,
  type FSWatcher,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../../core/log.ts';
import { parseRevocation, type Revocation } from './revocation.ts';

/** How the folder is kept. */
export interface RevocationFilesOptions {
  readonly folder: string;
  /** Files are deleted when nothing in them can be in force any more. */
  readonly keepMs: number;
  readonly log: Logger;
  readonly now: () => number;
  /** What this or another process wrote. */
  readonly onRead: (revocations: readonly Revocation[]) => void;
}

/** The folder, followed. */
export interface RevocationFiles {
  /** Appends and brings it to the disk. @throws Error when the disk refuses or the day's file is full */
  append(revocations: readonly Revocation[]): Promise<void>;
  /** For /readyz: null while the folder can be read and written. */
  problem(): string | null;
  close(): void;
}

const oneDayMs = 86_400_000;
/** Notices of the file system are quicker where they work; this is certain. */
const pollMs = 200;
const maxFileBytes = 64 * 1_048_576;
const lasting = 'lasting.jsonl';
const isOurs = /^(lasting|\d{4}-\d\d-\d\d)\.jsonl$/;

/**
 * Reads the folder, then follows it.
 * @throws Error when the folder cannot be created or read: a gateway does not start without its revocations
 */
export function openRevocationFiles(options: RevocationFilesOptions): RevocationFiles {
  mkdirSync(options.folder, { recursive: true, mode: 0o700 });
  const followed = new FollowedFolder(options);
  followed.read();
  followed.follow();
  return followed;
}

class FollowedFolder implements RevocationFiles {
  readonly #options: RevocationFilesOptions;
  /** Bytes of each file that were read, up to the last whole line. */
  readonly #read = new Map<string, number>();
  /** Size of each file when it was read; its end may have been half a line. */
  readonly #seen = new Map<string, number>();
  #watcher: FSWatcher | null = null;
  #timer: NodeJS.Timeout | null = null;
  #problem: string | null = null;

  constructor(options: RevocationFilesOptions) {
    this.#options = options;
  }

  problem(): string | null {
    return this.#problem;
  }

  async append(revocations: readonly Revocation[]): Promise<void> {
    const { now, keepMs } = this.#options;
    const today = `${new Date(now()).toISOString().slice(0, 10)}.jsonl`;
    const files = new Map<string, Revocation[]>();
    for (const revocation of revocations) {
      const outlivesToday = revocation.until === null || revocation.until * 1_000 > now() + keepMs;
      const name = outlivesToday ? lasting : today;
      files.set(name, [...(files.get(name) ?? []), revocation]);
    }
    try {
      for (const [name, listed] of files) await this.#appendTo(name, listed);
      this.#report(null);
    } catch (error) {
      this.#report(`revocations cannot be written (${codeOf(error)})`);
      throw error;
    }
  }

  follow(): void {
    const look = (): void => {
      try {
        this.read();
        if (this.#problem?.includes('read') === true) this.#report(null);
      } catch (error) {
        this.#report(`revocations cannot be read (${codeOf(error)})`);
      }
    };
    this.#timer = setInterval(look, pollMs).unref();
    try {
      this.#watcher = watch(this.#options.folder, { persistent: false }, look);
      this.#watcher.on('error', () => undefined); // Polling goes on.
    } catch {
      // This file system has no notices: polling is enough.
    }
  }

  /** Reads what was appended since the last time and deletes files that are over. */
  read(): void {
    const { folder, now, keepMs, onRead } = this.#options;
    // A day's file is over when what was written into it last is.
    const oldest = new Date(now() - keepMs - oneDayMs).toISOString().slice(0, 10);
    const fresh: Revocation[] = [];
    for (const name of readdirSync(folder)) {
      if (!isOurs.test(name)) continue;
      if (name !== lasting && name < oldest) {
        rmSync(join(folder, name), { force: true });
        this.#read.delete(name);
      } else fresh.push(...this.#readNew(name));
    }
    if (fresh.length > 0) onRead(fresh);
  }

  close(): void {
    this.#watcher?.close();
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  #readNew(name: string): Revocation[] {
    // Asked several times a second: what has not grown is not opened.
    const found = statSync(join(this.#options.folder, name), { throwIfNoEntry: false });
    if (found === undefined || found.size === this.#seen.get(name)) return [];
    const file = openSync(join(this.#options.folder, name), 'r');
    try {
      const known = this.#read.get(name) ?? 0;
      const { size } = fstatSync(file);
      this.#seen.set(name, size);
      // Only a hand makes a file shorter; it is read anew.
      const from = size < known ? 0 : known;
      if (size === from) return [];
      const bytes = Buffer.alloc(size - from);
      const length = readSync(file, bytes, 0, bytes.length, from);
      const end = bytes.subarray(0, length).lastIndexOf('\n') + 1;
      this.#read.set(name, from + end);
      return this.#parse(bytes.toString('utf8', 0, end), name);
    } finally {
      closeSync(file);
    }
  }

  #parse(text: string, name: string): Revocation[] {
    const lines = text.split('\n').filter((line) => line !== '');
    const parsed = lines.map(parseRevocation).filter((revocation) => revocation !== null);
    // A crash in the middle of writing leaves one, and nobody was told that it holds.
    if (parsed.length < lines.length)
      this.#options.log.error(
        { file: name, lines: lines.length - parsed.length },
        'lines of a file of revocations are damaged',
      );
    return parsed;
  }

  async #appendTo(name: string, revocations: readonly Revocation[]): Promise<void> {
    const file = await open(join(this.#options.folder, name), 'a', 0o600);
    try {
      const { size } = await file.stat();
      // The line break in front ends a line that a crash left half written.
      const text = revocations.map((revocation) => `\n${JSON.stringify(revocation)}\n`).join('');
      if (size + text.length > maxFileBytes)
        throw Object.assign(new Error('full'), { code: 'the file is full' });
      await file.appendFile(text);
      await file.datasync();
    } finally {
      await file.close();
    }
  }

  #report(problem: string | null): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    if (problem !== null) this.#options.log.error({ problem }, 'the folder of the revocations fails');
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'error';
}
