// Who listens on a TCP port of this machine, where the kernel tells (Linux: /proc). Best effort: undefined elsewhere.
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

export interface PortHolder {
  readonly pid: number;
  readonly program: string;
}

/** Finds the process that listens on a port; only processes that this user may look into are found. */
export function portHolder(port: number): PortHolder | undefined {
  if (process.platform !== 'linux') return undefined;
  const sockets = new Set(
    ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) => listeningInodes(table, port)),
  );
  if (sockets.size === 0) return undefined;
  for (const pid of list('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const descriptor of list(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(link(`/proc/${pid}/fd/${descriptor}`))?.[1];
      if (inode !== undefined && sockets.has(inode)) return { pid: Number(pid), program: programOf(pid) };
    }
  }
  return undefined;
}

// Not `comm`: a Node process calls its first thread MainThread there.
function programOf(pid: string): string {
  return basename(read(`/proc/${pid}/cmdline`).split('\0')[0] ?? '') || read(`/proc/${pid}/comm`).trim();
}

function listeningInodes(table: string, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return read(table)
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[1]?.endsWith(suffix) === true && fields[3] === '0A')
    .flatMap((fields) => fields[9] ?? []);
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // Gone, or somebody else's.
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
