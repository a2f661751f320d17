// The kernels that are asked for are those that compute, in real engine processes; nothing else is accepted in silence.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { modelServerConfigSchema } from '../../model-server/config.ts';
import { modelPath, startGateway } from './start.ts';

const isLinux = process.platform === 'linux' && process.arch === 'x64';
const onLinux = { skip: isLinux ? false : 'the choice is there on Linux with x64 alone' };
const processor = isLinux ? readFileSync('/proc/cpuinfo', 'utf8') : '';

/** The kernels that a child of this process has loaded. */
function loadedKernels(): string[] {
  const children = readdirSync('/proc/self/task').flatMap((thread) =>
    readFileSync(`/proc/self/task/${thread}/children`, 'utf8').split(' ').filter(Boolean),
  );
  const maps = children.map((child) => readFileSync(`/proc/${child}/maps`, 'utf8')).join('\n');
  return [...new Set(maps.match(/libggml-cpu-[a-z0-9]+/g) ?? [])];
}

const refuses = (kernels: string, expected: RegExp): Promise<void> =>
  assert.rejects(startGateway({}, { cpu_kernels: kernels }), (error: Error) => expected.test(error.message));

describe('cpu_kernels', () => {
  it('computes with the kernels that are asked for, and no others', onLinux, async () => {
    const gateway = await startGateway({}, { cpu_kernels: 'x64' });
    try {
      assert.deepEqual(loadedKernels(), ['libggml-cpu-x64']);
      const body = { model: 'tiny-gpt2', prompt: 'The door', max_tokens: 4, temperature: 0 };
      const { status, json } = await gateway.call('/v1/completions', { body });
      assert.equal(status, 200);
      assert.equal(json.usage.completion_tokens, 4);
    } finally {
      await gateway.close();
    }
  });

  it('leaves the choice to llama.cpp by default', onLinux, async () => {
    const gateway = await startGateway();
    try {
      assert.equal(loadedKernels().length, 1);
      assert.notDeepEqual(loadedKernels(), ['libggml-cpu-x64']);
    } finally {
      await gateway.close();
    }
  });

  it('refuses kernels that there are not, and names those that there are', onLinux, () =>
    refuses(
      'pentium',
      /^model_server\.models\.tiny-gpt2\.cpu_kernels: no kernels for "pentium"; there are .*haswell/,
    ),
  );

  it(
    'refuses kernels that the processor cannot run, instead of dying of them',
    { skip: !isLinux || /\bamx_int8\b/.test(processor) },
    () =>
      refuses('sapphirerapids', /cpu_kernels: this processor cannot run the kernels for "sapphirerapids"/),
  );

  const parse = (model: Record<string, unknown>) =>
    modelServerConfigSchema.safeParse({ models: { tiny: { path: modelPath, ...model } } });

  it('refuses a path in place of a processor', () => {
    for (const kernels of ['../../evil', '/tmp/evil.so', 'zen4.so', 'Zen4', ''])
      assert.equal(parse({ cpu_kernels: kernels }).success, false, kernels);
  });

  it('refuses kernels of a CPU beside a GPU', () => {
    const { error } = parse({ cpu_kernels: 'haswell', gpu: 'auto' });
    assert.deepEqual(error?.issues[0]?.path, ['models', 'tiny', 'cpu_kernels']);
    assert.equal(parse({ cpu_kernels: 'haswell' }).success, true);
  });
});
