// Started by audit-log.test.ts: appends records to the folder named by its argument until it is killed.
import { pino } from 'pino';
import { createAuditLog } from '../../../gateway/accounting/audit-log.ts';

const auditLog = createAuditLog(process.argv[2] ?? '', { log: pino({ level: 'silent' }) });
let number = 0;
setInterval(() => {
  for (let count = 0; count < 200; count++)
    auditLog.append({ event: 'request', number: number++, text: 'x'.repeat(200) });
  process.send?.(number);
}, 5);
