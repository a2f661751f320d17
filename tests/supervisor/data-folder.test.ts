// The data folder and its lock: made private, refused when open, held by one process at a time.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { prepareDataFolder } from '../../cli/supervisor/data-folder.ts';
import { lockDataFolder } from '../../cli/supervisor/data-lock.ts';
import { StartFailure } from '../../cli/supervisor/start-failure.ts';

const base = mkdtempSync(join(tmpdir(), 'sallyport-data-'));
after(() => rmSync(base, { recursive: true, force: true }));
const mode = (path: string): number => statSync(path).mode & 0o777;

function refusal(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof StartFailure, String(error));
    return error.message;
  }
  throw new assert.AssertionError({ message: 'nothing was refused' });
}

describe('prepareDataFolder', () => {
  it('makes the folder and its parents so that only this account can enter it', () => {
    const folder = join(base, 'a', 'b');
    prepareDataFolder(folder);
    assert.equal(mode(folder), 0o700);
    assert.equal(mode(join(folder, 'run')), 0o700);
  });

  it('accepts the folder that it made', () => {
    prepareDataFolder(join(base, 'a', 'b'));
  });

  for (const open of [0o755, 0o750, 0o701, 0o777]) {
    it(`refuses a folder of mode 0${open.toString(8)} and names the chmod to run`, () => {
      const folder = join(base, `open-${open}`);
      mkdirSync(folder);
      chmodSync(folder, open);
      const screen = refusal(() => prepareDataFolder(folder));
      assert.match(screen, new RegExp(`mode 0${open.toString(8)}`));
      assert.ok(screen.includes(`chmod 700 ${folder}`));
      assert.match(screen, /Setting: --data/);
    });
  }

  it('refuses a file in its place', () => {
    const file = join(base, 'file');
    writeFileSync(file, '');
    assert.match(
      refusal(() => prepareDataFolder(file)),
      /is not a folder/,
    );
  });

  it('refuses a place where it may not write', () => {
    assert.match(
      refusal(() => prepareDataFolder('/proc/sallyport')),
      /cannot be made \(/,
    );
  });

  it(
    'refuses a folder of somebody else',
    { skip: process.getuid?.() === 0 ? false : 'needs root to give a folder away' },
    () => {
      const folder = join(base, 'foreign');
      mkdirSync(folder, { mode: 0o700 });
      chownSync(folder, 12_345, 12_345);
      const screen = refusal(() => prepareDataFolder(folder));
      assert.match(screen, /belongs to uid 12345/);
      assert.match(screen, /chown/);
    },
  );
});

describe('lockDataFolder', () => {
  const folder = join(base, 'locked');
  prepareDataFolder(folder);

  it('refuses a second instance and names the first by its pid', () => {
    const lock = lockDataFolder(folder);
    const screen = refusal(() => lockDataFolder(folder));
    assert.match(screen, new RegExp(`already running on .*\\(pid ${process.pid}\\)`));
    assert.match(screen, /--port 8090 --data data-2/);
    lock.release();
  });

  it('can be taken again after a release', () => {
    lockDataFolder(folder).release();
    lockDataFolder(folder).release();
  });

  it('refuses while another process holds it, and is free the moment that process is killed', async () => {
    const source = new URL('../../cli/supervisor/data-lock.ts', import.meta.url).href;
    const script = `import(${JSON.stringify(source)}).then((m) => { globalThis.lock = m.lockDataFolder(process.argv[1]); console.log('held'); setInterval(() => {}, 1000); })`;
    const holder = spawn(process.execPath, ['-e', script, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    assert.match(
      refusal(() => lockDataFolder(folder)),
      new RegExp(`pid ${holder.pid}`),
    );
    holder.kill('SIGKILL');
    await new Promise((resolve) => holder.once('exit', resolve));
    lockDataFolder(folder).release();
  });

  it('keeps two folders apart', () => {
    const other = join(base, 'other');
    prepareDataFolder(other);
    const locks = [lockDataFolder(folder), lockDataFolder(other)];
    for (const lock of locks) lock.release();
  });
});
