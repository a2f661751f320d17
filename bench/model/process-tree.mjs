// CPU time and memory of a process and all its children, from Linux's /proc: a model server is more than one process.
import { readFileSync, readdirSync } from 'node:fs';

/** CPU seconds (user and system) so far and resident bytes now; null where there is no /proc. */
export function treeUsage(processId) {
  let cpuSeconds = 0;
  let residentBytes = 0;
  for (const id of treeOf(processId)) {
    try {
      // After the name in parentheses, which may hold spaces: field 14 and 15 are user and system time in ticks of 10 ms.
      const fields = readFileSync(`/proc/${id}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ');
      cpuSeconds += (Number(fields[11]) + Number(fields[12])) / 100;
      residentBytes += Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${id}/status`, 'utf8'))?.[1] ?? 0) * 1024;
    } catch {
      // It has just ended.
    }
  }
  return residentBytes === 0 ? null : { cpuSeconds, residentBytes };
}

function treeOf(processId) {
  const children = [];
  try {
    for (const thread of readdirSync(`/proc/${processId}/task`))
      children.push(
        ...readFileSync(`/proc/${processId}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean),
      );
  } catch {
    // It has ended, or there is no /proc.
  }
  return [String(processId), ...children.flatMap(treeOf)];
}
