import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { get as httpsGet } from 'node:https';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import '../../cli/supervisor/reflect-metadata.ts';
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509';
import { createLog } from '../../core/log.ts';
import { packageRoot } from '../../core/package.ts';
import { defaultThreads, modelServerConfigSchema, threadsOfEngine } from '../../model-server/config.ts';
import { startModelServer } from '../../model-server/server.ts';
import { createGatewayKeys, modelPath } from './start.ts';

describe('starting the model server', () => {
  const { folder, jwks } = createGatewayKeys();
  after(() => rmSync(folder, { recursive: true, force: true }));
  const socket = join(folder, 'run', 'model.sock');

  const start = (settings: Record<string, unknown> = {}) =>
    startModelServer(
      modelServerConfigSchema.parse({
        listen: `unix:${socket}`,
        gateway_jwks: jwks,
        threads: 1,
        models: { tiny: { path: modelPath } },
        ...settings,
      }),
      createLog('model-server', 'silent'),
    );
  const withPath = (path: string) => start({ models: { tiny: { path } } });
  const file = (name: string, content: Buffer | string): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };

  const badFiles: readonly [title: string, make: () => string, expected: RegExp][] = [
    [
      'is missing',
      () => join(folder, 'none.gguf'),
      /^model_server\.models\.tiny\.path: .*none\.gguf does not exist; .*model pull/,
    ],
    ['is a folder', () => folder, /^model_server\.models\.tiny\.path: .*is a folder/],
    ['is empty', () => file('empty.gguf', ''), /not a GGUF/],
    [
      'is something else',
      () => file('page.gguf', '<html>404</html>'),
      /^model_server\.models\.tiny\.path: .*not a GGUF/,
    ],
    [
      'is truncated',
      () => {
        const path = file('cut.gguf', readFileSync(modelPath));
        truncateSync(path, 5_000_000);
        return path;
      },
      /^model_server\.models\.tiny\.path: .*cut\.gguf cannot be loaded/,
    ],
    [
      'has only its magic number right',
      () => file('magic.gguf', Buffer.concat([Buffer.from('GGUF'), Buffer.alloc(4096, 7)])),
      /magic\.gguf cannot be loaded/,
    ],
  ];
  for (const [title, make, expected] of badFiles) {
    it(`fails with the setting's name when the model file ${title}`, async () => {
      await assert.rejects(
        withPath(make()),
        (error: Error) => expected.test(error.message) && !error.message.includes('\n'),
      );
    });
  }

  const hasCuda = existsSync(join(packageRoot, 'node_modules/@node-llama-cpp/linux-x64-cuda/bins'));
  it('fails on a GPU that is not there, naming the setting and the page', { skip: hasCuda }, async () => {
    await assert.rejects(
      start({ models: { tiny: { path: modelPath, gpu: 'cuda' } } }),
      /^Error: model_server\.models\.tiny\.gpu: .*docs\/how-to\/gpu\.md/,
    );
  });

  it(
    'gives the engine of the environment only what it needs, and a pool that fits its one thread',
    { skip: process.platform === 'linux' ? false : 'the environment is read from /proc' },
    async () => {
      process.env['SALLYPORT_TEST_SECRET'] = 'swordfish';
      const server = await start();
      try {
        const children = readdirSync('/proc/self/task').flatMap((thread) =>
          readFileSync(`/proc/self/task/${thread}/children`, 'utf8').split(' ').filter(Boolean),
        );
        const environments = children.map((child) =>
          readFileSync(`/proc/${child}/environ`, 'utf8').split('\0'),
        );
        const engines = environments.filter((lines) => lines.includes('NODE_LLAMA_CPP_SKIP_DOWNLOAD=true'));
        assert.equal(engines.length, 1);
        assert.ok(engines[0]?.includes('UV_THREADPOOL_SIZE=2'));
        assert.ok(!engines.flat().some((line) => line.includes('swordfish')));
      } finally {
        delete process.env['SALLYPORT_TEST_SECRET'];
        await server.close();
      }
    },
  );

  it('fails when no model is configured', async () => {
    await assert.rejects(start({ models: {} }), /^Error: model_server\.models: /);
  });

  it('fails on an address beyond loopback without TLS, and says how to permit it', async () => {
    await assert.rejects(start({ listen: '0.0.0.0:0' }), /model_server\.listen: .*insecure_plain_http/);
  });

  it('fails on a certificate that cannot be read', async () => {
    await assert.rejects(
      start({
        listen: '127.0.0.1:0',
        tls: { cert: join(folder, 'none.pem'), key: join(folder, 'none.pem') },
      }),
      /model_server\.tls\.cert: .*ENOENT/,
    );
  });

  it('fails on a socket path that the system would cut', async () => {
    await assert.rejects(
      start({ listen: `unix:${join(folder, 'x'.repeat(120))}` }),
      /model_server\.listen: .*at most 103 bytes/,
    );
  });

  it('fails in a folder where others can write', async () => {
    const open = join(folder, 'open');
    mkdirSync(open);
    chmodSync(open, 0o777);
    await assert.rejects(
      start({ listen: `unix:${join(open, 'model.sock')}` }),
      /model_server\.listen: others can write/,
    );
  });

  it('fails on a path that is a file, and leaves the file alone', async () => {
    const path = file('notes.txt', 'mine');
    await assert.rejects(start({ listen: `unix:${path}` }), /not a socket/);
    assert.equal(readFileSync(path, 'utf8'), 'mine');
  });

  it('clamps a context beyond the trained one, which would abort the engine', async () => {
    const server = await start({ models: { tiny: { path: modelPath, context: 4096, sequences: 2 } } });
    await server.close();
  });

  it('listens on loopback by TCP', async () => {
    const server = await start({ listen: '127.0.0.1:0' });
    assert.match(server.address, /^http:\/\/127\.0\.0\.1:\d+$/);
    assert.notEqual(server.address, 'http://127.0.0.1:0');
    const { status } = await fetch(`${server.address}/v1/models`);
    assert.equal(status, 401);
    await server.close();
  });

  it('speaks TLS beyond loopback when it has a certificate', async () => {
    const { cert, key } = await selfSigned();
    const tls = { cert: file('cert.pem', cert), key: file('key.pem', key) };
    await assert.rejects(
      start({ listen: '127.0.0.1:0', tls: { ...tls, key: tls.cert } }),
      /^Error: model_server\.tls: /,
    );
    const server = await start({ listen: '0.0.0.0:0', tls });
    const port = Number(/^https:\/\/0\.0\.0\.0:(\d+)$/.exec(server.address)?.[1]);
    const status = await new Promise((resolve, reject) => {
      httpsGet(
        { host: '127.0.0.1', servername: 'localhost', port, path: '/healthz', ca: cert, agent: false },
        (response) => {
          response.resume();
          resolve(response.statusCode);
        },
      ).on('error', reject);
    });
    assert.equal(status, 200);
    await server.close();
  });

  it('leaves neither a socket nor a process behind when it closes, twice if need be', async () => {
    const server = await start();
    const engines = server.engineProcessIds();
    assert.equal(engines.length, 1);
    await Promise.all([server.close(), server.close()]);
    assert.equal(existsSync(socket), false);
    for (const id of engines) assert.throws(() => process.kill(id, 0));
  });

  it('runs several models, each in an engine of its own', async () => {
    const server = await start({
      models: { one: { path: modelPath }, two: { path: modelPath, sequences: 1 } },
    });
    assert.deepEqual([server.models, new Set(server.engineProcessIds()).size], [['one', 'two'], 2]);
    await server.close();
  });

  describe('on a socket that is there already', () => {
    let other: Server;
    before(async () => {
      other = createServer();
      await new Promise<void>((resolve) => other.listen(join(folder, 'taken.sock'), resolve));
    });
    after(() => new Promise((resolve) => other.close(resolve)));

    it('fails when somebody listens on it', async () => {
      await assert.rejects(
        start({ listen: `unix:${join(folder, 'taken.sock')}` }),
        /model_server\.listen: another process listens/,
      );
      assert.ok(existsSync(join(folder, 'taken.sock')));
    });

    it('replaces it when nobody does', async () => {
      const path = join(folder, 'stale.sock');
      await leaveStaleSocket(path);
      assert.ok(existsSync(path));
      const server = await start({ listen: `unix:${path}` });
      await server.close();
    });
  });
});

async function selfSigned(): Promise<{ cert: string; key: string }> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=localhost',
    keys,
    signingAlgorithm: algorithm,
    extensions: [new SubjectAlternativeNameExtension([{ type: 'dns', value: 'localhost' }])],
  });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    cert: certificate.toString('pem'),
    key: `-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----\n`,
  };
}

/** A socket file whose owner was killed. */
async function leaveStaleSocket(path: string): Promise<void> {
  const owner = spawn(process.execPath, [
    '-e',
    `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`,
  ]);
  await new Promise((resolve) => owner.once('exit', resolve));
}

describe('the settings of the model server', () => {
  const refused: readonly [title: string, value: unknown][] = [
    ['an unknown key', { model: {} }],
    ['a context of 0', { models: { a: { path: 'x', context: 0 } } }],
    ['no sequences', { models: { a: { path: 'x', sequences: 0 } } }],
    ['no engines', { models: { a: { path: 'x', engines: 0 } } }],
    ['half an engine', { models: { a: { path: 'x', engines: 1.5 } } }],
    ['pieces of no prompt token', { models: { a: { path: 'x', prompt_chunk: 0 } } }],
    ['a prefix kept for less than no time', { models: { a: { path: 'x', keep_prefix_ms: -1 } } }],
    ['a prefix kept for ever', { models: { a: { path: 'x', keep_prefix_ms: 86_400_001 } } }],
    ['a model without a path', { models: { a: {} } }],
    ['a model id with a slash', { models: { 'a/b': { path: 'x' } } }],
    ['an address that is none', { listen: 'somewhere', models: {} }],
    ['half a TLS pair', { tls: { cert: 'x' }, models: {} }],
  ];
  for (const [title, value] of refused) {
    it(`refuse ${title}`, () => assert.equal(modelServerConfigSchema.safeParse(value).success, false));
  }

  it('leave a core free by default, and use one where there is only one', () => {
    assert.deepEqual([defaultThreads(1), defaultThreads(2), defaultThreads(8)], [1, 1, 7]);
  });

  it('share threads out among the engines of a model, at least one each, unless the model says otherwise', () => {
    const shared = [1, 2, 3, 16].map((engines) =>
      threadsOfEngine({ engines, threads: undefined }, { threads: 7 }),
    );
    assert.deepEqual(shared, [7, 3, 2, 1]);
    assert.equal(threadsOfEngine({ engines: 4, threads: 5 }, { threads: 7 }), 5);
  });
});
