// The model server as one object with a lifetime: engines, routes, listener. Composed by cli/compose.ts.
import type { ModelServerConfig } from './config.ts';

/** A model server that answers. */
export interface RunningModelServer {
  /** `unix:path`, `http://host:port` or `https://host:port`; the real port when 0 was asked for. */
  readonly address: string;
  /** Ids of the models. */
  readonly models: readonly string[];
  /** Stops accepting, lets running completions end within `drain_ms`, ends the engines. Idempotent. */
  readonly close: () => Promise<void>;
}

/**
 * Loads every model and listens.
 * @throws Error whose message begins with the setting at fault (`model_server.models.gpt2.path: …`), never a stack matter.
 */
export async function startModelServer(_config: ModelServerConfig): Promise<RunningModelServer> {
  throw new Error('not built yet');
}
