// The whole gateway from dist/, with the policies that ship; only the numbers of the limits are raised, because a bench
// sends more than 600 requests and 100,000 model tokens a minute.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gatewayConfigSchema } from '../../dist/gateway/config.js';
import { startGateway } from '../../dist/gateway/server.js';
import { ready } from './process.mjs';

export async function start({ upstreamPort, issuer }) {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const policies = join(folder, 'policies');
  cpSync(new URL('../../policies', import.meta.url), policies, { recursive: true });
  const limits = join(policies, 'limits.yaml');
  writeFileSync(
    limits,
    readFileSync(limits, 'utf8').replaceAll(/(requests|model_tokens): \d+/g, '$1: 100000000'),
  );
  const running = await startGateway(
    gatewayConfigSchema.parse({
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
    }),
  );
  return { port: Number(new URL(running.address).port) };
}

ready(start);
