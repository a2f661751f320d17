// Tells when a policy directory may have changed: events of the file system for speed, and a look at the files' state
// every second for what events miss (links that lead elsewhere, network mounts, a directory made anew).
import { watch, type FSWatcher } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** What is watched, and how patiently. */
export interface DirectoryWatchOptions {
  readonly directory: string;
  /** Called after changes have been quiet for a moment. */
  readonly onChange: () => void;
  /** Between two looks at the files. */
  readonly pollMs: number;
  /** How long the directory must be quiet; editors and ConfigMap mounts change several entries in a row. */
  readonly quietMs: number;
}

/** A watch under way. */
export interface DirectoryWatch {
  close(): void;
}

/** Watches a directory of YAML files; never throws, never keeps the process alive. */
export function watchDirectory({
  directory,
  onChange,
  pollMs,
  quietMs,
}: DirectoryWatchOptions): DirectoryWatch {
  let watchers: FSWatcher[] = [];
  let watched = '';
  let last: string | null = null;
  let quiet: NodeJS.Timeout | undefined;
  let changedSince: number | null = null;
  let closed = false;

  const settle = (): void => {
    if (closed) return;
    // Under constant change the bundle is read after twenty quiet times all the same.
    changedSince ??= performance.now();
    if (quiet !== undefined && performance.now() - changedSince > quietMs * 20) return;
    clearTimeout(quiet);
    quiet = setTimeout(() => {
      quiet = undefined;
      changedSince = null;
      onChange();
    }, quietMs);
    quiet.unref();
  };

  /** The folder itself, and its parent: a directory that is a link is swapped there. */
  const rearm = (folder: string): boolean => {
    if (folder === watched) return false;
    for (const watcher of watchers) watcher.close();
    watched = folder;
    const folders = new Set([folder.split('\0')[0] ?? directory, dirname(directory)]);
    watchers = [...folders].flatMap((each) => {
      try {
        const watcher = watch(each, { persistent: false }, (_, name) => {
          if (each !== dirname(directory) || name === null || join(each, name) === join(directory)) settle();
        });
        watcher.on('error', () => watcher.close()); // The folder is gone; the poll sees the next one.
        return [watcher];
      } catch {
        return []; // No such folder now, or no watches left: the poll does it alone.
      }
    });
    return true;
  };

  const look = async (): Promise<void> => {
    const state = await stateOf(directory);
    if (closed) return;
    const isMoved = rearm(state.folder);
    // What changed between the look and the new watchers, or was still on its way to the old ones, is read now.
    if (isMoved) settle();
    if (last !== null && last !== state.files) settle();
    last = state.files;
  };
  let looking = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    void look().finally(() => (looking = false)); // Never rejects: stateOf answers for what it cannot read.
  }, pollMs);
  timer.unref();
  rearm(directory);
  void look();

  return {
    close() {
      closed = true;
      clearInterval(timer);
      clearTimeout(quiet);
      for (const watcher of watchers) watcher.close();
    },
  };
}

/** Which folder it is (path and inode), and what identifies the content of its YAML files without reading them. */
async function stateOf(directory: string): Promise<{ folder: string; files: string }> {
  try {
    const real = await realpath(directory);
    const { ino } = await stat(real);
    const names = (await readdir(real))
      .filter((name) => name.endsWith('.yaml') || name.endsWith('.yml'))
      .toSorted();
    const files = await Promise.all(names.map((name) => fileState(join(real, name))));
    return { folder: `${real}\0${ino}`, files: files.join('\n') };
  } catch {
    return { folder: directory, files: 'unreadable' };
  }
}

async function fileState(path: string): Promise<string> {
  try {
    const { ino, size, mtimeMs, ctimeMs } = await stat(path);
    return `${path} ${ino} ${size} ${mtimeMs} ${ctimeMs}`;
  } catch {
    return `${path} gone`;
  }
}
