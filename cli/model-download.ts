// Fetches one model file: asks the server first, downloads through node-llama-cpp (which resumes), checks the SHA-256,
// and only then gives the file its name. No sign-in, no gateway.
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { open, readFile, truncate, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { exitCodes } from './exit-codes.ts';
import { CommandFailure } from './failure.ts';

/** Models known by a short name. */
export const knownModels: Readonly<Record<string, string>> = {
  gpt2: 'hf:QuantFactory/gpt2-GGUF/gpt2.Q8_0.gguf',
  'gpt2-medium': 'hf:mradermacher/gpt2-medium-GGUF/gpt2-medium.Q8_0.gguf',
};

/** Checksums of files that ship with the project. */
export const shippedChecksums: Readonly<Record<string, string>> = {
  'tiny-gpt2.gguf': '97e5a17704071f56e73a67641f7cfa7c262e95e47ed876178f6d634e670d1947',
};

const defaultEndpoint = 'https://huggingface.co/';

/** What to fetch and where to. */
export interface ModelSource {
  /** The model's id in the configuration. */
  readonly id: string;
  readonly url: string;
  readonly fileName: string;
}

/** How far a download is. */
export interface DownloadProgress {
  readonly receivedBytes: number;
  readonly totalBytes: number;
}

/** One file to fetch. */
export interface DownloadRequest {
  readonly source: ModelSource;
  readonly directory: string;
  /** Lower-case hex. */
  readonly expectedSha256: string | undefined;
  readonly signal: AbortSignal;
  readonly onPhase: (phase: string) => void;
  readonly onProgress: (progress: DownloadProgress) => void;
  /** Silence after which a download is given up; it resumes when the command runs again. */
  readonly stallMs: number;
}

/** A file that is there and checked. */
export interface DownloadedModel {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Whose checksum it was compared with: the caller's, the hub's, or nobody's. */
  readonly verifiedBy: 'given' | 'hub' | null;
}

/**
 * Reads `gpt2`, `hf:owner/repository/file.gguf` or a URL.
 * @throws CommandFailure for anything else, and for plain http beyond loopback without a checksum.
 */
export function resolveSource(
  what: string,
  options: { endpoint?: string | undefined; hasChecksum: boolean },
): ModelSource {
  const address = knownModels[what] ?? what;
  const fromHub = /^hf:\/{0,2}([\w.-]+)\/([\w.-]+)\/([\w./-]+\.gguf)(?:#([\w./-]+))?$/.exec(address);
  if (fromHub !== null) {
    const [, owner = '', repository = '', path = '', revision = 'main'] = fromHub;
    const endpoint = (options.endpoint ?? process.env['HF_ENDPOINT'] ?? defaultEndpoint).replace(/\/*$/, '/');
    return named(
      what,
      `${endpoint}${owner}/${repository}/resolve/${encodeURIComponent(revision)}/${path}`,
      options.hasChecksum,
    );
  }
  if (/^https?:\/\//.test(address)) return named(what, address, options.hasChecksum);
  throw new CommandFailure(exitCodes.usage, `There is no model ${what}.`, {
    code: 'unknown_model',
    hints: [
      `Known names: ${Object.keys(knownModels).join(', ')}.`,
      'Or give hf:owner/repository/file.gguf, or the https address of a GGUF file.',
    ],
  });
}

function named(what: string, url: string, hasChecksum: boolean): ModelSource {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new CommandFailure(exitCodes.usage, `${url} is not an address.`, { code: 'unknown_model' });
  }
  const isLoopback = /^(localhost|127\.[\d.]+|\[::1\])$/.test(parsed.hostname);
  if (parsed.protocol === 'http:' && !isLoopback && !hasChecksum) {
    throw new CommandFailure(exitCodes.usage, 'Over plain http anybody on the way can swap the file.', {
      code: 'insecure_source',
      hints: ['Use https, or give the checksum that the file must have: --sha256 <hex>'],
    });
  }
  const ending = decodeURIComponent(basename(parsed.pathname));
  const id =
    what in knownModels
      ? what
      : ending
          .replace(/\.gguf$/i, '')
          .replaceAll(/[^A-Za-z0-9._-]/g, '-')
          .replace(/^[^A-Za-z0-9]+/, '');
  if (id === '')
    throw new CommandFailure(exitCodes.usage, `${url} names no file.`, { code: 'unknown_model' });
  return { id, url: parsed.href, fileName: `${id}.gguf` };
}

/**
 * Downloads, checks and names the file.
 * Checks: GGUF magic, SHA-256 against the given checksum, else against the hub's. Does not check: that the model works.
 * @throws CommandFailure
 */
export async function downloadModel(request: DownloadRequest): Promise<DownloadedModel> {
  const { source, directory, onPhase } = request;
  const path = join(directory, source.fileName);
  prepareFolder(directory);
  if (existsSync(path)) return checkExisting(path, request);
  onPhase(`asking ${new URL(source.url).host}`);
  const offered = await askServer(source.url, request.signal);
  const partial = `${path}.part`;
  const expected = request.expectedSha256 ?? offered.sha256;
  onPhase(`downloading ${source.fileName}`);
  const sha256 = await transferAndCheck(request, partial, expected).catch(async (error: unknown) => {
    if (!(error instanceof CommandFailure) || error.code !== 'checksum_mismatch') throw error;
    onPhase('its checksum is wrong: once more from the beginning');
    return transferAndCheck(request, partial, expected);
  });
  renameSync(partial, path);
  await writeFile(`${path}.sha256`, `${sha256}  ${source.fileName}\n`);
  const verifiedBy =
    request.expectedSha256 === undefined ? (offered.sha256 === undefined ? null : 'hub') : 'given';
  return { path, bytes: statSync(path).size, sha256, verifiedBy };
}

async function transferAndCheck(
  request: DownloadRequest,
  partial: string,
  expected: string | undefined,
): Promise<string> {
  const bytes = await transfer(request, basename(partial));
  request.onPhase('checking');
  try {
    // ipull notes behind the file what has arrived, and on a busy machine the last note may come after its own cut.
    if (bytes > 0 && statSync(partial).size > bytes) await truncate(partial, bytes);
    return await checkFile(partial, expected);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  }
}

async function checkExisting(
  path: string,
  { expectedSha256, onPhase }: DownloadRequest,
): Promise<DownloadedModel> {
  onPhase(`${path} is there already; checking it`);
  const expected = expectedSha256 ?? (await recordedSha256(path));
  const sha256 = await checkFile(path, expected);
  return {
    path,
    bytes: statSync(path).size,
    sha256,
    verifiedBy: expectedSha256 === undefined ? null : 'given',
  };
}

function prepareFolder(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException; // Every failure of the file system has one.
    throw new CommandFailure(
      exitCodes.usage,
      `The folder ${directory} cannot be created (${code ?? 'error'}).`,
      { code: 'no_folder' },
    );
  }
}

/** Asks for the file's head, so that a wrong address or a missing network is known at once; follows redirects itself to see the hub's checksum. */
async function askServer(url: string, signal: AbortSignal): Promise<{ sha256: string | undefined }> {
  let address = url;
  let sha256: string | undefined;
  for (let hop = 0; hop < 6; hop++) {
    const response = await fetch(address, {
      method: 'HEAD',
      redirect: 'manual',
      headers: { 'accept-encoding': 'identity' },
      signal: AbortSignal.any([signal, AbortSignal.timeout(15_000)]),
    }).catch((error: unknown) => {
      throw unreachable(address, error);
    });
    // The hub's ETag of a large file is the SHA-256 of its content; it stands on the redirect to the storage.
    sha256 ??= /^"?([0-9a-f]{64})"?$/.exec(response.headers.get('x-linked-etag') ?? '')?.[1];
    const next = response.headers.get('location');
    if (response.status < 300 || response.status >= 400 || next === null) {
      if (!response.ok && response.status !== 405 && response.status !== 501)
        throw refused(address, response.status);
      return { sha256 };
    }
    const target = new URL(next, address);
    if (address.startsWith('https:') && target.protocol !== 'https:') {
      throw new CommandFailure(exitCodes.unreachable, `${new URL(address).host} redirects to plain http.`, {
        code: 'insecure_source',
      });
    }
    address = target.href;
  }
  throw new CommandFailure(exitCodes.unreachable, `${new URL(url).host} redirects without end.`, {
    code: 'download_failed',
  });
}

function unreachable(address: string, error: unknown): CommandFailure {
  const cause = (error as { cause?: { code?: string } }).cause?.code ?? (error as Error).name;
  const reasons: Readonly<Record<string, string>> = {
    ENOTFOUND: 'its name is unknown here; is there a network?',
    EAI_AGAIN: 'its name cannot be looked up; is there a network?',
    ECONNREFUSED: 'nothing listens there',
    TimeoutError: 'it does not answer within 15 s',
  };
  return new CommandFailure(
    exitCodes.unreachable,
    `${new URL(address).host} cannot be reached: ${reasons[cause] ?? cause}.`,
    {
      code: 'download_unreachable',
      hints: ['Without a network, copy a GGUF file into the folder and name it in config/sallyport.yaml.'],
    },
  );
}

function refused(address: string, status: number): CommandFailure {
  const { host, pathname } = new URL(address);
  if (status === 404 || status === 410) {
    return new CommandFailure(exitCodes.unreachable, `${host} has no file ${pathname}.`, {
      code: 'download_not_found',
    });
  }
  const hint =
    status === 401 || status === 403
      ? ['The file may need an account there: download it by hand and copy it into the folder.']
      : [];
  return new CommandFailure(exitCodes.unreachable, `${host} answered ${status}.`, {
    code: 'download_failed',
    hints: hint,
  });
}

/** Downloads to `fileName`, resuming what an earlier run left beside it. The size that the server told, in bytes; 0 if it told none. */
async function transfer(request: DownloadRequest, fileName: string): Promise<number> {
  // Imported here: it takes half a second, and nothing else of the command line needs it.
  const { createModelDownloader } = await import('node-llama-cpp');
  const stalled = new AbortController();
  const signal = AbortSignal.any([request.signal, stalled.signal]);
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  const timer = setTimeout(() => stalled.abort(new Error('stalled')), request.stallMs);
  let received = -1;
  try {
    const downloader = await Promise.race([
      createModelDownloader({
        modelUri: request.source.url,
        dirPath: request.directory,
        fileName,
        skipExisting: false,
        deleteTempFileOnCancel: false,
        onProgress: ({ downloadedSize, totalSize }) => {
          if (downloadedSize > received) timer.refresh();
          received = downloadedSize;
          request.onProgress({ receivedBytes: downloadedSize, totalBytes: totalSize });
        },
      }),
      aborted,
    ]);
    await Promise.race([downloader.download({ signal }), aborted]);
    return downloader.totalSize;
  } catch (error) {
    if (request.signal.aborted) throw error;
    throw new CommandFailure(
      exitCodes.unreachable,
      `The download stopped${received > 0 ? ` after ${Math.round(received / 1e6)} MB` : ''}.`,
      {
        code: 'download_failed',
        hints: ['Run the command again: it goes on where it stopped.'],
        cause: error,
      },
    );
  } finally {
    clearTimeout(timer);
  }
}

/** The file's SHA-256. @throws CommandFailure when it is not the expected one, or the file is no GGUF file. */
export async function checkFile(path: string, expected: string | undefined): Promise<string> {
  const file = await open(path);
  const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0).finally(() => file.close());
  if (buffer.toString('latin1') !== 'GGUF') {
    throw new CommandFailure(exitCodes.unexpected, `${path} is not a GGUF model file.`, {
      code: 'not_a_model',
    });
  }
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path, { highWaterMark: 1_048_576 }))
    hash.update(piece as Buffer);
  const sha256 = hash.digest('hex');
  if (expected !== undefined && expected !== sha256) {
    throw new CommandFailure(exitCodes.unexpected, `${path} has the wrong checksum and must not be used.`, {
      code: 'checksum_mismatch',
      hints: [`expected ${expected}`, `received ${sha256}`],
    });
  }
  return sha256;
}

/** The checksum known for a file: written beside it by a pull, or shipped with the project. */
export async function recordedSha256(path: string): Promise<string | undefined> {
  const text = await readFile(`${path}.sha256`, 'utf8').catch(() => '');
  return /^([0-9a-f]{64})\b/.exec(text)?.[1] ?? shippedChecksums[basename(path)];
}
