import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { packageRoot } from '../../core/package.ts';

const model = readFileSync(join(packageRoot, 'models/tiny-gpt2.gguf'));
const sha256 = createHash('sha256').update(model).digest('hex');

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describe('sallyport model', () => {
  let server: Server;
  let origin: string;
  let closedPort: number;
  let folder: string;
  let requests: string[];
  let handle: (request: IncomingMessage, response: ServerResponse) => void;
  before(async () => {
    server = createServer((request, response) => {
      requests.push(`${request.method ?? ''} ${request.url ?? ''} ${request.headers.range ?? ''}`.trim());
      handle(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
    closedPort = (closed.address() as AddressInfo).port;
    await new Promise((resolve) => closed.close(resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-pull-'));
    requests = [];
    handle = serveModel;
  });
  const children = new Set<ChildProcess>();
  afterEach(() => {
    for (const child of children) child.kill('SIGKILL');
    children.clear();
    rmSync(folder, { recursive: true, force: true });
  });

  const start = (...words: string[]): ChildProcess => {
    const child = spawn(process.execPath, [join(packageRoot, 'cli/main.ts'), 'model', ...words], {
      env: { ...process.env, NO_COLOR: '1', CI: '1' },
    });
    children.add(child);
    return child;
  };
  const run = (...words: string[]): Promise<Run> => finished(start(...words));
  const pull = (...words: string[]): Promise<Run> => run('pull', ...words, '--directory', folder);
  const temporary = (): string[] => readdirSync(folder).filter((name) => name.includes('.part'));

  it('pulls a file, checks it against the given checksum, and prints path and settings', async () => {
    const { code, stdout, stderr } = await pull(
      `${origin}/files/small.gguf`,
      '--sha256',
      sha256.toUpperCase(),
    );
    assert.equal(code, 0, stderr);
    assert.equal(stdout, `${join(folder, 'small.gguf')}\n`);
    assert.match(stderr, /downloading small\.gguf/);
    assert.match(stderr, /small: \{ path: .*small\.gguf \}/);
    assert.match(stderr, /policies\/roles\.yaml/);
    assert.deepEqual(readFileSync(join(folder, 'small.gguf')), model);
    assert.deepEqual(readdirSync(folder).sort(), ['small.gguf', 'small.gguf.sha256']);
  });

  it('pulls a known name from a mirror of the hub, by the checksum that the hub states', async () => {
    handle = (request, response) => {
      if (!(request.url ?? '').includes('/resolve/')) {
        serveModel(request, response);
        return;
      }
      response.writeHead(302, { location: `${origin}/storage/gpt2`, 'x-linked-etag': `"${sha256}"` }).end();
    };
    const { code, stdout, stderr } = await pull('gpt2', '--endpoint', origin, '--json');
    assert.equal(code, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), {
      id: 'gpt2',
      path: join(folder, 'gpt2.gguf'),
      bytes: model.length,
      sha256,
      verified_by: 'hub',
    });
    assert.match(requests[0] ?? '', /^HEAD \/QuantFactory\/gpt2-GGUF\/resolve\/main\/gpt2\.Q8_0\.gguf/);
  });

  it('deletes a file that is not what the hub stated', async () => {
    handle = (request, response) => {
      if (!(request.url ?? '').includes('/resolve/')) {
        serveModel(request, response);
        return;
      }
      response
        .writeHead(302, { location: `${origin}/storage/gpt2`, 'x-linked-etag': `"${'0'.repeat(64)}"` })
        .end();
    };
    const { code, stderr } = await pull('gpt2', '--endpoint', origin);
    assert.equal(code, 1);
    assert.match(stderr, /wrong checksum/);
    assert.deepEqual(readdirSync(folder), []);
  });

  it('refuses a file with another checksum than the given one, and leaves nothing behind', async () => {
    const { code, stdout, stderr } = await pull(`${origin}/small.gguf`, '--sha256', 'a'.repeat(64));
    assert.equal(code, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /wrong checksum and must not be used/);
    assert.match(stderr, new RegExp(`received ${sha256}`));
    assert.equal(stderr.split('once more').length, 2); // One more try, not more.
    assert.deepEqual(readdirSync(folder), []);
  });

  it('starts once more from the beginning when what came has the wrong checksum', async () => {
    let damaged = 0;
    handle = (request, response) => {
      if (request.method !== 'GET' || request.headers.range === undefined || damaged++ > 0) {
        serveModel(request, response);
        return;
      }
      const [, start = '', end = ''] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range) ?? [];
      const bytes = Buffer.alloc(Number(end) - Number(start) + 1, 7);
      response
        .writeHead(206, {
          'content-length': bytes.length,
          'content-range': `bytes ${start}-${end}/${model.length}`,
        })
        .end(bytes);
    };
    const { code, stderr } = await pull(`${origin}/small.gguf`, '--sha256', sha256);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /checksum is wrong: once more from the beginning/);
    assert.deepEqual(readFileSync(join(folder, 'small.gguf')), model);
    assert.deepEqual(readdirSync(folder).sort(), ['small.gguf', 'small.gguf.sha256']);
  });

  it('goes on by itself when the connection breaks off', async () => {
    let cuts = 0;
    handle = (request, response) => {
      if (request.method === 'GET' && request.headers.range !== undefined && cuts++ < 2)
        serveModel(request, response, 1_500_000);
      else serveModel(request, response);
    };
    const { code, stderr } = await pull(`${origin}/small.gguf`, '--sha256', sha256);
    assert.equal(code, 0, stderr);
    assert.ok(cuts > 2);
  });

  it('resumes what an interrupted run left', async () => {
    handle = (request, response) => {
      // The first five megabytes arrive; then the server goes silent, with the connection open.
      const start = Number(/bytes=(\d+)/.exec(request.headers.range ?? '')?.[1] ?? 0);
      if (request.method === 'GET' && start > 0) serveModel(request, response, 1, false);
      else serveModel(request, response, request.headers.range === undefined ? Infinity : 6_000_000, false);
    };
    const child = start('pull', `${origin}/small.gguf`, '--directory', folder);
    const ended = finished(child);
    await until(() => temporary().some((name) => statSync(join(folder, name)).size > 5_000_000));
    await new Promise((resolve) => setTimeout(resolve, 300)); // The note of what has arrived is written behind the bytes.
    child.kill('SIGINT');
    assert.equal((await ended).code, 130);
    assert.equal(temporary().length, 1);
    assert.equal(existsSync(join(folder, 'small.gguf')), false);

    handle = serveModel;
    requests = [];
    const { code, stderr } = await pull(`${origin}/small.gguf`, '--sha256', sha256);
    assert.equal(code, 0, stderr);
    const first = Math.min(...requests.flatMap((line) => Number(/bytes=(\d+)/.exec(line)?.[1] ?? Infinity)));
    assert.ok(first > 0, `asked again from the beginning: ${requests.join('; ')}`);
  });

  it('gives up on a server that goes silent, with code 8', async () => {
    for (const silentAt of [0, 1]) {
      let gets = 0;
      handle = (request, response) => {
        if (request.method === 'HEAD' || gets++ < silentAt) serveModel(request, response);
      };
      const { code, stderr } = await pull(`${origin}/small.gguf`, '--timeout', '0.5');
      assert.equal(code, 8, stderr);
      assert.match(stderr, /The download stopped/);
      assert.match(stderr, /goes on where it stopped/);
    }
  });

  it('does not download what is there, but checks it', async () => {
    writeFileSync(join(folder, 'small.gguf'), model);
    assert.equal((await pull(`${origin}/small.gguf`, '--sha256', sha256)).code, 0);
    assert.deepEqual(requests, []);
    const { code, stderr } = await pull(`${origin}/small.gguf`, '--sha256', 'b'.repeat(64));
    assert.equal(code, 1);
    assert.match(stderr, /wrong checksum/);
    assert.ok(existsSync(join(folder, 'small.gguf')));
  });

  const failures: readonly [
    title: string,
    words: () => string[],
    code: number,
    expected: RegExp,
    answer?: (response: ServerResponse) => void,
  ][] = [
    [
      'a file that the server lacks',
      () => [`${origin}/none.gguf`],
      8,
      /has no file \/none\.gguf/,
      (response) => response.writeHead(404).end(),
    ],
    [
      'a file that needs an account',
      () => [`${origin}/private.gguf`],
      8,
      /answered 401/,
      (response) => response.writeHead(401).end(),
    ],
    [
      'a server that nobody runs',
      () => [`http://127.0.0.1:${closedPort}/a.gguf`],
      8,
      /cannot be reached: nothing listens there/,
    ],
    [
      'a name that no network resolves',
      () => ['https://sallyport.invalid/a.gguf'],
      8,
      /cannot be reached: .*is there a network\?/,
    ],
    [
      'a page instead of a model',
      () => [`${origin}/page.gguf`],
      1,
      /not a GGUF model file/,
      (response) => response.writeHead(200, { 'content-length': 9 }).end('<html>hi<'),
    ],
    ['an unknown name', () => ['gpt9'], 2, /There is no model gpt9/],
    ['plain http without a checksum', () => ['http://models.invalid/a.gguf'], 2, /Over plain http/],
    [
      'a checksum that is none',
      () => [`${origin}/small.gguf`, '--sha256', 'abc'],
      2,
      /64 hexadecimal digits/,
    ],
    [
      'a loop of redirects',
      () => [`${origin}/loop.gguf`],
      8,
      /redirects without end/,
      (response) => response.writeHead(302, { location: '/loop.gguf' }).end(),
    ],
  ];
  for (const [title, words, code, expected, answer] of failures) {
    it(`fails with a sentence and code ${code} for ${title}`, async () => {
      if (answer !== undefined) handle = (_, response) => answer(response);
      const failed = await pull(...words());
      assert.equal(failed.code, code, failed.stderr);
      assert.equal(failed.stdout, '');
      assert.match(failed.stderr, expected);
      assert.doesNotMatch(failed.stderr, /\n {4}at /);
    });
  }

  it('lists and verifies files, and says which changed', async () => {
    assert.equal((await pull(`${origin}/small.gguf`)).code, 0);
    writeFileSync(join(folder, 'other.gguf'), Buffer.concat([Buffer.from('GGUF'), Buffer.alloc(100)]));
    const listed = await run('list', '--directory', folder, '--json');
    assert.deepEqual(
      (JSON.parse(listed.stdout) as { file: string; sha256: string | null }[]).map((entry) => [
        entry.file,
        entry.sha256,
      ]),
      [
        [join(folder, 'other.gguf'), null],
        [join(folder, 'small.gguf'), sha256],
      ],
    );
    const verified = await run('verify', '--directory', folder);
    assert.equal(verified.code, 0, verified.stderr);
    assert.match(verified.stdout, /^no checksum .*other\.gguf.*\nok .*small\.gguf/);

    writeFileSync(join(folder, 'small.gguf'), Buffer.concat([model, Buffer.from('x')]));
    const changed = await run('verify', join(folder, 'small.gguf'));
    assert.equal(changed.code, 1);
    assert.match(changed.stdout, /^wrong/);
  });

  it('verifies the shipped model', async () => {
    const { code, stdout } = await run('verify', join(packageRoot, 'models/tiny-gpt2.gguf'));
    assert.deepEqual([code, stdout.startsWith('ok')], [0, true]);
  });
});

/** Serves the model with ranges; `limit` bytes at most, then cut off or left open. */
function serveModel(request: IncomingMessage, response: ServerResponse, limit = Infinity, cuts = true): void {
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const start = range === null ? 0 : Number(range[1]);
  const end = range?.[2] ? Number(range[2]) : model.length - 1;
  response.writeHead(range === null ? 200 : 206, {
    'accept-ranges': 'bytes',
    'content-length': end - start + 1,
    ...(range === null ? {} : { 'content-range': `bytes ${start}-${end}/${model.length}` }),
  });
  if (request.method === 'HEAD') response.end();
  else if (end - start + 1 <= limit) response.end(model.subarray(start, end + 1));
  else response.write(model.subarray(start, start + limit), () => (cuts ? response.destroy() : undefined));
}

function finished(child: ChildProcess): Promise<Run> {
  return new Promise((resolve) => {
    let stdout = '';
    let stderr = '';
    child.stdout?.on('data', (piece: Buffer) => (stdout += piece.toString()));
    child.stderr?.on('data', (piece: Buffer) => (stderr += piece.toString()));
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

async function until(condition: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('never happened');
}
