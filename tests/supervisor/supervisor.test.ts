// The supervisor against small real processes: readiness, restarts, failed starts, stops.
import assert from 'node:assert/strict';
import { fork, type ChildProcess } from 'node:child_process';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { StartFailure, type ServerName } from '../../cli/supervisor/start-failure.ts';
import type { StartReport } from '../../cli/supervisor/start-report.ts';
import { superviseServers, type Supervisor } from '../../cli/supervisor/supervisor.ts';

const fake = fileURLToPath(new URL('../support/fake-server.mjs', import.meta.url));

interface Run {
  readonly supervisor: Supervisor;
  readonly told: string[];
  readonly children: Map<ServerName, ChildProcess>;
  readonly spawned: () => number;
  readonly waitFor: (pattern: RegExp) => Promise<string>;
}

const runs: Run[] = [];
after(() => runs.forEach((each) => each.supervisor.kill()));

function run(
  scripts: Partial<Record<ServerName, object | object[]>>,
  options: { drainMs?: number; firstPauseMs?: number } = {},
): Run {
  const told: string[] = [];
  const listeners = new Set<() => void>();
  const tell = (line: string): void => {
    told.push(line);
    for (const listener of listeners) listener();
  };
  const report: StartReport = {
    ready: (server, place, detail) => tell(`ready ${server} ${place} ${detail}`),
    firstAdministrator: (username, password) => tell(`administrator ${username} ${password}`),
    waiting: () => undefined,
    complete: () => tell('complete'),
    note: (mark, sentence) => tell(`${mark} ${sentence}`),
  };
  const children = new Map<ServerName, ChildProcess>();
  let spawned = 0;
  const supervisor = superviseServers({
    servers: Object.keys(scripts) as ServerName[],
    spawn: (server) => {
      spawned += 1;
      const script = scripts[server] ?? {};
      const current = Array.isArray(script) ? (script.length > 1 ? script.shift() : script[0]) : script;
      const child = fork(fake, [JSON.stringify(current)], {
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      });
      children.set(server, child);
      return child;
    },
    report,
    place: (server, address) => ({ place: address, detail: server }),
    takeLine: (server) => (line) => tell(`line ${server} ${line}`),
    secondsSinceStart: () => 1,
    drainMs: options.drainMs ?? 5000,
    firstPauseMs: options.firstPauseMs ?? 10,
  });
  const result: Run = {
    supervisor,
    told,
    children,
    spawned: () => spawned,
    waitFor: (pattern) =>
      new Promise((resolve) => {
        const look = (): void => {
          const found = told.find((line) => pattern.test(line));
          if (found === undefined) return;
          listeners.delete(look);
          resolve(found);
        };
        listeners.add(look);
        look();
      }),
  };
  runs.push(result);
  return result;
}

const isAlive = (child: ChildProcess | undefined): boolean =>
  child !== undefined && child.exitCode === null && child.signalCode === null;

describe('supervisor', () => {
  it('reports each server as it becomes ready, and the whole once', async () => {
    const { supervisor, told } = run({
      identity: {},
      'model-server': {},
      gateway: { address: 'http://127.0.0.1:1' },
    });
    await supervisor.started;
    assert.equal(told.filter((line) => line.startsWith('ready ')).length, 3);
    assert.ok(told.includes('ready gateway http://127.0.0.1:1 gateway'));
    assert.equal(told.at(-1), 'complete');
    await supervisor.stop();
  });

  it('hands on the first administrator', async () => {
    const { supervisor, told } = run({
      identity: { firstAdministrator: { username: 'admin', password: 'quay-42' } },
    });
    await supervisor.started;
    assert.ok(told.includes('administrator admin quay-42'));
    await supervisor.stop();
  });

  it('gives up a first start that failed, with the lines and exit code of the server, and leaves no other running', async () => {
    const { supervisor, children } = run({
      identity: {},
      gateway: { failed: { lines: ['✗ no', '  do this'], exitCode: 3 } },
    });
    await assert.rejects(supervisor.started, (error) => {
      assert.ok(error instanceof StartFailure);
      assert.deepEqual(error.lines, ['✗ no', '  do this']);
      assert.equal(error.exitCode, 3);
      return true;
    });
    await supervisor.stop();
    const identity = children.get('identity');
    if (isAlive(identity)) await new Promise((resolve) => identity?.once('exit', resolve));
    assert.equal(isAlive(identity), false);
  });

  it('explains a server that dies before it is ready with its last words, without stack lines or log records', async () => {
    const stderr = ['{"level":30,"msg":"x"}', 'ggml: assertion failed', '    at foo (bar.js:1:1)'];
    const { supervisor } = run({ 'model-server': { stderr, dieBeforeReady: 'SIGKILL' } });
    await assert.rejects(supervisor.started, {
      lines: ['✗ The model server stopped (SIGKILL) before it was ready.', '  ggml: assertion failed'],
    });
  });

  it('restarts a server that dies, says so, and says when it is back', async () => {
    const { supervisor, children, waitFor, spawned } = run({ 'model-server': {} });
    await supervisor.started;
    children.get('model-server')?.kill('SIGABRT');
    await waitFor(/^! model server stopped \(SIGABRT\); restarting in /);
    await waitFor(/^✓ model server is back \(/);
    assert.equal(spawned(), 2);
    await supervisor.stop();
  });

  it('doubles the pause while a server keeps dying, and shows why it cannot come back', async () => {
    const broken = { failed: { lines: ['✗ port in use'], exitCode: 1 } };
    const { supervisor, children, waitFor, told } = run(
      { gateway: [{}, broken, broken, {}] },
      { firstPauseMs: 100 },
    );
    await supervisor.started;
    children.get('gateway')?.kill('SIGKILL');
    await waitFor(/^✓ gateway is back/);
    const pauses = told.flatMap((line) => /restarting in ([\d.]+) s/.exec(line)?.[1] ?? []);
    assert.deepEqual(pauses, ['0.1', '0.2', '0.4']);
    assert.equal(told.filter((line) => line.includes('port in use')).length, 2);
    await supervisor.stop();
  });

  it('stops the gateway first, so that draining answers keep their model', async () => {
    const { supervisor, children } = run({ 'model-server': {}, gateway: { drainMs: 50 } });
    await supervisor.started;
    const ended: string[] = [];
    for (const [name, child] of children) child.once('exit', () => ended.push(name));
    await supervisor.stop();
    assert.deepEqual(ended, ['gateway', 'model-server']);
  });

  it('says how many answers a stop waits for, and nothing vaguer beside it', async () => {
    const { supervisor, told } = run({ gateway: { open: 1, drainMs: 150 } });
    await supervisor.started;
    await supervisor.stop();
    assert.ok(
      told.some((line) => line.includes('1 answer still streaming, up to 5 s. Ctrl-C again stops now.')),
    );
    assert.equal(told.filter((line) => line.includes('stopping')).length, 1);
  });

  it('kills a server that ignores the stop once the limit is over', async () => {
    const { supervisor, children } = run({ gateway: { ignoreSigterm: true } });
    await supervisor.started;
    await supervisor.stop(50);
    assert.equal(children.get('gateway')?.signalCode, 'SIGKILL');
  });

  it('does not restart a server that it has stopped', async () => {
    const { supervisor, spawned, told } = run({ gateway: {}, identity: {} });
    await supervisor.started;
    await supervisor.stop();
    assert.equal(spawned(), 2);
    assert.ok(!told.some((line) => line.startsWith('!')));
  });
});
