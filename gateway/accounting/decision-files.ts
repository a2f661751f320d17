// The files of a decision log, `<writer>.<start>.jsonl`: which there are, which are too old or too many, and what they
// say. A start of the gateway and every full file begin a new one.
import { createReadStream, readdirSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Principal } from '../principal.ts';
import type { DecisionRecord } from './decision-record.ts';

const filePattern = /^[a-z0-9-]+\.(\d{8}T\d{9}Z-\d{6,})\.jsonl$/;

/** One file. */
export interface DecisionFile {
  readonly path: string;
  /** `20261122T101407123Z-000001`: files in this order are in the order of time. */
  readonly start: string;
  readonly bytes: number;
  /** Epoch ms of the last line. */
  readonly changedAt: number;
}

/** A decision and whom it was about. */
export interface RecordedDecision extends DecisionRecord {
  readonly principal: Principal;
  /** Claims that were not kept. */
  readonly omitted: readonly string[];
}

/** Where a file that begins now is written. */
export function decisionFilePath(folder: string, writer: string, nowMs: number, count: number): string {
  const start = new Date(nowMs).toISOString().replaceAll(/[-:.]/g, '');
  return join(folder, `${writer}.${start}-${String(count).padStart(6, '0')}.jsonl`);
}

/** The files of a folder, oldest first; none when there is no folder. */
export function listDecisionFiles(folder: string): DecisionFile[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  return names
    .flatMap((name): DecisionFile[] => {
      const [, start] = filePattern.exec(name) ?? [];
      if (start === undefined) return [];
      const path = join(folder, name);
      try {
        const { size, mtimeMs } = statSync(path);
        return [{ path, start, bytes: size, changedAt: mtimeMs }];
      } catch {
        return []; // Another worker has removed it.
      }
    })
    .toSorted((left, right) => left.start.localeCompare(right.start));
}

/** What a folder may hold. */
export interface DecisionRetention {
  readonly keepMs: number;
  readonly maxBytes: number;
}

/** Removes what is older than it may be, and the oldest files beyond the size. Never rejects. */
export async function pruneDecisionFiles(
  folder: string,
  { keepMs, maxBytes }: DecisionRetention,
  nowMs: number,
): Promise<void> {
  let bytes = 0;
  for (const file of listDecisionFiles(folder).toReversed()) {
    bytes += file.bytes;
    if (bytes > maxBytes || file.changedAt < nowMs - keepMs)
      await rm(file.path, { force: true }).catch(() => undefined);
  }
}

/**
 * Reads the decisions since a time, file by file.
 * Checks: that a line is JSON with a principal that the file has named. Does not check: who wrote it (the folder is 0700).
 * Lines that are not whole are passed over; the last of a crashed gateway is one.
 */
export async function* readDecisions(folder: string, sinceMs: number): AsyncGenerator<RecordedDecision> {
  for (const file of listDecisionFiles(folder)) {
    if (file.changedAt < sinceMs) continue;
    for await (const decision of decisionsIn(file)) if (decision.at >= sinceMs) yield decision;
  }
}

/** The decisions of one file; with an id, only that one, and no other line is parsed. */
async function* decisionsIn({ path }: DecisionFile, requestId?: string): AsyncGenerator<RecordedDecision> {
  const principals = new Map<number, Pick<RecordedDecision, 'principal' | 'omitted'>>();
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    const isPrincipal = line.startsWith('{"principal":');
    if (requestId !== undefined && !isPrincipal && !line.startsWith(`{"id":"${requestId}"`)) continue;
    const read = objectIn(line);
    if (read === null) continue;
    if (typeof read['principal'] === 'number') {
      principals.set(read['principal'], readPrincipal(read));
      continue;
    }
    const known = principals.get(Number(read['p']));
    if (known === undefined || typeof read['at'] !== 'number') continue;
    yield {
      ...(read as unknown as DecisionRecord),
      facts: (read['facts'] ?? null) as DecisionRecord['facts'],
      ...known,
    }; // Our own line: decision-record.ts wrote it.
  }
}

/** The decision of one request, newest files first; null when no file holds it. */
export async function findDecision(folder: string, requestId: string): Promise<RecordedDecision | null> {
  if (!/^req_[A-Za-z0-9]{1,64}$/.test(requestId)) return null;
  for (const file of listDecisionFiles(folder).toReversed()) {
    for await (const decision of decisionsIn(file, requestId)) return decision;
  }
  return null;
}

function objectIn(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null; // Narrowed.
  } catch {
    return null;
  }
}

function readPrincipal(read: Record<string, unknown>): Pick<RecordedDecision, 'principal' | 'omitted'> {
  const text = (name: string): string | null => (typeof read[name] === 'string' ? read[name] : null);
  const texts = (name: string): string[] =>
    Array.isArray(read[name]) ? read[name].filter((each) => typeof each === 'string') : [];
  const claims = read['claims'];
  const principal: Principal = {
    issuerName: text('issuer') ?? '',
    issuer: text('iss') ?? '',
    subject: text('subject') ?? '',
    key: text('key') ?? '',
    clientId: text('client_id'),
    tenantId: text('tenant_id'),
    roles: new Set(texts('roles')),
    groups: new Set(texts('groups')),
    groupsUnknown: read['groups_unknown'] === true,
    identityType: identityTypes.find((type) => type === text('identity_type')),
    scopes: new Set(texts('scopes')),
    acr: text('acr'),
    amr: texts('amr'),
    authTime: typeof read['auth_time'] === 'number' ? read['auth_time'] : null,
    credential: { kind: kindOf(text('credential')), id: null, issuedAt: null },
    binding: null,
    expiresAt: Number.POSITIVE_INFINITY,
    claims: typeof claims === 'object' && claims !== null ? (claims as Record<string, unknown>) : {}, // Narrowed.
  };
  return { principal, omitted: texts('omitted') };
}

const identityTypes = ['user', 'app', 'unproven'] as const;
const kinds = ['access_token', 'api_key', 'client_certificate', 'password'] as const;
const kindOf = (text: string | null): Principal['credential']['kind'] =>
  kinds.find((kind) => kind === text) ?? 'none';
