// Looks at a model file before an engine is started for it, so that a wrong path is one clear sentence.
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { packageVersion } from '../core/package.ts';

/** What is known of a file that may be a model. */
export interface ModelFile {
  /** Unix seconds of the last change. */
  readonly created: number;
  readonly fingerprint: string;
}

const headBytes = 65_536;

/**
 * Reads the beginning of the file at `path`.
 * Checks: it exists, can be read, is a file and begins as GGUF does. Does not check: that it is whole (the engine does).
 * @throws Error that begins with `setting`.
 */
export function inspectModelFile(path: string, setting: string): ModelFile {
  const head = Buffer.alloc(headBytes);
  let size: number;
  let modifiedAtMs: number;
  let length: number;
  try {
    const descriptor = openSync(path, 'r');
    try {
      const status = fstatSync(descriptor);
      if (!status.isFile()) throw Object.assign(new Error(), { code: 'EISDIR' });
      [size, modifiedAtMs] = [status.size, status.mtimeMs];
      length = readSync(descriptor, head, 0, headBytes, 0);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw new Error(`${setting}: ${sentenceOf((error as NodeJS.ErrnoException).code, path)}`, {
      cause: error,
    });
  }
  if (head.toString('latin1', 0, 4) !== 'GGUF') {
    throw new Error(
      `${setting}: ${path} is not a GGUF model file; fetch one with: sallyport model pull gpt2`,
    );
  }
  const hash = createHash('sha256')
    .update(head.subarray(0, length))
    .update(`${size} ${packageVersion}`)
    .digest('hex');
  return { created: Math.floor(modifiedAtMs / 1000), fingerprint: `fp_${hash.slice(0, 10)}` };
}

function sentenceOf(code: string | undefined, path: string): string {
  if (code === 'ENOENT') return `${path} does not exist; fetch a model with: sallyport model pull gpt2`;
  if (code === 'EISDIR') return `${path} is a folder, not a model file`;
  return `${path} cannot be read (${code ?? 'error'})`;
}
