// The engine child's program. llama.cpp may abort its process, so it never runs in the process that talks HTTP. It
// holds no secret, opens no port, and ends with its parent.
import type { EngineReport, EngineRequest, EngineResult } from './messages.ts';
import { loadModel, type LoadedModel } from './loaded-model.ts';

let model: LoadedModel | undefined;
let outbox: EngineResult[] = [];
const aborts = new Map<number, AbortController>();

const send = (report: EngineReport): void => {
  if (process.connected) process.send?.(report);
};

function flush(): void {
  if (outbox.length === 0) return;
  const results = outbox;
  outbox = [];
  send({ kind: 'results', results, statistics: model?.statistics ?? { batches: 0, items: 0 } });
}

/** Texts of one step leave in one message, and while the next step is being computed. */
const flushSoon = (): void => void setImmediate(flush);

function post(result: EngineResult): void {
  outbox.push(result);
  if (result.kind !== 'text' && result.kind !== 'finished') flushSoon();
}

async function answer(
  request: Exclude<EngineRequest, { kind: 'load' | 'abort' }>,
  loaded: LoadedModel,
): Promise<void> {
  const { id } = request;
  switch (request.kind) {
    case 'tokenize':
      post({ kind: 'tokenized', id, ids: request.texts.map((text) => loaded.tokenize(text)) });
      return;
    case 'embed': {
      const { vector, promptTokens } = await loaded.embed(request.promptIds);
      post({ kind: 'embedded', id, vector: Buffer.from(vector.buffer).toString('base64'), promptTokens });
      return;
    }
    case 'generate': {
      const controller = new AbortController();
      aborts.set(id, controller);
      const finished = await loaded.generate(request.job, {
        owner: request.owner,
        signal: controller.signal,
        onText: (text) => post({ kind: 'text', id, text }),
      });
      post({ kind: 'finished', id, ...finished });
      return;
    }
  }
}

async function receive(request: EngineRequest): Promise<void> {
  if (request.kind === 'load') {
    try {
      model = await loadModel(request.options, { onStep: flushSoon });
      send({ kind: 'ready', card: model.card });
    } catch (error) {
      send({ kind: 'load_failed', problem: problemOf(error) });
    }
    return;
  }
  if (request.kind === 'abort') {
    aborts.get(request.id)?.abort();
    return;
  }
  if (model === undefined) return;
  try {
    await answer(request, model);
  } catch (error) {
    post({ kind: 'failed', id: request.id, problem: problemOf(error) });
  } finally {
    aborts.delete(request.id);
  }
}

function problemOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? 'unknown';
}

process.on('message', (message) => {
  void receive(message as EngineRequest); // Only the parent holds the other end of the channel.
});
// Nothing here needs an orderly end, and an exit beside a running decode can hang in native destructors.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
// A terminal sends Ctrl-C to the whole group; the parent decides when the engine ends.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
