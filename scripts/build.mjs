// Compiles the sources to dist/ when they have changed since the last build, and copies what is not TypeScript.
// Types are checked by `npm run check`, not here: a start must not wait for them. Runs on Node 20 and newer.
import { createHash } from 'node:crypto';
import { spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, extname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const folders = ['core', 'gateway', 'identity', 'model-server', 'cli'];
const assetEndings = new Set(['.css', '.html', '.svg', '.js']);
const stampFile = join(root, 'dist', '.build-stamp');
const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');

/** A build that failed, with lines for one screen. */
export class BuildError extends Error {}

/** Builds unless dist/ is fresh. Returns whether it built. @throws BuildError */
export async function buildIfStale() {
  const sources = listSources();
  const fingerprint = fingerprintOf(sources);
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === fingerprint) return false;
  if (!existsSync(compiler)) {
    if (existsSync(stampFile) || !existsSync(join(root, 'node_modules'))) {
      throw new BuildError('The TypeScript compiler is not installed.\n  Run:  npm ci');
    }
    throw new BuildError(
      'dist/ is missing and the compiler is not installed (npm ci --omit=dev).\n  Run:  npm ci',
    );
  }
  const stopTelling = tellIfSlow('building: TypeScript to dist/');
  try {
    await compile();
    for (const path of sources) if (assetEndings.has(extname(path))) copyAsset(path);
    removeOrphans(new Set(sources));
    writeFileSync(stampFile, fingerprint);
  } finally {
    stopTelling();
  }
  return true;
}

function listSources() {
  const found = [];
  for (const folder of folders) {
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
      const ending = extname(entry.name);
      if (entry.isFile() && (ending === '.ts' || assetEndings.has(ending))) {
        found.push(relative(root, join(entry.parentPath ?? entry.path, entry.name)));
      }
    }
  }
  return found.sort();
}

// Path, size and modification time: notices edits, additions and removals without reading every file.
function fingerprintOf(sources) {
  const hash = createHash('sha256');
  for (const path of [...sources, 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json']) {
    const { size, mtimeMs } = statSync(join(root, path));
    hash.update(`${path}\0${size}\0${mtimeMs}\n`);
  }
  return hash.digest('hex');
}

async function compile() {
  const child = spawn(
    process.execPath,
    [compiler, '-p', 'tsconfig.build.json', '--noCheck', '--pretty', 'false'],
    {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code === 0) return;
  const lines = output.trim().split('\n');
  const more = lines.length > 12 ? `\n  … and ${lines.length - 12} more lines: npm run types` : '';
  throw new BuildError(`The sources do not compile:\n  ${lines.slice(0, 12).join('\n  ')}${more}`);
}

function copyAsset(path) {
  const target = join(root, 'dist', path);
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(join(root, path), target);
}

// What a removed source left behind would still be imported by whoever forgot it.
function removeOrphans(sources) {
  for (const folder of folders) {
    const base = join(root, 'dist', folder);
    if (!existsSync(base)) continue;
    for (const entry of readdirSync(base, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = relative(join(root, 'dist'), join(entry.parentPath ?? entry.path, entry.name));
      const source = path.replace(/(\.d\.ts|\.js|\.js\.map)$/, '.ts');
      if (!sources.has(path) && !sources.has(source)) rmSync(join(root, 'dist', path));
    }
  }
}

// On a terminal the line is wiped when the work is done; elsewhere it is one line.
function tellIfSlow(what) {
  const startedAt = Date.now();
  const terminal = process.stderr.isTTY === true;
  const timer = setInterval(() => {
    const seconds = Math.round((Date.now() - startedAt) / 1000);
    if (terminal) process.stderr.write(`\r\x1b[K  ${what} (${seconds} s)`);
    else if (seconds === 1) process.stderr.write(`${what}\n`);
  }, 1000);
  return () => {
    clearInterval(timer);
    if (terminal) process.stderr.write('\r\x1b[K');
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    await buildIfStale();
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    process.stderr.write(`✗ ${error.message}\n`);
    process.exitCode = 1;
  }
}
