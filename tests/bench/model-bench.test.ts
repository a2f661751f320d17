// The bench of the model server runs, prints what it promises and writes samples; nothing here looks at a duration.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { packageRoot } from '../../core/package.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const hasPython = spawnSync('python3', ['--version'], { stdio: 'ignore' }).status === 0;

/** A part of the bench; plain JavaScript without types. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
const part = (name: string): Promise<any> =>
  import(pathToFileURL(join(packageRoot, 'bench/model', name)).href);

interface Sample {
  readonly scenario: string;
  readonly model: string;
  readonly contestant: string;
  readonly streams: number;
  readonly completionTokens?: number;
  readonly tokensPerSecond?: number;
  readonly firstTextP50Ms: number;
}

async function listen(onRequest: RequestListener): Promise<{ url: string; close: () => void }> {
  const server = createServer(onRequest);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // A TCP server has a port.
  return { url: `http://127.0.0.1:${port}`, close: () => server.close() };
}

describe('the bench of the model server', () => {
  it('measures every contestant that needs no installation, in its short form', () => {
    const json = join(folder, 'short.json');
    const words = ['--short', '--without', 'llama-server', '--json', json];
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(packageRoot, 'bench/model.mjs'), ...words],
      { encoding: 'utf8', timeout: 300_000 },
    );
    assert.equal(status, 0, stderr);
    const { samples } = JSON.parse(readFileSync(json, 'utf8')) as { samples: Sample[] };
    const measured = (scenario: string): Set<string> =>
      new Set(samples.filter((one) => one.scenario === scenario).map(({ contestant }) => contestant));
    assert.deepEqual([...measured('streams')].sort(), [
      'gateway + ours',
      'in process',
      'node default',
      'ours',
    ]);
    assert.deepEqual([...measured('engines')].sort(), ['ours', 'ours, two engines']);
    assert.deepEqual([...measured('prefix')].sort(), ['ours, again', 'ours, first']);
    assert.ok(measured('joining').has('ours'));
    assert.ok(measured('trained').has('ours'));
    assert.ok(measured('cold').has('ours'));
    for (const sample of samples) {
      assert.equal(sample.model, 'trained');
      assert.ok(sample.firstTextP50Ms > 0);
      if (sample.scenario === 'streams')
        // A stream may draw the end id, which is rare.
        assert.ok((sample.completionTokens ?? 0) > 0);
    }
    assert.match(stdout, /\| gateway \+ ours \| 4 \|/);
    assert.match(stdout, /\| cold start to the first text, seconds \|/);
    assert.match(stderr, /llama-server: skipped/);
  });

  it('leaves the Python service out where its packages are missing', () => {
    const words = ['--short', '--scenarios', 'python'];
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(packageRoot, 'bench/model.mjs'), ...words],
      {
        encoding: 'utf8',
        timeout: 300_000,
        env: { ...process.env, SALLYPORT_BENCH_PYTHON: join(folder, 'no-python') },
      },
    );
    assert.equal(status, 0, stderr);
    assert.match(stderr, /python service: skipped: no Python/);
    assert.match(stdout, /\| ours \| 8 \|/);
  });

  it('brings a Python service that parses', { skip: hasPython ? false : 'no python3' }, () => {
    const path = join(packageRoot, 'bench/model/contestants/python_service.py');
    const parse = 'import ast, sys; ast.parse(open(sys.argv[1]).read())';
    const { status, stderr } = spawnSync('python3', ['-c', parse, path], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
  });

  it('gives the Python service the vocabulary of the file that ours reads', async () => {
    const { gpt2Vocabulary } = await part('gpt2-file.mjs');
    const path = gpt2Vocabulary(folder) as string;
    const vocabulary = JSON.parse(readFileSync(join(path, 'vocab.json'), 'utf8')) as Record<string, number>;
    const [version, first] = readFileSync(join(path, 'merges.txt'), 'utf8').split('\n');
    assert.equal(Object.keys(vocabulary).length, 50_257);
    assert.equal(vocabulary['<|endoftext|>'], 50_256);
    assert.match(version ?? '', /^#version/);
    assert.match(first ?? '', /^\S+ \S+$/);
  });

  it('refuses a scenario that it does not know', () => {
    const words = [join(packageRoot, 'bench/model.mjs'), '--scenarios', 'nothing'];
    const { status, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
    assert.equal(status, 1);
    assert.match(stderr, /there is no scenario nothing/);
  });
});

describe('what the bench makes of samples', () => {
  const sample = (contestant: string, round: number, tokensPerSecond: number, model = 'gpt2') => ({
    scenario: 'streams',
    model,
    contestant,
    streams: 8,
    round,
    tokensPerSecond,
  });
  const toLlama = '8 streams, tokens/s, to llama-server';

  it('divides only what was measured in the same round, and takes the median', async () => {
    const { judge } = await part('goals.mjs');
    const judged = judge([
      sample('ours', 0, 90),
      sample('llama-server', 0, 100),
      sample('ours', 1, 45),
      sample('llama-server', 1, 45),
      sample('ours', 2, 10),
      sample('ours', 3, 19),
      sample('llama-server', 3, 20),
    ]);
    const goal = judged.find(({ name }: { name: string }) => name === toLlama);
    assert.deepEqual(goal.ratios, [0.9, 1, 0.95]);
    assert.equal(goal.median, 0.95);
    assert.equal(goal.verdict, 'met');
  });

  it('says that a goal is missed', async () => {
    const { judge } = await part('goals.mjs');
    const [goal] = judge([sample('ours', 0, 89), sample('llama-server', 0, 100)]);
    assert.equal(goal.verdict, 'missed');
  });

  it('does not judge the tiny model by the goals for GPT-2', async () => {
    const { judge } = await part('goals.mjs');
    assert.deepEqual(
      judge([sample('ours', 0, 99, 'trained'), sample('llama-server', 0, 100, 'trained')]),
      [],
    );
  });
});

describe('the load of the model bench', () => {
  it('times every piece of an OpenAI stream and takes the counts from its usage', async () => {
    const { load } = await part('load.mjs');
    const { summarise } = await part('streams.mjs');
    const server = await listen((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (const text of ['one', ' two', ''])
        response.write(`data: ${JSON.stringify({ choices: [{ index: 0, text }] })}\n\n`);
      response.write('data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n');
      response.end('data: [DONE]\n\n');
    });
    const streams = await load({ url: `${server.url}/v1/completions`, prompts: ['a', 'b'], maxTokens: 2 });
    server.close();
    for (const stream of streams) assert.equal(stream.texts.length, 2);
    const row = summarise(streams);
    assert.equal(row.completionTokens, 4);
    assert.equal(row.promptTokens, 14);
    assert.ok(row.fairness > 0 && row.fairness <= 1);
  });

  it('fails on an error within a stream', async () => {
    const { load } = await part('load.mjs');
    const server = await listen((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end('data: {"error":{"message":"the engine is gone"}}\n\n');
    });
    const url = `${server.url}/v1/completions`;
    await assert.rejects(load({ url, prompts: ['a'], maxTokens: 2 }), /the engine is gone/);
    server.close();
  });

  it('fails on a refusal', async () => {
    const { load } = await part('load.mjs');
    const server = await listen((_, response) => response.writeHead(503).end('busy'));
    await assert.rejects(
      load({ url: `${server.url}/generate`, prompts: ['a'], maxTokens: 2 }),
      /answered 503: busy/,
    );
    server.close();
  });

  it('measures an endpoint of any other shape by its whole answer, from the command line', async () => {
    const bodies: unknown[] = [];
    const server = await listen((request, response) => {
      let text = '';
      request.on('data', (piece: Buffer) => (text += piece.toString()));
      request.on('end', () => {
        bodies.push(JSON.parse(text));
        response.setHeader('content-type', 'application/json');
        response.end('{"generated_text":"a text"}');
      });
    });
    const words = [
      '--url',
      `${server.url}/generate`,
      '--clients',
      '3',
      '--rounds',
      '1',
      '--max-tokens',
      '50',
    ];
    const program = [join(packageRoot, 'bench/model/load.mjs'), ...words];
    const { stdout } = await promisify(execFile)(process.execPath, program);
    server.close();
    const row = JSON.parse(stdout) as Record<string, number>;
    assert.equal(row['completionTokens'], 150);
    assert.equal(row['streams'], 3);
    assert.equal(bodies.length, 6); // One run that is not measured, one that is.
    assert.equal((bodies[0] as Record<string, unknown>)['max_length'], 50);
  });
});

describe('the vocabulary of the GPT-2 file', () => {
  it('has the size of GPT-2, no piece twice, and each merge makes the piece of its place', async () => {
    const { createVocabulary } = await part('vocabulary.mjs');
    const { pieces, types, merges, endId } = createVocabulary();
    assert.equal(pieces.length, 50_257);
    assert.equal(new Set(pieces).size, 50_257);
    assert.equal(types.length, 50_257);
    assert.equal(merges.length, 50_000);
    assert.equal(endId, 50_256);
    merges.forEach((merge: string, index: number) =>
      assert.equal(merge.replace(' ', ''), pieces[256 + index]),
    );
  });

  it('is padded with ids that stand for nothing', async () => {
    const { createVocabulary } = await part('vocabulary.mjs');
    const { pieces, types } = createVocabulary(50_272);
    assert.equal(pieces.length, 50_272);
    assert.ok(types.slice(50_257).every((type: number) => type === 5));
  });
});
