// The form of an audit line. Each line names the hash of the line before it, so that a changed, missing or inserted
// line shows. A line is pure ASCII: control characters, bidi marks and terminal escapes appear as \u escapes.
import { hash } from 'node:crypto';
import { asciiJson } from './ascii-json.ts';

/** Where a chain stands: the number and hash of a record. */
export interface ChainPosition {
  readonly seq: number;
  readonly hash: string;
}

/** Before the first record. */
export const chainStart: ChainPosition = { seq: 0, hash: '0'.repeat(64) };

const hashMember = ',"hash":"';

/** A record as its line, without the newline, and the position after it. */
export function chainLine(
  position: ChainPosition,
  record: Readonly<Record<string, unknown>>,
): { line: string; next: ChainPosition } {
  const { body, end, next } = chainText(position, asciiJson(JSON.stringify(record).slice(1, -1)));
  return { line: body + end, next };
}

/**
 * As `chainLine`, of a record whose members are ASCII JSON text already, without the braces. The line is `body` and `end`:
 * hashing has laid the pieces of `body` out as one text, which joining it with its end would do a second time.
 */
export function chainText(
  position: ChainPosition,
  members: string,
): { body: string; end: string; next: ChainPosition } {
  const seq = position.seq + 1;
  const body = `{"seq":${seq},"prev":"${position.hash}"${members === '' ? '' : ','}${members}`;
  const digest = hash('sha256', body);
  return { body, end: `${hashMember}${digest}"}`, next: { seq, hash: digest } };
}

/** What a line says of its place in the chain. */
export interface ReadLine extends ChainPosition {
  readonly prev: string;
}

/**
 * Reads one line.
 * Checks: JSON with seq, prev and hash; the hash over the text before it.
 * Does not check: that prev and seq follow the line before (the verifier does).
 * @returns null when the line is not whole or not what was written
 */
export function readChainLine(line: string): ReadLine | null {
  const at = line.lastIndexOf(hashMember);
  if (at === -1) return null;
  const claimed = line.slice(at + hashMember.length, -2);
  if (!line.endsWith('"}') || claimed !== hash('sha256', line.slice(0, at))) return null;
  try {
    const parsed = JSON.parse(line) as { seq?: unknown; prev?: unknown }; // Checked member by member below.
    if (typeof parsed.seq !== 'number' || typeof parsed.prev !== 'string') return null;
    return { seq: parsed.seq, prev: parsed.prev, hash: claimed };
  } catch {
    return null;
  }
}
