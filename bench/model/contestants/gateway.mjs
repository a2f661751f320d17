// The gateway from dist/ before a model server, with the policies that ship; only the numbers of its limits are raised.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gatewayConfigSchema } from '../../../dist/gateway/config.js';
import { startGateway } from '../../../dist/gateway/server.js';
import { ready } from '../../contestants/process.mjs';

export async function start({ folder, jwks, issuer, upstream }) {
  const policies = join(folder, 'policies');
  cpSync(new URL('../../../policies', import.meta.url), policies, { recursive: true });
  const limits = join(policies, 'limits.yaml');
  writeFileSync(
    limits,
    readFileSync(limits, 'utf8').replaceAll(
      /\b((?:\w+_)?(?:requests|tokens|concurrent)): \d+/g,
      '$1: 100000000',
    ),
  );
  const running = await startGateway(
    gatewayConfigSchema.parse({
      listen: '127.0.0.1:0',
      internal_listen: '127.0.0.1:0',
      policies,
      data: join(folder, 'data'),
      assertion_jwks: jwks,
      embedded_issuer: issuer,
      upstreams: {
        embedded: { kind: 'openai', url: upstream, models: ['tiny-gpt2'], assertion: 'model-server' },
        accounts: { kind: 'http', url: upstream, assertion: 'identity' },
      },
    }),
  );
  return { url: running.address };
}

ready(import.meta.url, start);
