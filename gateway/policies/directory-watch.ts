// Tells when a policy directory may have changed: events of the file system for speed, and a look at the files' state
// every second for what events miss (links that lead elsewhere, network mounts, a directory made anew).
import { readdirSync, realpathSync, statSync, watch, type FSWatcher, type Stats } from 'node:fs';
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

/**
 * Watches a directory of YAML files; never throws, never keeps the process alive. It knows the state at its own creation,
 * so whoever reads the files afterwards misses no change, and is not told of what he has read.
 */
export function watchDirectory({
  directory,
  onChange,
  pollMs,
  quietMs,
}: DirectoryWatchOptions): DirectoryWatch {
  let watchers: FSWatcher[] = [];
  let watched = '';
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
    if (last !== state.files) settle();
    last = state.files;
  };
  let looking = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    void look().finally(() => (looking = false)); // Never rejects: stateOf answers for what it cannot read.
  }, pollMs);
  timer.unref();
  const first = stateNow(directory);
  rearm(first.folder);
  let last = first.files;

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
interface DirectoryState {
  readonly folder: string;
  readonly files: string;
}

const isYaml = (name: string): boolean => name.endsWith('.yaml') || name.endsWith('.yml');
const unreadable = (directory: string): DirectoryState => ({ folder: directory, files: 'unreadable' });
const inWords = (path: string, { ino, size, mtimeMs, ctimeMs }: Stats): string =>
  `${path} ${ino} ${size} ${mtimeMs} ${ctimeMs}`;

async function stateOf(directory: string): Promise<DirectoryState> {
  try {
    const real = await realpath(directory);
    const { ino } = await stat(real);
    const names = (await readdir(real)).filter(isYaml).toSorted();
    const files = await Promise.all(names.map((name) => fileState(join(real, name))));
    return { folder: `${real}\0${ino}`, files: files.join('\n') };
  } catch {
    return unreadable(directory);
  }
}

async function fileState(path: string): Promise<string> {
  try {
    return inWords(path, await stat(path));
  } catch {
    return `${path} gone`;
  }
}

/** The same at once, for the first time: nothing may change between it and what the caller then reads. */
function stateNow(directory: string): DirectoryState {
  try {
    const real = realpathSync(directory);
    const { ino } = statSync(real);
    const files = readdirSync(real)
      .filter(isYaml)
      .toSorted()
      .map((name) => fileStateNow(join(real, name)));
    return { folder: `${real}\0${ino}`, files: files.join('\n') };
  } catch {
    return unreadable(directory);
  }
}

function fileStateNow(path: string): string {
  try {
    return inWords(path, statSync(path));
  } catch {
    return `${path} gone`;
  }
}
