// A start that works, as three real processes: what it prints, what it leaves on disk, how it heals and how it ends.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { get } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { packageRoot } from '../../core/package.ts';
import {
  freePortTriple,
  processesWith,
  startProcess,
  watch,
  type StartedProcess,
} from '../support/start-process.ts';

const base = mkdtempSync(join(tmpdir(), 'sallyport-life-'));
after(() => rmSync(base, { recursive: true, force: true }));
const linux = { skip: process.platform === 'linux' ? false : 'reads /proc' };

async function untilNone(text: string): Promise<void> {
  while (processesWith(text).length > 0) await new Promise((resolve) => setTimeout(resolve, 20));
}
const modeOf = (path: string): number => statSync(path).mode & 0o777;

describe('a first start without a terminal', linux, () => {
  const data = join(base, 'first');
  let started: StartedProcess;
  let port = 0;

  before(async () => {
    port = await freePortTriple();
    started = startProcess(['--data', data, '--port', String(port)]);
    await started.saying(/"event":"ready"/);
  });
  after(async () => {
    started.child.kill('SIGKILL');
    await untilNone(data);
  });

  it('prints JSON lines only, with where each server listens', () => {
    const records = started
      .output()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const own = records.filter((record) => record['name'] === 'supervisor');
    for (const server of ['identity', 'model-server', 'gateway'])
      assert.ok(
        own.some((record) => record['server'] === server),
        server,
      );
    assert.ok(
      records.every((record) => typeof record['level'] === 'number'),
      'one scale of levels',
    );
    assert.ok(!started.output().includes('\u001b'));
  });

  it('keeps the first password in a file of mode 0600 and out of the output', () => {
    assert.match(started.output(), /first administrator: password in [^"]+\/first-admin"/);
    const file = join(data, 'first-admin');
    assert.equal(modeOf(file), 0o600);
    const [username, password] = readFileSync(file, 'utf8').trim().split('\n');
    assert.equal(username, 'admin');
    assert.ok(password !== undefined && password.length >= 12);
    assert.ok(!started.output().includes(password));
  });

  it('makes the data folder for this account alone', () => {
    assert.equal(modeOf(data), 0o700);
    assert.equal(modeOf(join(data, 'run/model.sock')), 0o600);
  });

  it('answers at the gateway, which has reached identity and model server', async () => {
    for (let answer: Response; ; await new Promise((resolve) => setTimeout(resolve, 100))) {
      answer = await fetch(`http://127.0.0.1:${port}/readyz`);
      await answer.arrayBuffer();
      if (answer.status === 200) break;
    }
    assert.equal((await fetch(`http://127.0.0.1:${port}/v1/models`)).status, 401);
  });

  for (const server of ['model-server', 'identity', 'gateway']) {
    it(`restarts the ${server} when it is killed, and says so`, async () => {
      const pid = processesWith(data).find((candidate) =>
        readFileSync(`/proc/${candidate}/cmdline`, 'utf8').includes(`server-process.ts\0${server}\0`),
      );
      assert.ok(pid !== undefined);
      process.kill(pid, 'SIGKILL');
      const title = server === 'identity' ? 'identity server' : server.replace('-', ' ');
      await started.saying(new RegExp(`${title} stopped \\(SIGKILL\\); restarting in 1 s`));
      await started.saying(new RegExp(`${title} is back \\(`));
    });
  }

  it('leaves no process behind when the supervisor itself is killed', async () => {
    started.child.kill('SIGKILL');
    await started.ended;
    await untilNone(data);
  });

  it('starts again on the same data, without another administrator, and ends with 0 after SIGTERM', async () => {
    const again = startProcess(['--data', data, '--port', String(port)]);
    await again.saying(/"event":"ready"/);
    assert.ok(!again.output().includes('first administrator'));
    again.child.kill('SIGTERM');
    assert.equal(await again.ended, 0);
    assert.deepEqual(processesWith(data), []);
  });
});

describe('a supervisor that is killed while its servers start', linux, () => {
  it('leaves no process behind', async () => {
    const data = join(base, 'early');
    const started = startProcess(['--data', data, '--port', String(await freePortTriple())]);
    while (processesWith(data).length < 4) await new Promise((resolve) => setTimeout(resolve, 5));
    started.child.kill('SIGKILL');
    await untilNone(data);
    await started.ended;
  });
});

describe('a stop that has to wait', linux, () => {
  it('says so, and a second signal ends everything now', async () => {
    const data = join(base, 'wait');
    const port = await freePortTriple();
    const started = startProcess(['--data', data, '--port', String(port)]);
    await started.saying(/"event":"ready"/);
    // A request whose head never ends holds its connection open.
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    await new Promise<void>((resolve) =>
      socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n', () => resolve()),
    );
    while ((await fetch(`http://127.0.0.1:${port}/healthz`)).status !== 200);
    started.child.kill('SIGINT');
    await started.saying(/stopping: /);
    started.child.kill('SIGINT');
    assert.equal(await started.ended, 1);
    assert.match(started.output(), /stopped now; open answers were cut/);
    await untilNone(data);
    socket.destroy();
  });
});

describe('npm start', linux, () => {
  before(() => {
    execFileSync(process.execPath, ['scripts/build.mjs'], { cwd: packageRoot });
  });

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    it(`leaves no process behind after ${signal} to npm`, async () => {
      const data = join(base, `npm-${signal}`);
      const port = await freePortTriple();
      const npm = watch(
        spawn('npm', ['start', '--', '--data', data, '--port', String(port)], {
          cwd: packageRoot,
          stdio: ['ignore', 'pipe', 'pipe'],
        }),
      );
      await npm.saying(/"event":"ready"/);
      npm.child.kill(signal);
      await npm.ended;
      await untilNone(data);
    });
  }

  for (const [words, code, said] of [
    [
      ['--port', '8090'],
      1,
      '✗ npm kept --port for itself.\n  Put two dashes before it:  npm start -- --port 8090\n',
    ],
    [
      ['--', '--prot', '1'],
      2,
      "✗ Unknown option '--prot'. Did you mean --port?\n  npm start -- -h  shows what there is.\n",
    ],
  ] as const) {
    it(`says what is wrong with npm start ${words.join(' ')}`, () => {
      const result = spawnSync('npm', ['start', ...words], { cwd: packageRoot, encoding: 'utf8' });
      assert.equal(result.status, code);
      assert.ok(result.stderr.includes(said), result.stderr);
    });
  }

  it('takes one Ctrl-C as one, also where npm passes it on a second time', async () => {
    const data = join(base, 'echo');
    const port = await freePortTriple();
    const started = startProcess(['--data', data, '--port', String(port)], {
      env: { npm_lifecycle_event: 'start' },
    });
    await started.saying(/"event":"ready"/);
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n');
    while ((await fetch(`http://127.0.0.1:${port}/healthz`)).status !== 200);
    started.child.kill('SIGINT');
    setTimeout(() => started.child.kill('SIGINT'), 5);
    await started.saying(/stopping: /);
    assert.doesNotMatch(started.output(), /stopped now/);
    socket.destroy();
    assert.equal(await started.ended, 0);
  });
});

describe(
  'a start on a terminal',
  {
    skip:
      spawnSync('script', ['--version']).error === undefined && process.platform === 'linux'
        ? false
        : 'needs script(1)',
  },
  () => {
    const data = join(base, 'terminal');
    let port = 0;

    /** Runs it on a pseudo terminal, presses Ctrl-C after `pattern`, answers what was shown. */
    async function onTerminal(
      pattern: RegExp,
      words: string[] = [],
      env: NodeJS.ProcessEnv = {},
    ): Promise<{ shown: string; code: number | null }> {
      const command = [
        process.execPath,
        join(packageRoot, 'cli/main.ts'),
        'start',
        '--data',
        data,
        '--port',
        String(port),
        ...words,
      ];
      const terminal = watch(
        // A shell that stayed in between would die of the Ctrl-C and hide the exit code.
        spawn('script', ['-qec', `exec ${command.map((word) => `'${word}'`).join(' ')}`, '/dev/null'], {
          cwd: packageRoot,
          env: { ...process.env, ...env },
          stdio: ['pipe', 'pipe', 'pipe'],
        }),
      );
      await terminal.saying(pattern);
      terminal.child.stdin?.write('\u0003');
      const code = await terminal.ended;
      return { shown: terminal.output().replaceAll('\r\n', '\n'), code };
    }
    // What is wiped again (the line that says what a slow start waits for) does not count.
    const finalLines = (shown: string): string[] =>
      shown
        .replaceAll(/[^\n]*\r\u001b\[K/g, '')
        .replaceAll(/\u001b\[\d*m/g, '')
        .split('\n')
        .slice(0, -1);
    const beforeStop = (lines: string[]): string[] =>
      lines.slice(
        0,
        lines.findIndex((line) => line.includes('^C')),
      );

    // The README is a golden file: the same block but for ports, time, password and data folder.
    const masked = (line: string): string =>
      line
        .replace(/ --gateway http:\S+/, '')
        .replace(/http:\/\/127\.0\.0\.1:\d+/, 'URL')
        .replaceAll(data, 'data')
        .replace(/ready in [\d.]+ s/, 'ready in T')
        .replace(/(Password +)\S+/, '$1P')
        .replaceAll(/(?<=\S) +/g, ' ');
    const readmeBlock = (): string[] => {
      const readme = readFileSync(join(packageRoot, 'README.md'), 'utf8');
      return (/^```\n( {2}Sallyport [\s\S]*?)\n```/m.exec(readme)?.[1] ?? '').split('\n');
    };

    before(async () => {
      port = await freePortTriple();
    });
    after(() => untilNone(data));

    it('shows at most 14 lines the first time (npm adds 4), with the password once and the next commands last', async () => {
      const { shown, code } = await onTerminal(/npx sallyport chat/);
      assert.equal(code, 0);
      const lines = beforeStop(finalLines(shown));
      assert.ok(lines.length <= 14, lines.join('\n'));
      for (const line of lines) assert.ok(line.length <= 80 || line.includes(data), line);
      assert.match(shown, /Administrator {3}admin {4}its password is shown only now/);
      assert.match(shown, /Password {8}\S{12,}\r?$/m);
      assert.match(lines.at(-2) ?? '', /^ {4}npx sallyport login --gateway http:\/\/127\.0\.0\.1:\d+$/);
      assert.equal(lines.at(-1), '    npx sallyport chat "The future of AI is"');
      assert.match(shown, /\u2713.*stopped/);
      assert.ok(!existsSync(join(data, 'first-admin')), 'the password was shown, so it is not kept');
      assert.deepEqual(lines.map(masked), readmeBlock().map(masked), 'the README shows another block');
    });

    it('shows at most 5 lines later, without a password, and no escape sequence of colour with NO_COLOR', async () => {
      const { shown } = await onTerminal(/Ctrl-C stops everything/, [], { NO_COLOR: '1' });
      const lines = beforeStop(finalLines(shown));
      assert.ok(lines.length <= 5, lines.join('\n'));
      assert.ok(!shown.includes('Password'));
      assert.ok(!/\u001b\[\d*m/.test(shown));
    });

    it('--tls shows the variable that makes other programs trust the local authority, and serves https', async () => {
      let status = 0;
      const { shown } = await onTerminal(/Ctrl-C stops everything/, ['--tls']).then(async (result) => result);
      assert.match(shown, new RegExp(`export NODE_EXTRA_CA_CERTS=${data}/tls/ca\\.pem`));
      assert.match(shown, /gateway +https:\/\/127\.0\.0\.1:/);
      const started = startProcess(['--data', data, '--port', String(port), '--tls']);
      await started.saying(/"event":"ready"/);
      const ca = readFileSync(join(data, 'tls/ca.pem'));
      for (const offset of [0, 1]) {
        const path =
          offset === 0
            ? '/healthz'
            : '/5a11b0a7-0000-4000-8000-000000000000/v2.0/.well-known/openid-configuration';
        status = await new Promise<number>((resolve, reject) => {
          get({ host: '127.0.0.1', port: port + offset, path, ca, agent: false }, (response) => {
            response.resume();
            resolve(response.statusCode ?? 0);
          }).on('error', reject);
        });
        assert.equal(status, 200);
      }
      started.child.kill('SIGTERM');
      assert.equal(await started.ended, 0);
    });
  },
);
