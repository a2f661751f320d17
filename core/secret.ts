// Secrets never stand in YAML: a setting holds `env:NAME` or `file:/path`, resolved here at start.
import { readFileSync } from 'node:fs';
import { z } from 'zod';

/** Schema of a reference to a secret. */
export const secretReference = z
  .string()
  .regex(
    /^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$/,
    'a secret is given as env:NAME or file:/path, never in the file itself',
  );

/**
 * Reads a secret; a trailing newline of a file is dropped.
 * @throws Error whose message names the reference, never the secret.
 */
export function readSecret(reference: string): string {
  if (reference.startsWith('env:')) {
    const value = process.env[reference.slice(4)];
    if (value === undefined || value === '')
      throw new Error(`the environment variable ${reference.slice(4)} is not set`);
    return value;
  }
  const path = reference.slice('file:'.length);
  let value: string;
  try {
    value = readFileSync(path, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    throw new Error(
      `the secret file ${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'})`,
      { cause: error },
    );
  }
  if (value === '') throw new Error(`the secret file ${path} is empty`);
  return value;
}
