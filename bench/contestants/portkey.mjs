// Portkey's gateway from npm, where somebody has installed it: it is not a dependency of this project. It checks no token
// itself; the caller's Authorization goes through to the upstream.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, startProgram } from '../harness/processes.mjs';

const folder = process.env.SALLYPORT_BENCH_PORTKEY;
const program =
  folder === undefined
    ? undefined
    : [
        join(folder, 'node_modules/@portkey-ai/gateway/build/start-server.js'),
        join(folder, 'build/start-server.js'),
      ].find((path) => existsSync(path));

/** How to have it beside the others. */
export const howToInstall =
  'npm install --prefix <folder> @portkey-ai/gateway, then SALLYPORT_BENCH_PORTKEY=<folder> npm run bench';

export const isHere = () => program !== undefined;

export async function launch({ core, upstreamPort }) {
  const port = await freePort();
  const words = [process.execPath, program, '--headless', `--port=${port}`];
  const started = await startProgram(words, port, { core });
  return {
    ...started,
    headers: {
      'x-portkey-provider': 'openai',
      'x-portkey-custom-host': `http://127.0.0.1:${upstreamPort}/v1`,
    },
  };
}
