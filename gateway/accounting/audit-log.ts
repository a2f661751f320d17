// The hash-chained audit log: one JSON line for every request and every policy swap. Appending only builds the line;
// writing happens in groups, off the request's way. A disk that fails is a problem that closes the gateway's door.
import { constants, fstatSync, mkdirSync } from 'node:fs';
import { open, rename, stat, writeFile, type FileHandle } from 'node:fs/promises';
import type { Logger } from '../../core/log.ts';
import { chainText, type ChainPosition } from './audit-chain.ts';
import { asciiJson } from './ascii-json.ts';
import { auditFilePath, headPath } from './audit-files.ts';
import { findStart } from './audit-start.ts';
import { bytesOf, LineBuffer } from './line-buffer.ts';

/** Where audit records go. */
export interface AuditLog {
  /** Appends one record; buffered, written in groups. Never throws. */
  append(record: Readonly<Record<string, unknown>>): void;
  /** As `append`, of a record whose members are ASCII JSON text already, without the braces. */
  appendText(members: string): void;
  /** For /readyz and admit: null while records reach the disk, else words for an operator. */
  problem(): string | null;
  /** Writes what is buffered and closes the file. */
  close(): Promise<void>;
}

/** How a log is kept. */
export interface AuditLogOptions {
  readonly log: Logger;
  /** One chain for each process that writes into the folder; a cluster worker names itself, e.g. `gateway-2`. */
  readonly writer?: string;
  readonly now?: () => number;
  /** Buffered text at which the gateway stops to answer. */
  readonly maxBufferedBytes?: number;
}

/** Records wait this long for their group: what kill -9 can lose. */
const groupMs = 10;
/** Written records wait this long for the disk itself: what a power cut can lose. */
const syncMs = 250;
const oneDayMs = 86_400_000;
/** A failed write is tried again after this. */
const retryMs = 1_000;

/**
 * Opens the log and continues its chain; a line that a crash left half written is cut off and noted as a record.
 * @throws Error when the folder cannot be created or read
 */
export function createAuditLog(folder: string, options: AuditLogOptions): AuditLog {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return new ChainedLog(folder, options);
}

/** Text that has its place in the chain, waiting to be written into the file of its day. */
interface Group {
  readonly day: string;
  readonly lines: LineBuffer;
  /** Where the chain stands at the end of `lines`. */
  end: ChainPosition;
  /** What is being written, or has to be written again. */
  taken: { readonly pieces: readonly Buffer[]; readonly end: ChainPosition } | null;
}

/** The file being written; `size` counts the bytes known to be whole. */
interface OpenFile {
  readonly handle: FileHandle;
  readonly day: string;
  size: number;
}

const isWritten = ({ lines, taken }: Group): boolean => lines.length === 0 && taken === null;

class ChainedLog implements AuditLog {
  readonly #folder: string;
  readonly #writer: string;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #maxBufferedBytes: number;
  #position: ChainPosition;
  /** Where the chain stands on disk. */
  #written: ChainPosition;
  #day: string;
  #dayEndsAt = 0;
  #groups: Group[] = [];
  #bufferedBytes = 0;
  #lost = 0;
  #problem: string | null = null;
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> | null = null;
  #file: OpenFile | null = null;
  /** Whole bytes of the day's file as far as this process wrote it; a retry writes from there. */
  #whole: { day: string; size: number } | null = null;
  #syncDueAt: number | null = null;
  #isShared = false;
  #closed = false;

  constructor(folder: string, options: AuditLogOptions) {
    this.#folder = folder;
    this.#writer = options.writer ?? 'gateway';
    this.#log = options.log;
    this.#now = options.now ?? Date.now;
    this.#maxBufferedBytes = options.maxBufferedBytes ?? 8 * 1024 * 1024;
    const start = findStart(folder, this.#writer);
    this.#position = start.position;
    this.#written = start.position;
    this.#day = start.day;
    // These lines, kept elsewhere, are anchors: verifyAuditLog can be asked whether the chain still holds them.
    this.#log.info(
      { writer: this.#writer, seq: start.position.seq, hash: start.position.hash },
      'audit log continues',
    );
    for (const finding of start.findings) {
      this.#log.error(finding, 'the audit log did not end as it was written');
      this.append({ ...finding, at: this.#time() });
    }
  }

  append(record: Readonly<Record<string, unknown>>): void {
    this.appendText(asciiJson(JSON.stringify(record).slice(1, -1)));
  }

  appendText(members: string): void {
    // Twice the bound: requests already under way when the door closed are still recorded.
    if (this.#closed || this.#bufferedBytes > 2 * this.#maxBufferedBytes) {
      this.#lost++;
      return;
    }
    if (this.#lost > 0) {
      const lost = this.#lost;
      this.#lost = 0;
      this.#chain(JSON.stringify({ event: 'audit.lost', at: this.#time(), records: lost }).slice(1, -1));
    }
    this.#chain(members);
    if (this.#bufferedBytes > this.#maxBufferedBytes)
      this.#fail('the audit log cannot be written as fast as requests come');
    this.#schedule(groupMs);
  }

  problem(): string | null {
    return this.#problem;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#writing;
    await this.#write();
    await this.#file?.handle.close().catch(() => undefined);
    this.#log.info(
      { writer: this.#writer, seq: this.#written.seq, hash: this.#written.hash },
      'audit log closed',
    );
  }

  #time(): string {
    return new Date(this.#now()).toISOString();
  }

  #chain(members: string): void {
    const { body, end, next } = chainText(this.#position, members);
    this.#position = next;
    this.#turnDay();
    let group = this.#groups.at(-1);
    if (group?.day !== this.#day) {
      group = { day: this.#day, lines: new LineBuffer(), end: next, taken: null };
      this.#groups.push(group);
    }
    group.lines.add(body);
    group.lines.add(`${end}\n`);
    group.end = next;
    this.#bufferedBytes += body.length + end.length + 1; // Lines are ASCII.
  }

  /** A clock that goes back does not reopen the file of an older day. */
  #turnDay(): void {
    if (this.#now() < this.#dayEndsAt) return;
    const today = this.#time().slice(0, 10);
    this.#dayEndsAt = Date.parse(today) + oneDayMs;
    if (today > this.#day) this.#day = today;
  }

  #schedule(delayMs: number): void {
    if (this.#timer !== null || this.#writing !== null || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#writing = this.#write().finally(() => {
        this.#writing = null;
        if (this.#problem !== null) this.#schedule(retryMs);
        else if (!this.#groups.every(isWritten)) this.#schedule(groupMs);
        else if (this.#syncDueAt !== null) this.#schedule(syncMs);
      });
    }, delayMs);
  }

  /** Writes what is buffered; what fails stays buffered and is written to the same place again. Never rejects. */
  async #write(): Promise<void> {
    if (this.#isShared) return;
    try {
      for (let due = this.#groups.length; due > 0; due--) await this.#writeFirstGroup();
      await this.#sync();
      if (this.#problem !== null) this.#log.info('the audit log is written again');
      this.#problem = null;
    } catch (error) {
      await this.#file?.handle.close().catch(() => undefined);
      this.#file = null;
      this.#fail(
        `the audit log cannot be written (${(error as NodeJS.ErrnoException).code ?? 'unexpected error'})`,
      );
    }
  }

  async #writeFirstGroup(): Promise<void> {
    const group = this.#groups[0];
    if (group === undefined) return;
    if (group.lines.length > 0 || group.taken !== null) await this.#writeLinesOf(group);
    // The newest may grow.
    if (this.#groups.length > 1 && isWritten(group)) this.#groups.shift();
  }

  async #writeLinesOf(group: Group): Promise<void> {
    const { day } = group;
    // The group may grow while this part of it is written; what failed is written to the same place again.
    group.taken ??= { pieces: group.lines.take(), end: group.end };
    const { pieces, end } = group.taken;
    const file = await this.#fileOf(day);
    // What the system knows of an open file is there at once; asking in the thread pool cost ten times as much.
    if (fstatSync(file.handle.fd).size !== file.size) throw this.#shared();
    let position = file.size;
    for (const piece of pieces)
      for (let at = 0; at < piece.length;) {
        const { bytesWritten } = await file.handle.write(piece, at, piece.length - at, position);
        at += bytesWritten;
        position += bytesWritten;
      }
    file.size = position;
    this.#whole = { day, size: file.size };
    this.#written = end;
    this.#syncDueAt ??= performance.now() + syncMs;
    this.#bufferedBytes -= bytesOf(pieces);
    group.taken = null;
    group.lines.giveBack(pieces);
  }

  async #fileOf(day: string): Promise<OpenFile> {
    if (this.#file !== null && this.#file.day !== day) {
      await this.#file.handle.datasync();
      await this.#file.handle.close();
      this.#file = null;
    }
    if (this.#file === null) {
      const handle = await open(
        auditFilePath(this.#folder, this.#writer, day),
        constants.O_RDWR | constants.O_CREAT,
        0o600,
      );
      const found = (await handle.stat()).size;
      const size = this.#whole?.day === day ? Math.min(found, this.#whole.size) : found;
      if (size < found) await handle.truncate(size); // What a failed write of ours left half written.
      this.#file = { handle, day, size };
    }
    return this.#file;
  }

  /** Brings file and head to the disk, at most every `syncMs`; kill -9 does not need it, a power cut does. */
  async #sync(): Promise<void> {
    if (this.#syncDueAt === null || (performance.now() < this.#syncDueAt && !this.#closed)) return;
    await this.#leaveMovedFile();
    await this.#file?.handle.datasync();
    const path = headPath(this.#folder, this.#writer);
    await writeFile(`${path}.new`, `${JSON.stringify(this.#written)}\n`, { mode: 0o600 });
    await rename(`${path}.new`, path);
    this.#syncDueAt = null;
  }

  /** A log agent may move the file away; the chain goes on in a new one. */
  async #leaveMovedFile(): Promise<void> {
    if (this.#file === null) return;
    const { handle, day } = this.#file;
    const own = await handle.stat();
    const there = await stat(auditFilePath(this.#folder, this.#writer, day)).catch(() => null);
    if (there?.ino === own.ino) return;
    await handle.datasync();
    await handle.close();
    this.#file = null;
    this.#whole = null;
  }

  /** Two that write one file would go over each other's lines: nothing is written any more. */
  #shared(): Error {
    this.#isShared = true;
    return Object.assign(new Error('shared'), { code: 'another process writes to it' });
  }

  #fail(problem: string): void {
    if (this.#problem !== problem) this.#log.error({ problem }, 'audit is mandatory: requests are refused');
    this.#problem = problem;
  }
}
