// What can be seen to be wrong before any server is started: secrets, certificates and model files that cannot be read.
import { closeSync, openSync, readSync } from 'node:fs';
import { secretReference, readSecret } from '../../core/secret.ts';
import type { Configuration } from '../compose.ts';
import { settingLine, StartFailure, type ServerName } from './start-failure.ts';

/**
 * Checks what the named servers will read.
 * Checks: every `env:` and `file:` reference resolves, the socket path is short enough, certificate and key files open, model files are GGUF.
 * Does not check: that a certificate fits its key, that a model can be loaded, policies (the servers do).
 * @throws StartFailure for the first fault, with its setting.
 */
export function preflight(configuration: Configuration, servers: readonly ServerName[]): void {
  const sections: [ServerName, string, unknown][] = [
    ['gateway', 'gateway', configuration.gateway],
    ['identity', 'identity', configuration.identity],
    ['model-server', 'model_server', configuration.modelServer],
  ];
  for (const [server, keyPath, section] of sections) {
    if (servers.includes(server)) checkLeaves(section, keyPath, configuration);
  }
  checkSocketPath(configuration);
  if (servers.includes('model-server')) checkModels(configuration);
}

// The kernel's own limit: 108 bytes with the final zero on Linux, 104 on macOS.
const longestSocketPath = 103;

function checkSocketPath(configuration: Configuration): void {
  const listen = configuration.modelServer?.listen;
  if (listen?.kind !== 'unix' || Buffer.byteLength(listen.path) <= longestSocketPath) return;
  throw new StartFailure([
    `✗ The path of a Unix socket has at most ${longestSocketPath} bytes; this one has ${Buffer.byteLength(listen.path)}:`,
    `  ${listen.path}`,
    '  Use a folder with a shorter path:  npm start -- --data DIR',
    settingLine('model_server.listen', configuration),
  ]);
}

function checkLeaves(value: unknown, keyPath: string, configuration: Configuration): void {
  if (typeof value === 'string') {
    if (secretReference.safeParse(value).success) checkSecret(value, keyPath, configuration);
    else if (
      /\.(tls\.(cert|key|client_ca|client_crl)|issuer_ca|ca)$/.test(keyPath) &&
      !isMadeByStart(value, configuration)
    )
      checkReadable(value, keyPath, configuration);
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  for (const [key, child] of Object.entries(value)) checkLeaves(child, `${keyPath}.${key}`, configuration);
}

/** The certificates of `--tls` are made when the data folder is locked, after this check. */
function isMadeByStart(file: string, configuration: Configuration): boolean {
  return configuration.localTls !== undefined && file.startsWith(`${configuration.localTls.folder}/`);
}

function checkSecret(reference: string, keyPath: string, configuration: Configuration): void {
  try {
    readSecret(reference);
  } catch (error) {
    const problem = error instanceof Error ? error.message : 'it cannot be read';
    const wayOut = reference.startsWith('env:')
      ? `Set it before the start:  ${reference.slice('env:'.length)}=… npm start`
      : 'Write the secret into that file (mode 0600), readable by this user.';
    throw new StartFailure([
      `✗ A secret is missing: ${problem}.`,
      `  ${wayOut}`,
      settingLine(keyPath, configuration),
    ]);
  }
}

function checkReadable(file: string, keyPath: string, configuration: Configuration): void {
  const problem = openProblem(file);
  if (problem === undefined) return;
  throw new StartFailure([
    `✗ The file ${file} ${problem}.`,
    '  Give a PEM file that this user may read; docs/how-to/tls.md shows how to make one.',
    settingLine(keyPath, configuration),
  ]);
}

function checkModels(configuration: Configuration): void {
  for (const [id, model] of Object.entries(configuration.modelServer?.models ?? {})) {
    const problem =
      openProblem(model.path) ?? (startsWithGguf(model.path) ? undefined : 'is not a GGUF model');
    if (problem === undefined) continue;
    throw new StartFailure([
      `✗ The model file ${model.path} ${problem}.`,
      '  Give the path of a GGUF file, or fetch one:  npx sallyport model pull gpt2',
      settingLine(`model_server.models.${id}.path`, configuration),
    ]);
  }
}

function startsWithGguf(file: string): boolean {
  const descriptor = openSync(file, 'r');
  try {
    const magic = Buffer.alloc(4);
    return readSync(descriptor, magic) === 4 && magic.toString('latin1') === 'GGUF';
  } catch {
    return false; // A folder opens but does not read.
  } finally {
    closeSync(descriptor);
  }
}

function openProblem(file: string): string | undefined {
  try {
    closeSync(openSync(file, 'r'));
    return undefined;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'ENOENT' ? 'does not exist' : `cannot be read (${code ?? 'error'})`;
  }
}
