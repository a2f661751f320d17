// The process of a gateway is started small, by whichever way, and the operator's own settings win.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gatewayEnvironment, gatewayNodeFlags } from '../../cli/gateway-process.ts';
import { packageRoot } from '../../core/package.ts';

/** A package whose Node only tells how it was called. */
let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-bin-'));
  for (const each of ['bin', 'dist/cli', 'node_modules/node-test/bin'])
    mkdirSync(join(folder, each), { recursive: true });
  cpSync(join(packageRoot, 'bin/sallyport'), join(folder, 'bin/sallyport'));
  writeFileSync(join(folder, 'dist/cli/main.js'), '');
  const node = join(folder, 'node_modules/node-test/bin/node');
  writeFileSync(
    node,
    '#!/bin/sh\necho "malloc:${MALLOC_ARENA_MAX:-none}:${MALLOC_MMAP_THRESHOLD_:-none}:${MALLOC_TRIM_THRESHOLD_:-none}"\nfor word in "$@"; do echo "$word"; done\n',
  );
  chmodSync(node, 0o755);
});
after(() => rmSync(folder, { recursive: true, force: true }));

function started(words: readonly string[], env: Record<string, string> = {}) {
  const { stdout } = spawnSync(join(folder, 'bin/sallyport'), words, {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] ?? '', ...env },
  });
  const [malloc, ...all] = stdout.trimEnd().split('\n');
  const main = all.findIndex((word) => word.endsWith('dist/cli/main.js'));
  const flags = all.slice(0, main).filter((flag) => !flag.startsWith('--disable-warning'));
  return { malloc, flags, words: all.slice(main + 1) };
}

/** What the environment tells malloc, as the Node above says it. */
function mallocOf(env: NodeJS.ProcessEnv): string {
  const names = ['MALLOC_ARENA_MAX', 'MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_'];
  return `malloc:${names.map((name) => env[name] ?? 'none').join(':')}`;
}

describe('bin/sallyport', () => {
  for (const words of [
    ['serve', 'gateway'],
    ['serve', 'gateway', '--config', '/etc/sallyport/gateway.yaml'],
    ['serve', '--config', 'a file.yaml', 'gateway'],
  ]) {
    it(`starts ${words.join(' ')} as the supervisor starts a gateway`, () => {
      const { malloc, flags, words: passed } = started(words);
      assert.deepEqual(flags, gatewayNodeFlags({}));
      assert.equal(malloc, mallocOf(gatewayEnvironment({})));
      assert.deepEqual(passed, words);
    });
  }

  for (const words of [
    ['serve', 'identity'],
    ['serve', 'model-server'],
    ['start'],
    ['chat', 'gateway'],
    [],
  ]) {
    it(`starts ${words.join(' ') || 'nothing'} as it is`, () => {
      const { malloc, flags } = started(words);
      assert.deepEqual(flags, []);
      assert.equal(malloc, mallocOf({}));
    });
  }

  it('leaves the heap to an operator who sizes it himself', () => {
    for (const own of [
      '--max-old-space-size=4096',
      '--max_semi_space_size=16',
      '--no-warnings --max-heap-size=900',
    ]) {
      assert.deepEqual(started(['serve', 'gateway'], { NODE_OPTIONS: own }).flags, [], own);
      assert.deepEqual(gatewayNodeFlags({ NODE_OPTIONS: own }), [], own);
    }
    assert.deepEqual(
      started(['serve', 'gateway'], { NODE_OPTIONS: '--no-warnings' }).flags,
      gatewayNodeFlags({}),
    );
    const own = { MALLOC_ARENA_MAX: '4', MALLOC_MMAP_THRESHOLD_: '65536', MALLOC_TRIM_THRESHOLD_: '1' };
    assert.equal(started(['serve', 'gateway'], own).malloc, 'malloc:4:65536:1');
    assert.equal(mallocOf(gatewayEnvironment(own)), 'malloc:4:65536:1');
  });
});
