// Colour and moving lines: only for a person, never an escape byte where it is not wanted.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { createTerminal } from '../../cli/terminal.ts';
import { parseDuration, printable } from '../../cli/wording.ts';
import { createHome, type CliHome } from './support/run-cli.ts';
import {
  startGateway,
  startIssuer,
  type ScriptedGateway,
  type ScriptedIssuer,
} from './support/scripted-servers.ts';

const stream = (isTTY: boolean) => Object.assign(new PassThrough(), { isTTY });
const terminal = (isTTY: boolean, env: NodeJS.ProcessEnv, argv: string[] = []) =>
  createTerminal({ argv, env, stdout: stream(isTTY), stderr: stream(isTTY), stdin: stream(isTTY) });

describe('colour', () => {
  const cases: readonly (readonly [string, boolean, NodeJS.ProcessEnv, string[], boolean])[] = [
    ['on a terminal', true, {}, [], true],
    ['with an empty NO_COLOR', true, { NO_COLOR: '' }, [], true],
    ['when piped', false, {}, [], false],
    ['when piped and forced', false, { FORCE_COLOR: '1' }, [], false],
    ['with NO_COLOR=1', true, { NO_COLOR: '1' }, [], false],
    ['with NO_COLOR=1 and FORCE_COLOR=1', true, { NO_COLOR: '1', FORCE_COLOR: '1' }, [], false],
    ['on TERM=dumb', true, { TERM: 'dumb' }, [], false],
    ['in CI', true, { CI: '1' }, [], false],
    ['with --no-color', true, {}, ['--no-color'], false],
  ];
  for (const [title, isTTY, env, argv, expected] of cases) {
    it(`is ${expected ? 'on' : 'off'} ${title}`, () => {
      const shown = terminal(isTTY, env, argv);
      assert.equal(shown.red('x').includes('\u001b'), expected);
      assert.equal(shown.colour, expected);
    });
  }
});

describe('a terminal', () => {
  it('is interactive only for a person: not in CI, not dumb, not piped', () => {
    assert.equal(terminal(true, {}).interactive, true);
    assert.equal(terminal(false, {}).interactive, false);
    assert.equal(terminal(true, { CI: 'true' }).interactive, false);
    assert.equal(terminal(true, { TERM: 'dumb' }).interactive, false);
  });
  it('takes its width from COLUMNS, 80 otherwise', () => {
    assert.equal(terminal(true, { COLUMNS: '120' }).width, 120);
    assert.equal(terminal(true, {}).width, 80);
    assert.equal(terminal(true, { COLUMNS: 'wide' }).width, 80);
  });
  it('names the command as it was called', () => {
    assert.equal(terminal(true, { npm_command: 'exec' }).command, 'npx sallyport');
    assert.equal(terminal(true, {}).command, 'sallyport');
  });
});

describe('wording', () => {
  it('reads durations and nothing like them', () => {
    assert.deepEqual(['90', '90s', '30m', '2h', '1d'].map(parseDuration), [90, 90, 1_800, 7_200, 86_400]);
    assert.deepEqual(['', 'm', '-5m', '1.5h', '1w', '99999999'].map(parseDuration), [
      null,
      null,
      null,
      null,
      null,
      null,
    ]);
  });
  it('replaces what could drive a terminal or turn text around, and keeps the rest', () => {
    assert.equal(printable('a\u001b[31m\u0007b\u009b\u202ec\rd'), 'a?[31m?b??c?d');
    assert.equal(printable('é € 日本 😀\n\tx'), 'é € 日本 😀\n\tx');
  });
});

const hasScript = (() => {
  try {
    return execFileSync('script', ['--version'], { encoding: 'utf8' }).includes('util-linux');
  } catch {
    return false;
  }
})();

describe('login on a pseudo-terminal', { skip: hasScript ? false : 'needs script of util-linux' }, () => {
  let home: CliHome;
  let issuer: ScriptedIssuer;
  let gateway: ScriptedGateway;
  before(async () => {
    home = createHome();
    issuer = await startIssuer({ interval: 1 });
    gateway = await startGateway(issuer.url);
  });
  after(async () => {
    home.remove();
    await issuer.close();
    await gateway.close();
  });

  const onTerminal = (
    env: Record<string, string>,
    keys = '',
  ): Promise<{ text: string; code: number | null }> => {
    const command = `'${process.execPath}' '${join(import.meta.dirname, '../../cli/main.ts')}' login --gateway ${gateway.url}`;
    const child = spawn('script', ['-qec', command, '/dev/null'], {
      env: { ...home.env, TERM: 'xterm', ...env },
    });
    return new Promise((resolve) => {
      let text = '';
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
        if (keys !== '' && text.includes('Waiting')) {
          child.stdin.write(keys);
          keys = '';
        }
      });
      child.on('close', (code) => resolve({ text, code }));
    });
  };

  it('shows a countdown with the keys, in colour', async () => {
    const { text, code } = await onTerminal({});
    assert.match(text, /Waiting, 10:00 left\. {3}o opens it here {3}c copies the code {3}Ctrl-C cancels/);
    assert.match(text, /\u001b\[32m✓/);
    assert.equal(code, 0);
  });

  for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }, { CI: '1' }]) {
    it(`writes no escape byte with ${JSON.stringify(env)}`, async () => {
      const { text, code } = await onTerminal(env);
      assert.match(text, /✓ Signed in as admin/);
      assert.ok(!text.includes('\u001b'));
      assert.equal(code, 0);
    });
  }

  it('takes Ctrl-C as a key while it reads keys, and exits with 130', async () => {
    issuer.script.polls = ['authorization_pending'];
    const { code } = await onTerminal({}, '\u0003');
    assert.equal(code, 130);
  });
});
