// The folder for everything written at run time: keys, secrets, accounts. Made 0700; refused when others can enter it.
import { existsSync, mkdirSync, statSync, type Stats } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { StartFailure } from './start-failure.ts';

/**
 * Makes the data folder and its `run/` when they are missing.
 * Checks: it is a folder, belongs to this user, and nobody else may enter it.
 * Does not check: the modes of the files inside (whoever reads a secret does).
 * @throws StartFailure with the command that repairs it.
 */
export function prepareDataFolder(folder: string): void {
  const found = stat(folder);
  if (found === undefined) {
    make(folder);
  } else {
    checkFolder(folder, found);
  }
  mkdirSync(join(folder, 'run'), { recursive: true, mode: 0o700 });
}

function checkFolder(folder: string, found: Stats): void {
  if (!found.isDirectory())
    throw refuse(
      folder,
      'is not a folder.',
      'Move that file away, or choose another folder:  npm start -- --data DIR',
    );
  const uid = process.getuid?.();
  if (uid !== undefined && found.uid !== uid) {
    throw refuse(
      folder,
      `belongs to uid ${found.uid}, not to you (${userInfo().username}).`,
      `Take it over:  sudo chown -R ${userInfo().username} ${folder}`,
    );
  }
  const mode = found.mode & 0o777;
  if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
    throw refuse(
      folder,
      `is open to others (mode 0${mode.toString(8)}); it holds keys and passwords.`,
      `Close it:  chmod 700 ${folder}`,
    );
  }
}

function refuse(folder: string, problem: string, wayOut: string): StartFailure {
  return new StartFailure([
    `✗ The data folder ${folder}/ ${problem}`,
    `  ${wayOut}`,
    '  Setting: --data (default: data)',
  ]);
}

function make(folder: string): void {
  try {
    makeWithParents(resolve(folder));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'error';
    throw refuse(
      folder,
      `cannot be made (${code}).`,
      'Choose a folder that you may write:  npm start -- --data DIR',
    );
  }
}

// Node's own recursive form never returns where the kernel answers ENOENT for a parent that exists (/proc).
function makeWithParents(folder: string): void {
  const parent = dirname(folder);
  if (!existsSync(parent)) makeWithParents(parent);
  mkdirSync(folder, { mode: 0o700 });
}

function stat(folder: string): Stats | undefined {
  try {
    return statSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw refuse(
      folder,
      `cannot be entered (${(error as NodeJS.ErrnoException).code ?? 'error'}).`,
      'Choose another folder:  npm start -- --data DIR',
    );
  }
}
