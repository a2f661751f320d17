// Compiles llama.cpp's own HTTP server as a contestant: from the sources inside the npm package node-llama-cpp of the
// very version that is installed, linked to the prebuilt libraries of that package. Needs the npm registry once, git,
// cmake, ninja and a C++ compiler; takes some minutes. `npm run bench` finds the result by itself.
//   node bench/model/build-llama-server.mjs
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from './gpt2-file.mjs';

const modules = fileURLToPath(new URL('../../node_modules', import.meta.url));
const { version } = JSON.parse(readFileSync(join(modules, 'node-llama-cpp/package.json'), 'utf8'));
const platform = `${process.platform}-${process.arch}`;
const work = join(cacheFolder(), 'llama-server-build');
const target = join(cacheFolder(), 'llama-server');
const run = (program, ...words) => execFileSync(program, words, { cwd: work, stdio: 'inherit' });

rmSync(work, { recursive: true, force: true });
mkdirSync(work, { recursive: true });
cpSync(join(modules, '@node-llama-cpp', platform, 'bins', platform), target, { recursive: true });
run('npm', 'pack', `node-llama-cpp@${version}`, '--silent');
run('tar', 'xzf', `node-llama-cpp-${version}.tgz`, 'package/llama/gitRelease.bundle');
run('git', 'clone', '--quiet', 'package/llama/gitRelease.bundle', 'source');
const recipe = fileURLToPath(new URL('./llama-server', import.meta.url));
run(
  'cmake',
  '-G',
  'Ninja',
  '-S',
  recipe,
  '-B',
  'build',
  `-DSOURCE=${join(work, 'source')}`,
  `-DLIBRARIES=${target}`,
);
run('cmake', '--build', 'build');
cpSync(join(work, 'build', 'llama-server'), join(target, 'llama-server'));
rmSync(work, { recursive: true, force: true });
console.log(join(target, 'llama-server'));
