// The decision log: JSON lines for `policy replay` and `policy explain`, in files that are bounded in size and age. Appending
// builds a line; writing happens in groups, off the request's way. Unlike the audit log it is not mandatory: what cannot
// be written is counted and dropped, and no request is refused for it.
import { mkdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Logger } from '../../core/log.ts';
import type { Received } from '../exchange.ts';
import { PrincipalMemo } from '../principal-memo.ts';
import { decisionFilePath, pruneDecisionFiles, type DecisionRetention } from './decision-files.ts';
import { bytesOf, LineBuffer } from './line-buffer.ts';
import { DecisionLines, decisionRecord, principalLine } from './decision-record.ts';

/** Where decisions go. */
export interface DecisionLog {
  /** Keeps the decision of a request that has ended, if one was made. Never throws. */
  append(received: Received): void;
  /** Writes what is buffered. */
  close(): Promise<void>;
}

/** How a log is kept. */
export interface DecisionLogOptions extends DecisionRetention {
  readonly log: Logger;
  /** Names of claims that are not kept. */
  readonly omitClaims: readonly string[];
  /** Called with how many decisions were dropped. */
  readonly onLost: (count: number) => void;
  readonly writer?: string;
  readonly now?: () => number;
  /** A file that is longer is followed by a new one. */
  readonly fileBytes?: number;
  /** Text that waits for the disk; beyond it decisions are dropped. */
  readonly maxBufferedBytes?: number;
}

const groupMs = 200;
/** With so much text a group is full before its time: what keeps the lines then need not grow, and is used again. */
const fullGroupBytes = 512 * 1024;
const pruneMs = 3_600_000;

/** Opens the log. @throws the system's error when the folder cannot be made */
export function createDecisionLog(folder: string, options: DecisionLogOptions): DecisionLog {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return new FileLog(folder, options);
}

/** Text for one file; it holds the lines of the principals that its decisions name. */
interface Segment {
  readonly path: string;
  readonly lines: LineBuffer;
  decisions: number;
  /** Bytes in the file and in `lines`. */
  bytes: number;
}

class FileLog implements DecisionLog {
  readonly #folder: string;
  readonly #options: DecisionLogOptions;
  readonly #omitted: ReadonlySet<string>;
  readonly #now: () => number;
  readonly #fileBytes: number;
  readonly #maxBufferedBytes: number;
  #segments: Segment[] = [];
  #buffered = 0;
  /** The principals that the newest segment names. */
  #lines = new PrincipalMemo<DecisionLines>();
  #named = 0;
  #files = 0;
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> | null = null;
  #isFailing = false;
  #closed = false;
  readonly #pruning: NodeJS.Timeout;

  constructor(folder: string, options: DecisionLogOptions) {
    this.#folder = folder;
    this.#options = options;
    this.#omitted = new Set(options.omitClaims);
    this.#now = options.now ?? Date.now;
    // So that what is removed for its size or age is never more than a tenth.
    this.#fileBytes = options.fileBytes ?? Math.min(16 * 1024 * 1024, Math.ceil(options.maxBytes / 10));
    this.#maxBufferedBytes = options.maxBufferedBytes ?? 4 * 1024 * 1024;
    this.#pruning = setInterval(() => void this.#prune(), pruneMs);
    this.#pruning.unref();
    void this.#prune();
  }

  append(received: Received): void {
    const record = decisionRecord(received);
    const { principal } = received.outcome;
    if (record === null || principal === null) return;
    if (this.#closed || this.#buffered > this.#maxBufferedBytes) {
      this.#options.onLost(1);
      return;
    }
    const segment = this.#newest();
    let lines = this.#lines.get(principal);
    let bytes = 0;
    if (lines === undefined) {
      lines = new DecisionLines(++this.#named);
      this.#lines.set(principal, lines);
      const line = principalLine(principal, this.#named, this.#omitted);
      segment.lines.add(line);
      bytes = line.length; // Lines are ASCII.
    }
    bytes += lines.addTo(segment.lines, record);
    segment.bytes += bytes;
    segment.decisions++;
    this.#buffered += bytes;
    if (this.#buffered < fullGroupBytes) this.#schedule();
    else if (this.#writing === null) this.#beginWriting();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#pruning);
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#writing;
    await this.#write();
  }

  #newest(): Segment {
    const newest = this.#segments.at(-1);
    return newest === undefined || newest.bytes > this.#fileBytes ? this.#begin() : newest;
  }

  /** A file stands alone: whoever it speaks of is named in it. */
  #begin(): Segment {
    const path = decisionFilePath(
      this.#folder,
      this.#options.writer ?? 'gateway',
      this.#now(),
      ++this.#files,
    );
    const segment: Segment = { path, lines: new LineBuffer(), decisions: 0, bytes: 0 };
    this.#segments.push(segment);
    this.#lines = new PrincipalMemo();
    this.#named = 0;
    if (this.#files > 1) void this.#prune();
    return segment;
  }

  #schedule(): void {
    if (this.#timer !== null || this.#writing !== null || this.#closed) return;
    this.#timer = setTimeout(() => this.#beginWriting(), groupMs);
    this.#timer.unref();
  }

  #beginWriting(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#writing = this.#write().finally(() => {
      this.#writing = null;
      if (this.#buffered > 0) this.#schedule();
    });
  }

  /** Writes every segment's text; one that fails is dropped as a whole, and a new file begins. Never rejects. */
  async #write(): Promise<void> {
    for (const segment of [...this.#segments]) {
      const { decisions, lines } = segment;
      if (lines.length === 0) continue;
      const pieces = lines.take();
      segment.decisions = 0;
      this.#buffered -= bytesOf(pieces);
      try {
        await appendTo(segment.path, pieces);
        lines.giveBack(pieces);
        this.#isFailing = false;
      } catch (error) {
        this.#fail(error, decisions + segment.decisions);
        this.#buffered -= lines.length;
        this.#segments = this.#segments.filter((each) => each !== segment);
      }
    }
    // Only the newest can grow; the others are written.
    this.#segments = this.#segments.filter(
      (each, index, all) => index === all.length - 1 || each.lines.length > 0,
    );
  }

  #fail(error: unknown, lost: number): void {
    this.#options.onLost(lost);
    if (this.#isFailing) return;
    this.#isFailing = true;
    const code = (error as NodeJS.ErrnoException).code ?? 'unexpected error'; // The file system's.
    this.#options.log.error({ code }, 'decisions cannot be recorded; policy replay will not know them');
  }

  #prune(): Promise<void> {
    return pruneDecisionFiles(this.#folder, this.#options, this.#now());
  }
}

async function appendTo(path: string, pieces: readonly Buffer[]): Promise<void> {
  const handle = await open(path, 'a', 0o600);
  try {
    for (const piece of pieces) await handle.appendFile(piece);
  } finally {
    await handle.close();
  }
}
