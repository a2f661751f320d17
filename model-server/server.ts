// The model server as one object with a lifetime: engines, routes, listener. Composed by cli/compose.ts.
import type { Server } from 'node:http';
import { assertionAudience, createAssertionVerifier } from '../core/assertion.ts';
import { followCertificate } from '../core/certificate-renewal.ts';
import { createLog, type Logger } from '../core/log.ts';
import { threadsOfEngine, type ModelConfig, type ModelServerConfig } from './config.ts';
import { createEngine } from './engine/engine.ts';
import { startEnginePool, type EnginePool } from './engine/engine-pool.ts';
import { prepareListener } from './listener.ts';
import { createMetrics } from './metrics.ts';
import { inspectModelFile } from './model-file.ts';
import { createRoutes, type ServedModel } from './routes.ts';

/** A model server that answers. */
export interface RunningModelServer {
  /** `unix:path`, `http://host:port` or `https://host:port`; the real port when 0 was asked for. */
  readonly address: string;
  /** Ids of the models. */
  readonly models: readonly string[];
  /** Process ids of the engines that run, for the operator and for tests. */
  readonly engineProcessIds: () => readonly number[];
  /** Completions being generated and waiting, over all models. */
  readonly load: () => { readonly running: number; readonly waiting: number };
  /** Stops accepting, lets running completions end within `drain_ms`, ends the engines. Idempotent. */
  readonly close: () => Promise<void>;
}

/**
 * Loads every model and listens.
 * @throws Error whose message begins with the setting at fault (`model_server.models.gpt2.path: …`).
 */
export async function startModelServer(
  config: ModelServerConfig,
  log: Logger = createLog('model-server'),
): Promise<RunningModelServer> {
  const entries = Object.entries(config.models);
  if (entries.length === 0) throw new Error('model_server.models: no model is configured');
  const bind = await prepareListener(config);
  const started = await Promise.allSettled(entries.map(([id, model]) => startModel(id, model, config, log)));
  const models = started.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const closeEngines = async (): Promise<void> => {
    await Promise.all(models.map(({ engine }) => engine.pool.close()));
  };
  let isStopping = false;
  try {
    const failed = started.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason as Error;
    const { server, address } = await bind(
      createRoutes({
        config,
        models: new Map(models.map((model) => [model.id, model])),
        verifyAssertion: createAssertionVerifier({
          jwksFile: config.gateway_jwks,
          audience: assertionAudience.modelServer,
        }),
        metrics: createMetrics(new Map(models.map(({ id, engine }) => [id, engine]))),
        log,
        isStopping: () => isStopping,
      }),
    );
    const forgetCertificate = followCertificate(server, config.tls, log);
    let closed: Promise<void> | undefined;
    return {
      address,
      models: models.map(({ id }) => id),
      engineProcessIds: () => models.flatMap(({ engine }) => engine.pool.processIds()),
      load: () => ({
        running: models.reduce((sum, { engine }) => sum + engine.room.running(), 0),
        waiting: models.reduce((sum, { engine }) => sum + engine.room.waiting(), 0),
      }),
      close: () => {
        isStopping = true;
        forgetCertificate();
        closed ??= drain(server, config.drain_ms).then(closeEngines);
        return closed;
      },
    };
  } catch (error) {
    await closeEngines();
    throw error;
  }
}

async function startModel(
  id: string,
  model: ModelConfig,
  config: ModelServerConfig,
  log: Logger,
): Promise<ServedModel> {
  const settings = `model_server.models.${id}`;
  const file = inspectModelFile(model.path, `${settings}.path`);
  const pool = await startEngines(id, model, config, log).catch((error: unknown) => {
    const problem = error instanceof Error ? error.message : String(error);
    // The engine names the setting when it is not the file that is at fault.
    const sentence = /^(?:gpu|cpu_kernels): /.test(problem)
      ? problem
      : `path: ${model.path} cannot be loaded: ${problem}`;
    throw new Error(`${settings}.${sentence}`, { cause: error });
  });
  const engine = createEngine(pool, config.max_queue);
  return { id, engine, ...file, defaultTopK: model.default_top_k };
}

function startEngines(
  id: string,
  model: ModelConfig,
  config: ModelServerConfig,
  log: Logger,
): Promise<EnginePool> {
  const options = {
    modelPath: model.path,
    context: model.context ?? null,
    sequences: model.sequences,
    threads: threadsOfEngine(model, config),
    promptChunk: model.prompt_chunk,
    keepPrefixMs: model.keep_prefix_ms,
    cpuKernels: model.cpu_kernels === 'auto' ? null : model.cpu_kernels,
    gpu: model.gpu,
  };
  return startEnginePool(model.engines, options, {
    onReady: (card) => {
      log.info(
        { model: id, context: card.context, sequences: card.sequences, threads: options.threads },
        'engine ready',
      );
      if (model.context !== undefined && model.context > card.trainedContext) {
        log.warn({ model: id, context: card.context }, 'context clamped to what the model was trained on');
      }
    },
    onLost: ({ exit, problem, restartInMs }) => {
      log.error(
        { model: id, exit, problem, restart_in_ms: restartInMs },
        'engine ended; its requests were answered 503',
      );
    },
  });
}

/** Ends idle connections now, running answers within `drainMs`, the rest by force. */
async function drain(server: Server, drainMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const idle = setInterval(() => server.closeIdleConnections(), 100);
  const force = setTimeout(() => server.closeAllConnections(), drainMs);
  await closed;
  clearInterval(idle);
  clearTimeout(force);
}
