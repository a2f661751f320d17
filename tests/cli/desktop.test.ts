// Opening the browser and copying the code, with programs of that name that succeed, fail, stay or are missing.
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { copyToClipboard, openInBrowser } from '../../cli/sign-in/desktop.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-desktop-'));
const names = ['PATH', 'DISPLAY', 'WAYLAND_DISPLAY', 'WSL_DISTRO_NAME'] as const;
const kept = Object.fromEntries(names.map((name) => [name, process.env[name]]));

function program(name: string, lines: string): void {
  writeFileSync(join(folder, name), `#!/bin/sh\n${lines}\n`);
  chmodSync(join(folder, name), 0o755);
}

describe(
  'the desktop',
  { skip: process.platform === 'linux' ? false : 'names the programs of Linux' },
  () => {
    before(() => {
      process.env['PATH'] = `${folder}:${kept['PATH'] ?? ''}`;
    });
    afterEach(() => {
      for (const name of ['DISPLAY', 'WAYLAND_DISPLAY', 'WSL_DISTRO_NAME'])
        Reflect.deleteProperty(process.env, name);
    });
    after(() => {
      for (const name of names)
        if (kept[name] === undefined) Reflect.deleteProperty(process.env, name);
        else process.env[name] = kept[name];
      rmSync(folder, { recursive: true, force: true });
    });

    it('does not claim to have opened a browser without a screen', async () => {
      program('xdg-open', 'exit 0');
      assert.equal(await openInBrowser('http://127.0.0.1/device'), false);
    });

    it('does not claim it when the program fails', async () => {
      process.env['DISPLAY'] = ':99';
      program('xdg-open', 'exit 3');
      assert.equal(await openInBrowser('http://127.0.0.1/device'), false);
    });

    it('opens the address, also with a program that stays', async () => {
      process.env['DISPLAY'] = ':99';
      program('xdg-open', `echo "$1" > '${folder}/opened'; exec sleep 3`);
      assert.equal(await openInBrowser('http://127.0.0.1/device'), true);
      assert.equal(readFileSync(join(folder, 'opened'), 'utf8'), 'http://127.0.0.1/device\n');
    });

    it('copies the code, and says when there is no clipboard', async () => {
      assert.equal(await copyToClipboard('WDJB-MJHT'), false);
      process.env['DISPLAY'] = ':99';
      program('xclip', `cat > '${folder}/copied'`);
      assert.equal(await copyToClipboard('WDJB-MJHT'), true);
      assert.equal(readFileSync(join(folder, 'copied'), 'utf8'), 'WDJB-MJHT');
    });
  },
);
