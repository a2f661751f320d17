// How an audit log goes on after a restart: where the chain stands, and what a crash or a hand left at its end.
import { appendFileSync, truncateSync } from 'node:fs';
import { basename } from 'node:path';
import { chainStart, type ChainPosition } from './audit-chain.ts';
import { listAuditFiles, readHead, readTail } from './audit-files.ts';

/** What was found at the end of the chain; each finding becomes a record of its own. */
export interface StartFinding {
  readonly event: 'audit.repaired' | 'audit.truncated' | 'audit.damaged';
  readonly [member: string]: string | number;
}

/** Where the next record goes. */
export interface StartState {
  readonly position: ChainPosition;
  /** Day of the newest file; a clock that went back does not reopen an older one. */
  readonly day: string;
  readonly findings: readonly StartFinding[];
}

/**
 * Looks at the end of a writer's chain and cuts off a line that a crash left half written.
 * Checks: the last whole line's hash; that the file reaches as far as the head says.
 * Does not check: the chain before its end (verifyAuditLog does).
 */
export function findStart(folder: string, writer: string): StartState {
  const files = listAuditFiles(folder).filter((file) => file.writer === writer);
  const { found, findings } = readEnd(files.map((file) => file.path));
  const head = readHead(folder, writer);
  const day = files.at(-1)?.day ?? '';
  if (head === null || head.seq <= (found?.seq ?? 0)) return { position: found ?? chainStart, day, findings };
  if (!findings.some(({ event }) => event === 'audit.damaged')) {
    findings.push({ event: 'audit.truncated', last_found: found?.seq ?? 0, last_written: head.seq });
  }
  return { position: head, day, findings };
}

/** The last whole record; a file begun on a new day may have no line yet, then the one before it has. */
function readEnd(paths: readonly string[]): { found: ChainPosition | null; findings: StartFinding[] } {
  const findings: StartFinding[] = [];
  for (const path of paths.toReversed()) {
    const tail = readTail(path);
    if (tail.tornBytes > 0) {
      truncateSync(path, tail.wholeBytes);
      findings.push({ event: 'audit.repaired', torn_bytes: tail.tornBytes });
    }
    if (!tail.endsLine) appendFileSync(path, '\n');
    if (tail.last === 'unreadable') {
      findings.push({ event: 'audit.damaged', file: basename(path) });
      return { found: null, findings };
    }
    if (tail.last !== null) return { found: tail.last, findings };
  }
  return { found: null, findings };
}
