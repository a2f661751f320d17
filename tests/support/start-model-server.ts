// A real model server with the shipped model on a Unix socket of its own.
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../core/package.ts';
import { modelServerConfigSchema } from '../../model-server/config.ts';
import { startModelServer } from '../../model-server/server.ts';

export interface TestModelServer {
  /** `unix:path`, for an upstream of the gateway. */
  readonly url: string;
  /** Where the gateway is to write its assertion keys. */
  readonly jwksFile: string;
  /** Settles when no completion is running or waiting. */
  idle(): Promise<void>;
  close(): Promise<void>;
}

/** Starts it; the gateway that is to use it writes `jwksFile`. */
export async function startModelServerFor(
  settings: Readonly<Record<string, unknown>> = {},
): Promise<TestModelServer> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-model-'));
  const jwksFile = join(folder, 'run', 'gateway-jwks.json');
  const running = await startModelServer(
    modelServerConfigSchema.parse({
      listen: `unix:${join(folder, 'run', 'model.sock')}`,
      gateway_jwks: jwksFile,
      models: { 'tiny-gpt2': { path: join(packageRoot, 'models/tiny-gpt2.gguf') } },
      drain_ms: 500,
      ...settings,
    }),
  );
  return {
    url: running.address,
    jwksFile,
    async idle() {
      for (let attempt = 0; attempt < 200; attempt++) {
        const metrics = await scrape(running.address);
        const busy = [...metrics.matchAll(/^sallyport_model_(?:running|queue_length)\{.*\} (\d+)/gm)];
        if (busy.length > 0 && busy.every((match) => match[1] === '0')) return;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      throw new Error('the model server is still generating');
    },
    async close() {
      await running.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function scrape(address: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asking = request({ socketPath: address.slice('unix:'.length), path: '/metrics' }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (piece: string) => (text += piece));
      answer.on('end', () => resolve(text));
    });
    asking.on('error', reject);
    asking.end();
  });
}
