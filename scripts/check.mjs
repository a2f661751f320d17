// `npm run check`: everything that must hold before a change is handed in. Every step runs even after one failed, so
// that one run shows all; `--no-tests` leaves out the slowest.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { requireSupportedNode } from './node-version.mjs';

requireSupportedNode();

const root = fileURLToPath(new URL('..', import.meta.url));
const module = (path) => [process.execPath, join(root, 'node_modules', path)];
const steps = [
  { name: 'types', command: [...module('typescript/bin/tsc'), '-p', 'tsconfig.json', '--noEmit'] },
  { name: 'lint', command: [...module('eslint/bin/eslint.js'), '.'] },
  {
    name: 'format',
    command: [...module('prettier/bin/prettier.cjs'), '--check', '--log-level', 'warn', '.'],
  },
  { name: 'build', command: [process.execPath, 'scripts/build.mjs'] },
  { name: 'generated files are fresh', command: [process.execPath, 'scripts/generate.mjs', '--check'] },
];
if (!process.argv.includes('--no-tests')) {
  steps.push({ name: 'tests', command: [process.execPath, 'scripts/test.mjs'] });
}

const failed = [];
for (const { name, command } of steps) {
  process.stdout.write(`\n— ${name}\n`);
  const startedAt = Date.now();
  const [program, ...rest] = command;
  const { status } = spawnSync(program, rest, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
  process.stdout.write(`${status === 0 ? '✓' : '✗'} ${name}  ${seconds} s\n`);
  if (status !== 0) failed.push(name);
}
const summary = failed.length === 0 ? `✓ all ${steps.length} steps passed` : `✗ failed: ${failed.join(', ')}`;
process.stdout.write(`\n${summary}\n`);
if (failed.length > 0) process.exitCode = 1;
