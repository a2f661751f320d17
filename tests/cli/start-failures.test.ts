// Every failed start: one screen with the setting, file:line and the way out, the exit code, no stack, nothing left running.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { packageRoot } from '../../core/package.ts';
import { freePortTriple, occupyPort, processesWith, startProcess } from '../support/start-process.ts';

const base = mkdtempSync(join(tmpdir(), 'sallyport-start-'));
after(() => rmSync(base, { recursive: true, force: true }));
let port = 0;
before(async () => {
  port = await freePortTriple();
});

/** A project folder with its own configuration and policies. */
function project(
  name: string,
  edit: { config?: (text: string) => string; policy?: [string, (text: string) => string] } = {},
): string {
  const folder = join(base, name);
  mkdirSync(folder);
  for (const part of ['config', 'policies'])
    cpSync(join(packageRoot, part), join(folder, part), { recursive: true });
  symlinkSync(join(packageRoot, 'models'), join(folder, 'models'));
  const change = (file: string, how: (text: string) => string): void =>
    writeFileSync(file, how(readFileSync(file, 'utf8')));
  if (edit.config !== undefined) change(join(folder, 'config/sallyport.yaml'), edit.config);
  if (edit.policy !== undefined) change(join(folder, 'policies', edit.policy[0]), edit.policy[1]);
  return folder;
}

interface Screen {
  readonly code: number | null;
  readonly text: string;
}

async function failedStart(
  words: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Screen> {
  const started = startProcess(words, options);
  const code = await started.ended;
  const text = started
    .output()
    .split('\n')
    .filter((line) => !line.startsWith('{'))
    .join('\n');
  assert.notEqual(code, 0, text);
  assert.ok(!/^\s+at .*:\d+/m.test(text), `a stack:\n${text}`);
  assert.ok(text.split('\n').length <= 24, `more than one screen:\n${text}`);
  return { code, text };
}

describe('a start that fails', () => {
  for (const [offset, server, keyPath] of [
    [0, 'gateway', 'gateway.listen'],
    [1, 'identity server', 'identity.listen'],
    [2, 'gateway', 'gateway.internal_listen'],
  ] as const) {
    it(`names the program that has the port of ${keyPath}, and leaves no process`, async () => {
      const free = await freePortTriple();
      const occupied = await occupyPort(free + offset);
      const data = join(base, `port-${offset}`);
      const { code, text } = await failedStart(['--data', data, '--port', String(free)]);
      occupied.close();
      assert.equal(code, 1);
      assert.match(
        text,
        new RegExp(`✗ The ${server} cannot listen on 127\\.0\\.0\\.1:${free + offset}: port in use`),
      );
      if (process.platform === 'linux') assert.match(text, new RegExp(`\\(pid ${process.pid}, node\\)`));
      assert.match(text, new RegExp(`Setting: --port \\(${keyPath}\\)`));
      assert.match(text, /npm start -- --port \d+/);
      assert.deepEqual(processesWith(data), []);
    });
  }

  it('names file and line of a port that the file sets', async () => {
    const free = await freePortTriple();
    const occupied = await occupyPort(free);
    const cwd = project('port-in-file', {
      config: (text) =>
        text
          .replace(':8080', `:${free}`)
          .replaceAll(':8081', `:${free + 1}`)
          .replace(':9464', `:${free + 2}`),
    });
    const { code, text } = await failedStart([], { cwd });
    occupied.close();
    assert.equal(code, 1);
    assert.match(text, /Setting: gateway\.listen in config\/sallyport\.yaml:\d+/);
  });

  for (const server of ['gateway', 'identity'] as const) {
    it(`names file and line of a folder that ${server} cannot write`, () => {
      const cwd = project(`unwritable-${server}`, {
        config: (text) => text.replace(`data: data/${server}`, `data: taken/${server}`),
      });
      writeFileSync(join(cwd, 'taken'), 'a file where a folder should be');
      const { status, stderr } = spawnSync(
        process.execPath,
        [join(packageRoot, 'cli/main.ts'), 'serve', server],
        { cwd, encoding: 'utf8', timeout: 30_000 },
      );
      assert.equal(status, 1, stderr);
      assert.match(stderr, /✗ The .* cannot write taken\S*: a part of the path is no folder\./);
      assert.match(stderr, new RegExp(`Setting: ${server}\\.data in config/sallyport\\.yaml:\\d+`));
      assert.doesNotMatch(stderr, /\n\s+at /);
    });
  }

  it('refuses a model file that is not there', async () => {
    const { code, text } = await failedStart(['--data', join(base, 'm1'), '--model', 'models/none.gguf']);
    assert.equal(code, 1);
    assert.match(text, /models\/none\.gguf does not exist/);
    assert.match(text, /Setting: --model/);
  });

  it('refuses a model file that is no model', async () => {
    const cwd = project('not-gguf', {
      config: (text) => text.replace('models/tiny-gpt2.gguf', 'config/sallyport.yaml'),
    });
    const { code, text } = await failedStart(['--port', String(port)], { cwd });
    assert.equal(code, 1);
    assert.match(text, /config\/sallyport\.yaml is not a GGUF model/);
    assert.match(text, /Setting: model_server\.models\.tiny-gpt2\.path in config\/sallyport\.yaml:\d+/);
  });

  it('refuses a model file that only begins like one', async () => {
    const file = join(base, 'broken.gguf');
    writeFileSync(file, 'GGUF and then nothing that a model would have');
    const { code, text } = await failedStart([
      '--data',
      join(base, 'm2'),
      '--port',
      String(port),
      '--model',
      file,
    ]);
    assert.equal(code, 1);
    assert.match(text, /✗ The model server cannot start/);
    assert.match(text, /Setting: --model/);
  });

  it('refuses a configuration with an unknown key, with file:line and the nearest key, exit 3', async () => {
    const cwd = project('unknown-key', {
      config: (text) => text.replace('internal_listen', 'internal_lisen'),
    });
    const { code, text } = await failedStart([], { cwd });
    assert.equal(code, 3);
    assert.match(
      text,
      /config\/sallyport\.yaml:\d+:\d+ gateway\.internal_lisen: unknown key .* did you mean "internal_listen"\?/,
    );
  });

  it('refuses a missing configuration file, exit 3', async () => {
    const { code, text } = await failedStart(['--config', join(base, 'nope.yaml')]);
    assert.equal(code, 3);
    assert.match(text, /nope\.yaml:1:1 the file does not exist/);
    assert.match(text, /run it in the project folder, or give {2}--config FILE/);
  });

  it('refuses an invalid policy with file:line, exit 3, and leaves no process', async () => {
    const cwd = project('policy', {
      policy: ['issuers.yaml', (text) => text.replace('audiences: [api://sallyport]', 'audiences: []')],
    });
    const data = join(base, 'policy-data');
    const { code, text } = await failedStart(['--data', data, '--port', String(port)], { cwd });
    assert.equal(code, 3);
    assert.match(text, /policies\/issuers\.yaml:\d+:\d+ issuers\.embedded\.audiences/);
    assert.deepEqual(processesWith(data), []);
  });

  it('refuses a secret that is not there, without printing any', async () => {
    const cwd = project('secret', {
      config: (text) =>
        text.replace('listen: 127.0.0.1:8081', 'listen: 127.0.0.1:8081\n  database_url: env:NO_SUCH_SECRET'),
    });
    const { code, text } = await failedStart([], { cwd });
    assert.equal(code, 1);
    assert.match(text, /the environment variable NO_SUCH_SECRET is not set/);
    assert.match(text, /Setting: identity\.database_url in config\/sallyport\.yaml:\d+/);
  });

  it('refuses a data folder that others can enter', async () => {
    const data = join(base, 'open');
    mkdirSync(data);
    chmodSync(data, 0o755);
    const { code, text } = await failedStart(['--data', data]);
    assert.equal(code, 1);
    assert.match(text, new RegExp(`chmod 700 ${data}`));
  });

  it('refuses a data folder whose path is too long for the socket, before anything is made', async () => {
    const data = join(base, 'x'.repeat(110));
    const { code, text } = await failedStart(['--data', data]);
    assert.equal(code, 1);
    assert.match(text, /path of a Unix socket has at most 103 bytes/);
    assert.ok(!existsSync(data));
  });

  it('refuses a second instance on the same data and names the first', async () => {
    const data = join(base, 'twice');
    const first = startProcess(['--data', data, '--port', String(port)]);
    await first.saying(/"event":"ready"/);
    const { code, text } = await failedStart(['--data', data, '--port', String(await freePortTriple())]);
    first.child.kill('SIGTERM');
    assert.equal(code, 1);
    assert.match(text, new RegExp(`already running on ${data}/ \\(pid ${first.child.pid}\\)`));
    assert.equal(await first.ended, 0);
  });

  it('refuses a wrong flag with the nearest one, exit 2', async () => {
    const { code, text } = await failedStart(['--prot', '8090']);
    assert.equal(code, 2);
    assert.match(text, /Did you mean --port\?/);
  });

  it('on an old Node says which one it needs and how to get it, before anything is loaded', () => {
    const pretend = `data:text/javascript,Object.defineProperty(process, 'version', { value: 'v20.11.0' })`;
    const { status, stderr } = spawnSync(
      process.execPath,
      ['--import', pretend, join(packageRoot, 'scripts/start.mjs')],
      { encoding: 'utf8' },
    );
    assert.equal(status, 1);
    assert.match(stderr, /needs Node 24\.17 or newer; this is v20\.11\.0/);
    assert.match(stderr, /npm ci/);
    assert.ok(!/^\s+at /m.test(stderr));
  });

  it('says how to pass a flag that npm kept for itself', async () => {
    const { code, text } = await failedStart([], {
      env: { npm_lifecycle_event: 'start', npm_config_port: '8090' },
    });
    assert.equal(code, 1);
    assert.match(text, /npm start -- --port 8090/);
  });
});
