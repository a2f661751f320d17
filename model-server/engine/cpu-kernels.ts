// Whose kernels llama.cpp computes with. node-llama-cpp brings them compiled for a dozen generations of processors and
// takes the newest that runs here, which is not always the fastest: on Zen 5 Alder Lake's (AVX2 and VNNI) need a quarter
// less than Zen 4's (AVX-512) for 8 streams of a Q8_0 model, a seventh more for long prompts and a tenth more for 32 streams.
// node-llama-cpp loads kernels only when none are there, so that those which are wanted are loaded before it.
import { mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What of node-llama-cpp's native addon is used here. */
interface Addon {
  readonly loadBackends: (folder: string) => void;
  /** Undefined or null while there are no kernels at all, false with those of a CPU alone. */
  readonly getGpuType: () => string | false | null | undefined;
}

/**
 * Loads the kernels compiled for `processor`; must run before anything of llama.cpp does.
 * Checks that they exist for this platform and that this processor can run them. Does NOT check that they are faster.
 * @throws Error that begins with the setting.
 */
export function loadCpuKernels(processor: string): void {
  const folder = binariesFolder();
  const library = folder === null ? undefined : libraryOf(folder, processor);
  if (folder === null || library === undefined) {
    const known = folder === null ? [] : processorsOf(folder);
    const choice = known.length === 0 ? 'this platform has no choice' : `there are ${known.join(', ')}`;
    throw new Error(`cpu_kernels: no kernels for "${processor}"; ${choice}, or auto`);
  }
  // The border to native code: the addon has no types.
  const addon = createRequire(import.meta.url)(join(folder, 'llama-addon.node')) as Addon;
  // llama.cpp takes the best of a folder; in one that holds nothing else there is no choice but to refuse.
  const lonely = mkdtempSync(join(tmpdir(), 'sallyport-kernels-'));
  try {
    symlinkSync(join(folder, library), join(lonely, library));
    addon.loadBackends(lonely);
  } finally {
    rmSync(lonely, { recursive: true, force: true });
  }
  if (addon.getGpuType() !== false)
    throw new Error(
      `cpu_kernels: this processor cannot run the kernels for "${processor}"; auto takes those it can`,
    );
}

const libraryName = /^libggml-cpu-([a-z0-9]+)\.so$/;

function processorsOf(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => libraryName.exec(name)?.[1] ?? []);
}

function libraryOf(folder: string, processor: string): string | undefined {
  return readdirSync(folder).find((name) => libraryName.exec(name)?.[1] === processor);
}

/** Where node-llama-cpp's package of this platform keeps its binaries for the CPU; null: not as on Linux. */
function binariesFolder(): string | null {
  const platform = `${process.platform}-${process.arch}`;
  try {
    const library = createRequire(fileURLToPath(import.meta.resolve('node-llama-cpp')));
    const folder = join(dirname(library.resolve(`@node-llama-cpp/${platform}`)), '..', 'bins', platform);
    return readdirSync(folder).includes('llama-addon.node') ? folder : null;
  } catch {
    return null;
  }
}
