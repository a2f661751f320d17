// Which files an audit log has: one per writer and day, `<writer>.<day>.jsonl`, and `<writer>.head.json`, which says
// how far the chain has come, so that lines cut off the end show.
import { closeSync, existsSync, openSync, readFileSync, readSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readChainLine, type ChainPosition } from './audit-chain.ts';

const filePattern = /^([a-z0-9-]+)\.(\d{4}-\d{2}-\d{2})\.jsonl$/;
const headPattern = /^([a-z0-9-]+)\.head\.json$/;

/** One file of one writer. */
export interface AuditFile {
  readonly path: string;
  readonly writer: string;
  /** UTC day, `2026-11-22`. */
  readonly day: string;
}

/** All files of a folder, by writer and day. */
export function listAuditFiles(folder: string): AuditFile[] {
  if (!existsSync(folder)) return [];
  const files: AuditFile[] = [];
  for (const name of readdirSync(folder).sort()) {
    const [, writer, day] = filePattern.exec(name) ?? [];
    if (writer !== undefined && day !== undefined) files.push({ path: join(folder, name), writer, day });
  }
  return files;
}

/** The file of a writer for a day. */
export function auditFilePath(folder: string, writer: string, day: string): string {
  return join(folder, `${writer}.${day}.jsonl`);
}

/** Where a writer keeps its head. */
export function headPath(folder: string, writer: string): string {
  return join(folder, `${writer}.head.json`);
}

/** The head last written, or null when there is none or it cannot be read. */
export function readHead(folder: string, writer: string): ChainPosition | null {
  try {
    const head = JSON.parse(readFileSync(headPath(folder, writer), 'utf8')) as Partial<ChainPosition>; // Checked below.
    return typeof head.seq === 'number' && typeof head.hash === 'string'
      ? { seq: head.seq, hash: head.hash }
      : null;
  } catch {
    return null;
  }
}

/** The heads of a folder, by writer. */
export function readHeads(folder: string): ReadonlyMap<string, ChainPosition> {
  const heads = new Map<string, ChainPosition>();
  for (const name of existsSync(folder) ? readdirSync(folder).sort() : []) {
    const [, writer] = headPattern.exec(name) ?? [];
    const head = writer === undefined ? null : readHead(folder, writer);
    if (writer !== undefined && head !== null) heads.set(writer, head);
  }
  return heads;
}

/** The end of one file: its size up to the last newline, what follows it, and its last record. */
export interface FileTail {
  readonly wholeBytes: number;
  readonly tornBytes: number;
  /** Null for a file without lines. */
  readonly last: ChainPosition | 'unreadable' | null;
  /** Whether the whole bytes end with a newline, so that a record may follow. */
  readonly endsLine: boolean;
}

/** Longest line that is looked for at the end of a file. */
const tailBytes = 256 * 1024;

/** Reads the end of a file without reading all of it. */
export function readTail(path: string): FileTail {
  const { size } = statSync(path);
  const tail = Buffer.alloc(Math.min(size, tailBytes));
  const descriptor = openSync(path, 'r');
  try {
    readSync(descriptor, tail, 0, tail.length, size - tail.length);
  } finally {
    closeSync(descriptor);
  }
  const end = tail.lastIndexOf(0x0a);
  if (end === -1) {
    // No line is that long: bytes that we never wrote stay as they are, for whoever looks into it.
    return size > tail.length
      ? { wholeBytes: size, tornBytes: 0, last: 'unreadable', endsLine: false }
      : { wholeBytes: 0, tornBytes: size, last: null, endsLine: true };
  }
  const begin = end === 0 ? 0 : tail.lastIndexOf(0x0a, end - 1) + 1;
  const last = readChainLine(tail.toString('utf8', begin, end));
  return {
    wholeBytes: size - (tail.length - end - 1),
    tornBytes: tail.length - end - 1,
    last: last === null ? 'unreadable' : { seq: last.seq, hash: last.hash },
    endsLine: true,
  };
}
