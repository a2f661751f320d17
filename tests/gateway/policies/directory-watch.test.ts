// When a policy directory is said to have changed, and when not: a start must not read its policies twice.
import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { watchDirectory } from '../../../gateway/policies/directory-watch.ts';

const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-watch-'));
  open.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function counting(directory: string, pollMs = 10): { readonly told: () => number } {
  let told = 0;
  const watch = watchDirectory({ directory, onChange: () => told++, pollMs, quietMs: 5 });
  open.push(() => watch.close());
  return { told: () => told };
}

async function until(holds: () => boolean): Promise<void> {
  for (let round = 0; !holds(); round++) {
    assert.ok(round < 2_000, 'it never came to hold');
    await delay(10);
  }
}

describe('a watched directory', () => {
  it('is not said to have changed when nothing did, whether its path is its own or a link', async () => {
    const folder = temporary();
    const directory = join(folder, 'policies');
    mkdirSync(directory);
    writeFileSync(join(directory, 'roles.yaml'), 'roles: {}\n');
    symlinkSync(directory, join(folder, 'link'));
    const watches = [counting(directory), counting(join(folder, 'link')), counting(join(folder, 'absent'))];
    await delay(300);
    assert.deepEqual(
      watches.map(({ told }) => told()),
      [0, 0, 0],
    );
  });

  it('tells of an edit in the moment after its creation', async () => {
    const directory = temporary();
    writeFileSync(join(directory, 'roles.yaml'), 'roles: {}\n');
    const byEvents = counting(directory, 3_600_000);
    const byLooks = counting(directory);
    writeFileSync(join(directory, 'roles.yaml'), 'roles: { A: {} }\n');
    await until(() => byEvents.told() > 0 && byLooks.told() > 0);
  });

  it('tells when a link on the way to it leads elsewhere', async () => {
    const folder = temporary();
    for (const name of ['one', 'two']) {
      mkdirSync(join(folder, name, 'policies'), { recursive: true });
      writeFileSync(join(folder, name, 'policies', 'roles.yaml'), 'roles: {}\n');
    }
    symlinkSync(join(folder, 'one'), join(folder, 'current'));
    const watch = counting(join(folder, 'current', 'policies'));
    symlinkSync(join(folder, 'two'), join(folder, 'next'));
    renameSync(join(folder, 'next'), join(folder, 'current'));
    await until(() => watch.told() > 0);
  });

  it('tells when it comes into being', async () => {
    const directory = join(temporary(), 'policies');
    const watch = counting(directory);
    mkdirSync(directory);
    writeFileSync(join(directory, 'roles.yaml'), 'roles: {}\n');
    await until(() => watch.told() > 0);
  });
});
