// A real model server with the shipped model on a Unix socket of its own.
import { mkdtempSync, rmSync } from 'node:fs';
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
export async function startModelServerFor(settings: Readonly<Record<string, unknown>> = {}): Promise<TestModelServer> {
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
      throw new Error('not built yet');
    },
    async close() {
      await running.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
