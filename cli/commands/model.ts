// `sallyport model pull|list|verify`: the model files on this machine. Data (paths, tables) to stdout, talk to stderr.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import { exitCodes } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import { interruptible } from '../interrupt.ts';
import {
  checkFile,
  downloadModel,
  knownModels,
  recordedSha256,
  resolveSource,
  type DownloadProgress,
} from '../model-download.ts';
import { processTerminal, type Terminal } from '../terminal.ts';

interface PullOptions {
  readonly directory: string;
  readonly sha256?: string;
  readonly endpoint?: string;
  readonly timeout: number;
  readonly json?: boolean;
}

type FolderOptions = Pick<PullOptions, 'directory' | 'json'>;

const defaultDirectory = 'models';
const defaultStallSeconds = 30;

/** Adds `model` with its subcommands to the tree. */
export function registerModelCommands(program: Command): void {
  const model = program
    .command('model')
    .description('List, pull and check model files.')
    .helpCommand(false)
    .addHelpText('before', 'Example:\n  sallyport model pull gpt2\n');
  model
    .command('pull')
    .description('Download a GGUF model file, resuming and checking it, and print its path.')
    .addHelpText('before', 'Example:\n  sallyport model pull gpt2\n')
    .argument('<model>', `${Object.keys(knownModels).join(', ')}, hf:owner/repository/file.gguf, or a URL`)
    .option('--sha256 <hex>', 'the checksum that the file must have', parseChecksum)
    .option('--directory <folder>', 'where model files lie', defaultDirectory)
    .option('--endpoint <url>', 'a mirror of the hub (also HF_ENDPOINT)')
    .option('--timeout <seconds>', 'give up after so much silence', parseSeconds, defaultStallSeconds)
    .option('--json', 'one JSON object with id, path, bytes and sha256')
    .action((what: string, options: PullOptions) => interruptible((signal) => pull(what, options, signal)));
  model
    .command('list')
    .description('List the model files in the folder.')
    .addHelpText('before', 'Example:\n  sallyport model list\n')
    .option('--directory <folder>', 'where model files lie', defaultDirectory)
    .option('--json', 'a JSON list')
    .action((options: FolderOptions) => list(options));
  model
    .command('verify')
    .description('Compare model files with their checksums.')
    .addHelpText('before', 'Example:\n  sallyport model verify\n')
    .argument('[files...]', 'default: all in the folder')
    .option('--directory <folder>', 'where model files lie', defaultDirectory)
    .option('--json', 'a JSON list')
    .action((files: readonly string[], options: FolderOptions) => verify(files, options));
}

async function pull(what: string, options: PullOptions, signal: AbortSignal): Promise<void> {
  const terminal = processTerminal();
  const source = resolveSource(what, {
    endpoint: options.endpoint,
    hasChecksum: options.sha256 !== undefined,
  });
  const line = createProgressLine(terminal, source.fileName);
  const pulled = await downloadModel({
    source,
    directory: options.directory,
    expectedSha256: options.sha256,
    signal,
    stallMs: options.timeout * 1000,
    onPhase: line.phase,
    onProgress: line.progress,
  }).finally(() => {
    line.end();
    // The downloader's own retries cannot all be called off; they must not hold a command that has ended.
    setTimeout(() => process.exit(), 200).unref();
  });
  if (options.json === true) {
    terminal.json({
      id: source.id,
      path: pulled.path,
      bytes: pulled.bytes,
      sha256: pulled.sha256,
      verified_by: pulled.verifiedBy,
    });
    return;
  }
  terminal.say(`${terminal.green('✓')} ${megabytes(pulled.bytes)} MB, SHA-256 ${pulled.sha256}`);
  if (pulled.verifiedBy === 'hub')
    terminal.say('  It is the checksum that the hub states; pin it with --sha256 in scripts.');
  if (pulled.verifiedBy === null && options.sha256 === undefined) {
    terminal.say(
      terminal.yellow('  Nobody stated a checksum to compare with; pin this one with --sha256 in scripts.'),
    );
  }
  sayConfiguration(source.id, pulled.path, terminal);
  terminal.write(`${pulled.path}\n`);
}

function sayConfiguration(id: string, path: string, terminal: Terminal): void {
  const lines = [
    '',
    'To serve it, add to config/sallyport.yaml:',
    '  model_server:',
    '    models:',
    `      ${id}: { path: ${path} }`,
    '  gateway:',
    '    upstreams:',
    `      embedded: { models: [tiny-gpt2, ${id}] }  # beside what stands there`,
    `and to the models of a role in policies/roles.yaml:  models: [tiny-gpt2, ${id}]`,
    '',
  ];
  for (const line of lines) terminal.say(line);
}

/** One line that is redrawn for a person, one line per phase for a log. */
function createProgressLine(
  terminal: Terminal,
  fileName: string,
): { phase: (text: string) => void; progress: (progress: DownloadProgress) => void; end: () => void } {
  const startedAtMs = Date.now();
  let isOpen = false;
  let firstBytes = -1;
  let drawnAtMs = 0;
  const end = (): void => {
    if (isOpen) terminal.stderr.write('\n');
    isOpen = false;
  };
  return {
    end,
    phase: (text) => {
      end();
      terminal.say(terminal.dim(`${text} …`));
    },
    progress: ({ receivedBytes, totalBytes }) => {
      if (firstBytes === -1) firstBytes = receivedBytes;
      const now = Date.now();
      if (!terminal.interactive || now - drawnAtMs < 100) return;
      drawnAtMs = now;
      const perSecond = ((receivedBytes - firstBytes) * 1000) / Math.max(1, now - startedAtMs);
      const percent = totalBytes > 0 ? Math.floor((receivedBytes * 100) / totalBytes) : 0;
      const left =
        perSecond > 0 ? `, about ${Math.ceil((totalBytes - receivedBytes) / perSecond)} s left` : '';
      const text = `${fileName}  ${percent} %  ${megabytes(receivedBytes)} of ${megabytes(totalBytes)} MB  ${megabytes(perSecond)} MB/s${left}`;
      terminal.stderr.write(`\r${text.slice(0, terminal.width - 1).padEnd(terminal.width - 1)}`);
      isOpen = true;
    },
  };
}

interface ListedFile {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string | null;
}

async function filesIn(directory: string): Promise<ListedFile[]> {
  let names: string[];
  try {
    names = readdirSync(directory).filter((name) => name.endsWith('.gguf'));
  } catch {
    throw new CommandFailure(exitCodes.usage, `There is no folder ${directory}.`, { code: 'no_folder' });
  }
  return Promise.all(
    names.sort().map(async (name) => {
      const file = join(directory, name);
      return { file, bytes: statSync(file).size, sha256: (await recordedSha256(file)) ?? null };
    }),
  );
}

async function list({ directory, json }: FolderOptions): Promise<void> {
  const terminal = processTerminal();
  const files = await filesIn(directory);
  if (json === true) {
    terminal.json(files);
    return;
  }
  if (files.length === 0)
    terminal.say(`There is no model file in ${directory}. Fetch one:  ${terminal.command} model pull gpt2`);
  const width = Math.max(0, ...files.map(({ file }) => file.length));
  for (const { file, bytes, sha256 } of files) {
    terminal.write(
      `${file.padEnd(width)}  ${megabytes(bytes).padStart(8)} MB  ${sha256 === null ? 'no checksum' : `sha256 ${sha256.slice(0, 12)}…`}\n`,
    );
  }
}

async function verify(files: readonly string[], { directory, json }: FolderOptions): Promise<void> {
  const terminal = processTerminal();
  const wanted = files.length > 0 ? files : (await filesIn(directory)).map(({ file }) => file);
  const results: { file: string; result: 'ok' | 'no checksum' | 'wrong'; sha256: string | null }[] = [];
  for (const file of wanted) {
    const expected = await recordedSha256(file);
    try {
      const sha256 = await checkFile(file, expected);
      results.push({ file, result: expected === undefined ? 'no checksum' : 'ok', sha256 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT')
        throw new CommandFailure(exitCodes.usage, `There is no file ${file}.`, { code: 'no_file' });
      if (!(error instanceof CommandFailure)) throw error;
      results.push({ file, result: 'wrong', sha256: null });
    }
  }
  if (json === true) terminal.json(results);
  else
    for (const { file, result, sha256 } of results)
      terminal.write(`${result.padEnd(11)}  ${file}${sha256 === null ? '' : `  ${sha256}`}\n`);
  const wrong = results.filter(({ result }) => result === 'wrong');
  if (wrong.length > 0) {
    throw new CommandFailure(
      exitCodes.unexpected,
      `${wrong.length === 1 ? 'One file is' : `${wrong.length} files are`} not what they were.`,
      {
        code: 'checksum_mismatch',
        hints: ['Delete and pull again.'],
      },
    );
  }
}

function parseChecksum(text: string): string {
  if (!/^[0-9a-f]{64}$/i.test(text)) throw new InvalidArgumentError('A SHA-256 is 64 hexadecimal digits.');
  return text.toLowerCase();
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0 && seconds <= 3600)) throw new InvalidArgumentError('Give seconds, up to 3600.');
  return seconds;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0);
}
