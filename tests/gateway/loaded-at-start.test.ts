// What a gateway loads before its first request: libraries that only some requests need stay out (docs/decisions/0017).
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';

const watched = `
import { registerHooks } from 'node:module';
const packages = new Set();
registerHooks({
  load(url, context, next) {
    const name = /\\/node_modules\\/((?:@[^/]+\\/)?[^/]+)\\//.exec(url)?.[1];
    if (name !== undefined) packages.add(name);
    return next(url, context);
  },
});
await import(process.argv[1]);
if (process.moduleLoadList.some((name) => name.includes('deps/undici'))) packages.add("Node's undici");
process.stdout.write([...packages].join('\\n'));
`;

describe('a gateway that has served nothing', () => {
  it('has loaded no library that only some requests need', async () => {
    const server = new URL('../../gateway/server.ts', import.meta.url).href;
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--disable-warning=ExperimentalWarning',
      '--input-type=module',
      '--eval',
      watched,
      server,
    ]);
    const packages = stdout.split('\n');
    assert.ok(packages.includes('zod'), 'the libraries that it needs are seen');
    const unneeded = [
      "Node's undici",
      'undici',
      'express',
      'http-proxy-middleware',
      'helmet',
      'pino-http',
      'ioredis',
      'swagger-ui-dist',
    ];
    assert.deepEqual(
      unneeded.filter((name) => packages.includes(name)),
      [],
    );
  });
});
