// Our model server from dist/, alone: what the gateway would say is said by the bench, with its own key pair.
import { modelServerConfigSchema } from '../../../dist/model-server/config.js';
import { startModelServer } from '../../../dist/model-server/server.js';
import { createLog } from '../../../dist/core/log.js';
import { ready } from '../../contestants/process.mjs';

export async function start({ file, jwks, model, settings = {} }) {
  const config = modelServerConfigSchema.parse({
    listen: '127.0.0.1:0',
    gateway_jwks: jwks,
    threads: 1,
    ...settings,
    models: { 'tiny-gpt2': { path: file, ...model } },
  });
  const server = await startModelServer(config, createLog('model-server', 'silent'));
  return { url: server.address };
}

ready(import.meta.url, start);
