// Checks an audit folder from its files alone: what was changed, removed, inserted or cut off, and where.
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import { chainStart, readChainLine, type ChainPosition } from './audit-chain.ts';
import { headPath, listAuditFiles, readHeads, type AuditFile } from './audit-files.ts';

/** One thing that is not as it was written. */
export interface AuditFinding {
  readonly file: string;
  /** 1-based; 0 when the finding is not about a line. */
  readonly line: number;
  /** `line_damaged`, `chain_broken`, `line_torn`, `truncated`, `head_differs`, `begins_late` or `anchor_missing`. */
  readonly code: string;
  readonly message: string;
}

/** One writer's chain. */
export interface VerifiedChain {
  readonly writer: string;
  readonly records: number;
  readonly first: number;
  readonly last: ChainPosition;
}

/** What a verification says; `ok` is false as soon as there is one finding. */
export interface AuditVerification {
  readonly ok: boolean;
  readonly chains: readonly VerifiedChain[];
  readonly findings: readonly AuditFinding[];
}

/**
 * Verifies every chain of a folder.
 * Checks: each line's hash, that each line follows the one before, that the files reach as far as the head says and
 * hold the record that it names, that the chain holds the anchors (positions noted elsewhere, e.g. from the gateway's log).
 * Does not check: that whoever can write the folder has not rewritten a whole chain and its head; only an anchor shows it.
 */
export async function verifyAuditLog(
  folder: string,
  options: { readonly anchors?: readonly ChainPosition[] } = {},
): Promise<AuditVerification> {
  // Heads before files: a gateway that goes on writing brings records to the disk before it says so in its head.
  const heads = readHeads(folder);
  const files = listAuditFiles(folder);
  const anchors = new Map((options.anchors ?? []).map((anchor) => [anchor.hash, anchor]));
  const findings: AuditFinding[] = [];
  const chains: VerifiedChain[] = [];
  for (const writer of new Set([...files.map((file) => file.writer), ...heads.keys()])) {
    const own = files.filter((file) => file.writer === writer);
    const head = heads.get(writer) ?? chainStart;
    const verifier = new ChainVerifier(anchors, head, findings);
    for (const file of own) await verifier.readFile(file);
    if (head.seq > verifier.last.seq) {
      const message = `records ${verifier.last.seq + 1} to ${head.seq} were written and are gone`;
      const file = basename(own.at(-1)?.path ?? headPath(folder, writer));
      findings.push({ file, line: 0, code: 'truncated', message });
    }
    if (own.length > 0)
      chains.push({ writer, records: verifier.records, first: verifier.first, last: verifier.last });
  }
  for (const anchor of anchors.values()) {
    const message = `no chain holds record ${anchor.seq} with the hash that was noted`;
    findings.push({ file: '', line: 0, code: 'anchor_missing', message });
  }
  return { ok: findings.length === 0, chains, findings };
}

class ChainVerifier {
  records = 0;
  first = 0;
  last: ChainPosition = chainStart;
  readonly #anchors: Map<string, ChainPosition>;
  readonly #head: ChainPosition;
  readonly #findings: AuditFinding[];

  constructor(anchors: Map<string, ChainPosition>, head: ChainPosition, findings: AuditFinding[]) {
    this.#anchors = anchors;
    this.#head = head;
    this.#findings = findings;
  }

  async readFile(file: AuditFile): Promise<void> {
    const name = basename(file.path);
    const stream = createReadStream(file.path, 'latin1');
    let lastByte = '\n';
    stream.on('data', (chunk) => (lastByte = String(chunk).at(-1) ?? lastByte));
    let number = 0;
    for await (const line of createInterface({ input: stream, crlfDelay: 0 })) {
      number++;
      this.#readLine(line, name, number);
    }
    if (lastByte !== '\n') this.#report(name, number, 'line_torn', 'the last line has no end');
  }

  #readLine(line: string, file: string, number: number): void {
    const read = readChainLine(line);
    if (read === null) {
      this.#report(file, number, 'line_damaged', 'this line is not as it was written');
      return;
    }
    if (this.records === 0) this.#readFirst(read, file, number);
    else if (read.seq !== this.last.seq + 1 || read.prev !== this.last.hash) {
      this.#report(
        file,
        number,
        'chain_broken',
        `record ${read.seq} does not follow record ${this.last.seq}`,
      );
    }
    if (read.seq === this.#head.seq && read.hash !== this.#head.hash) {
      this.#report(file, number, 'head_differs', `record ${read.seq} is not the one that the head names`);
    }
    this.records++;
    this.last = { seq: read.seq, hash: read.hash };
    this.#anchors.delete(read.hash);
  }

  // Older files may have been moved away; then the chain begins where it begins, and only that is said, unless an anchor
  // is the record before.
  #readFirst(read: ChainPosition & { readonly prev: string }, file: string, number: number): void {
    this.first = read.seq;
    if (read.seq === 1 && read.prev !== chainStart.hash) {
      this.#report(file, number, 'chain_broken', 'the first record does not begin a chain');
    }
    if (read.seq !== 1 && this.#anchors.get(read.prev)?.seq === read.seq - 1) this.#anchors.delete(read.prev);
    else if (read.seq !== 1)
      this.#report(file, number, 'begins_late', `the records before ${read.seq} are not here`);
  }

  #report(file: string, line: number, code: string, message: string): void {
    this.#findings.push({ file, line, code, message });
  }
}
