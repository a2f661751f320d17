// The model server's metrics. Labels are closed sets: model ids of the configuration, routes, status codes.
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { packageVersion } from '../core/package.ts';
import type { Engine } from './engine/engine.ts';

/** Model tokens of one answer. */
export interface CountedUsage {
  readonly promptTokens: number;
  /** Of the prompt's those whose state was reused. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
}

/** What the routes count, and the page itself. */
export interface Metrics {
  readonly countRequest: (route: string, status: number, seconds: number) => void;
  readonly countUsage: (modelId: string, usage: CountedUsage) => void;
  readonly page: () => Promise<{ contentType: string; text: string }>;
}

/** Creates the metrics of the given engines. */
export function createMetrics(engines: ReadonlyMap<string, Engine>): Metrics {
  const registers = [new Registry()];
  const [registry] = registers as [Registry];
  const modelLabel = ['model'] as const;

  const gauge = (name: string, help: string, read: (engine: Engine) => number): Gauge<'model'> =>
    new Gauge({
      name,
      help,
      labelNames: modelLabel,
      registers,
      collect() {
        for (const [model, engine] of engines) this.set({ model }, read(engine));
      },
    });
  const total = (name: string, help: string, read: (engine: Engine) => number): Counter<'model'> =>
    new Counter({
      name,
      help,
      labelNames: modelLabel,
      registers,
      collect() {
        this.reset();
        for (const [model, engine] of engines) this.inc({ model }, read(engine));
      },
    });
  new Gauge({
    name: 'sallyport_build_info',
    help: 'The running version.',
    labelNames: ['version'],
    registers,
  }).set({ version: packageVersion }, 1);
  gauge('sallyport_model_ready', 'Whether an engine has the model loaded.', (engine) =>
    engine.isReady() ? 1 : 0,
  );
  gauge('sallyport_model_engines_ready', 'Engine processes that have the model loaded.', (engine) =>
    engine.pool.ready(),
  );
  gauge('sallyport_model_queue_length', 'Completions that wait for a sequence.', (engine) =>
    engine.room.waiting(),
  );
  gauge('sallyport_model_running', 'Completions being generated.', (engine) => engine.room.running());
  total('sallyport_model_engine_restarts_total', 'Restarts of engine processes.', (engine) =>
    engine.pool.restarts(),
  );
  total('sallyport_model_batches_total', 'Batches decoded.', (engine) => engine.pool.statistics().batches);
  total(
    'sallyport_model_batch_items_total',
    'Sequences in decoded batches.',
    (engine) => engine.pool.statistics().items,
  );

  const tokenCounter = (kind: string, help: string): Counter<'model'> =>
    new Counter({ name: `sallyport_model_${kind}_tokens_total`, help, labelNames: modelLabel, registers });
  const promptTokens = tokenCounter('prompt', 'Model tokens of prompts.');
  const cachedTokens = tokenCounter('cached_prompt', 'Model tokens of prompts that were not read again.');
  const completionTokens = tokenCounter('completion', 'Model tokens generated.');
  const requests = new Counter({
    name: 'sallyport_model_requests_total',
    help: 'Requests answered.',
    labelNames: ['route', 'status'],
    registers,
  });
  const durations = new Histogram({
    name: 'sallyport_model_request_duration_seconds',
    help: 'From the request head to the end of the answer.',
    labelNames: ['route'],
    buckets: [0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60],
    registers,
  });

  return {
    countRequest: (route, status, seconds) => {
      requests.inc({ route, status: String(status) });
      durations.observe({ route }, seconds);
    },
    countUsage: (model, usage) => {
      promptTokens.inc({ model }, usage.promptTokens);
      cachedTokens.inc({ model }, usage.cachedTokens);
      completionTokens.inc({ model }, usage.completionTokens);
    },
    page: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}
