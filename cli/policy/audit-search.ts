// Finds one request in the audit log of a gateway, newest files first.
import { readFileSync } from 'node:fs';
import { readChainLine } from '../../gateway/accounting/audit-chain.ts';
import { listAuditFiles } from '../../gateway/accounting/audit-files.ts';

/** The record of a request; members as gateway/accounting/audit-record.ts writes them. */
export type RequestRecord = Readonly<Record<string, unknown>>;

/** The record, or null when no file of the folder holds it. A line that is not whole or was changed does not count. */
export function findRequest(folder: string, requestId: string): RequestRecord | null {
  if (!/^req_[A-Za-z0-9]{1,64}$/.test(requestId)) return null;
  const needle = `"request_id":"${requestId}`;
  const files = listAuditFiles(folder).toSorted((left, right) => right.day.localeCompare(left.day));
  for (const { path } of files) {
    const text = readFileSync(path, 'latin1'); // Lines are ASCII.
    for (
      let at = text.lastIndexOf(needle);
      at !== -1;
      at = at === 0 ? -1 : text.lastIndexOf(needle, at - 1)
    ) {
      const begin = text.lastIndexOf('\n', at) + 1;
      const end = text.indexOf('\n', at);
      const line = text.slice(begin, end === -1 ? undefined : end);
      if (readChainLine(line) !== null) return JSON.parse(line) as RequestRecord; // Its hash is right: our own words.
    }
  }
  return null;
}
