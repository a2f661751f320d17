// The whole gateway as it is built, with the policies that ship and every stage on. Only numbers of limits are raised,
// because a bench sends more than a person does.
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { policyEditor, raiseLimits, variants } from './gateway-variants.mjs';
import { ready } from './process.mjs';

const here = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Starts it from `root` (default: this checkout; its dist/, or its sources with `isSource`) and resolves with its ports.
 * `variant` names one of gateway-variants.mjs; `algorithms` are those that its issuer may sign with.
 */
export async function start({
  upstreamPort,
  issuer,
  root = here,
  isSource = false,
  variant = 'everything on',
  algorithms = ['RS256'],
}) {
  const part = (name) =>
    import(pathToFileURL(isSource ? join(root, `${name}.ts`) : join(root, 'dist', `${name}.js`)).href);
  const { gatewayConfigSchema } = await part('gateway/config');
  const { startGateway } = await part('gateway/server');
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const policies = join(folder, 'policies');
  cpSync(join(root, 'policies'), policies, { recursive: true });
  // Its own tests judge the bundle as it ships, not as it is changed here.
  rmSync(join(policies, 'tests'), { recursive: true, force: true });
  const config = {
    listen: '127.0.0.1:0',
    internal_listen: '127.0.0.1:0',
    policies,
    data: join(folder, 'data'),
    assertion_jwks: join(folder, 'run', 'gateway-jwks.json'),
    embedded_issuer: issuer,
    upstreams: {
      embedded: {
        kind: 'openai',
        url: `http://127.0.0.1:${upstreamPort}`,
        models: ['tiny-gpt2'],
        assertion: 'model-server',
      },
      accounts: { kind: 'http', url: `http://127.0.0.1:${upstreamPort}`, assertion: 'identity' },
    },
  };
  const edit = policyEditor(policies);
  raiseLimits(edit);
  edit('issuers', ({ issuers }) => {
    issuers.embedded.algorithms = algorithms;
  });
  variants[variant]({ edit, config });
  const running = await startGateway(gatewayConfigSchema.parse(config));
  return {
    port: Number(new URL(running.address).port),
    internalPort: Number(new URL(running.internalAddress).port),
  };
}

/** A CPU profile from `{ from: true }` to `{ file }`. */
let session = null;
async function profile({ file = null }) {
  if (file === null) {
    session = new Session();
    session.connect();
    await session.post('Profiler.enable');
    await session.post('Profiler.setSamplingInterval', { interval: 250 });
    await session.post('Profiler.start');
    return;
  }
  writeFileSync(file, JSON.stringify((await session.post('Profiler.stop')).profile));
}

ready(import.meta.url, start, {
  profile,
  // Where stage-clock.mjs was loaded.
  forget: () => globalThis.sallyportStageClock.forget(),
  stages: () => globalThis.sallyportStageClock.tell(),
});
