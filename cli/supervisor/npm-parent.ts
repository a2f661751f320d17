// Whether the npm that started this process still lives. npm puts a shell between, which outlives an npm that was
// killed; some shells replace themselves by the command, and then the parent is npm itself.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** A test for "npm is gone", or undefined when npm did not start this process. */
export function npmWatcher(env: NodeJS.ProcessEnv = process.env): (() => boolean) | undefined {
  if (env['npm_lifecycle_event'] === undefined) return undefined;
  const parent = process.ppid;
  const npm = parentOfShell(parent);
  return () => process.ppid !== parent || (npm !== undefined && !isAlive(npm));
}

/** The parent of `pid` where that is the shell in which npm runs the script; the parent of npm itself is not watched. */
function parentOfShell(pid: number): number | undefined {
  try {
    const { parent, command } = process.platform === 'linux' ? fromProc(pid) : fromPs(pid);
    return / -c .*start\.mjs/.test(command) && parent > 1 ? parent : undefined;
  } catch {
    return undefined; // It cannot be found out here; the parent alone is watched.
  }
}

interface ParentAndCommand {
  readonly parent: number;
  readonly command: string;
}

function fromProc(pid: number): ParentAndCommand {
  const parent = /^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return {
    parent: Number(parent),
    command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '),
  };
}

function fromPs(pid: number): ParentAndCommand {
  const line = execFileSync('ps', ['-o', 'ppid=,args=', '-p', String(pid)], { encoding: 'utf8' });
  const [, parent, command = ''] = /^\s*(\d+)\s+(.*)/.exec(line) ?? [];
  return { parent: Number(parent), command };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
