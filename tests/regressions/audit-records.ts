// The audit records that a gateway under test has written so far.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface AuditRecord {
  readonly event: string;
  readonly request_id?: string;
  readonly code?: string;
  readonly route?: string | null;
  readonly [member: string]: unknown;
}

/** All records of requests, once there are `count` and nothing has been added for a moment. */
export async function readAuditRecords(
  gateway: { readonly auditFolder: string },
  count = 0,
): Promise<AuditRecord[]> {
  for (let attempt = 0, text = ''; ; attempt++) {
    await sleep(60);
    const now = auditText(gateway);
    const records = requestsIn(now);
    if (attempt > 80 || (now === text && records.length >= count)) return records;
    text = now;
  }
}

/** Only whole lines: the last one may be under way. A whole line that is no record throws. */
function requestsIn(text: string): AuditRecord[] {
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AuditRecord) // Written by the gateway, read by tests.
    .filter(({ event }) => event === 'request');
}

/** The records of these answers, by their `x-request-id`, once every one has been written. */
export async function auditRecordsOf(
  gateway: { readonly auditFolder: string },
  answers: readonly { readonly head: string }[],
): Promise<AuditRecord[]> {
  const ids = new Set(answers.map(({ head }) => /\r\nx-request-id: (\S+)\r\n/i.exec(head)?.[1]));
  for (let attempt = 0; ; attempt++) {
    const found = requestsIn(auditText(gateway)).filter((record) => ids.has(record.request_id));
    if (found.length >= ids.size || attempt > 100) return found;
    await sleep(20);
  }
}

/** The files as they are. */
export function auditText({ auditFolder }: { readonly auditFolder: string }): string {
  return readdirSync(auditFolder)
    .filter((name) => name.endsWith('.jsonl'))
    .sort()
    .map((name) => readFileSync(join(auditFolder, name), 'utf8'))
    .join('');
}
