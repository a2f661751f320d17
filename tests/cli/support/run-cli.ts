// Runs the command line from source as a child process, in its own home, and records what it wrote.
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const main = join(import.meta.dirname, '../../../cli/main.ts');

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly nodeFlags?: readonly string[];
}

/** A home folder for one test file: state and configuration lie in it. */
export interface CliHome {
  readonly folder: string;
  readonly stateFolder: string;
  readonly env: Readonly<Record<string, string>>;
  run: (words: readonly string[], options?: RunOptions) => Promise<CliResult>;
  start: (words: readonly string[], options?: RunOptions) => ChildProcessWithoutNullStreams;
  remove: () => void;
}

export function createHome(): CliHome {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-cli-'));
  const stateFolder = join(folder, 'state');
  const env = { PATH: process.env['PATH'] ?? '', HOME: folder, SALLYPORT_STATE_DIR: stateFolder };
  const start: CliHome['start'] = (words, options = {}) =>
    spawn(process.execPath, [...(options.nodeFlags ?? []), main, ...words], {
      env: { ...env, ...options.env },
      cwd: folder,
    });
  const run: CliHome['run'] = async (words, options = {}) => {
    const child = start(words, options);
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.stdin ?? '');
    return finish(child);
  };
  return {
    folder,
    stateFolder,
    env,
    run,
    start,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

export function finish(child: ChildProcessWithoutNullStreams): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** Resolves when the child has written something that matches. */
export function waitFor(child: ChildProcessWithoutNullStreams, pattern: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    let seen = '';
    const onText = (chunk: Buffer | string): void => {
      seen += String(chunk);
      if (pattern.test(seen)) resolve();
    };
    child.stdout.on('data', onText);
    child.stderr.on('data', onText);
    child.on('close', () => reject(new Error(`ended without ${String(pattern)}: ${seen}`)));
  });
}
