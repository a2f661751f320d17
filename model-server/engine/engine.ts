// One model as the HTTP side sees it: exact counts, bounded queue, completions, embeddings. Every way in which the
// engine can refuse becomes a catalogued error here.
import { GatewayError } from '../../core/errors.ts';
import type { EnginePool } from './engine-pool.ts';
import { EngineLost } from './engine-process.ts';
import type { Ending, GenerationJob, ModelCard } from './messages.ts';
import { createWaitingRoom, type WaitingRoom } from './waiting-room.ts';

/** What came of one completion. */
export interface Completion {
  readonly text: string;
  readonly ending: Ending;
  readonly completionTokens: number;
  /** Of the prompt's ids those that had been computed for the same principal before. */
  readonly cachedTokens: number;
}

/** Who asks, until when, and who hears of each piece. */
export interface CompletionCall {
  readonly principal: string;
  /** Opaque key of those who may share computed prompts; null: nobody. */
  readonly owner: string | null;
  readonly signal: AbortSignal;
  readonly onText?: (choice: number, text: string) => void;
  readonly onFinished?: (choice: number, completion: Completion) => void;
}

/** A vector, float32 little-endian, and what it cost. */
export interface Embedded {
  readonly vector: Buffer;
  readonly promptTokens: number;
}

/** One model that answers. */
export interface Engine {
  /** @throws GatewayError server_is_overloaded while the engine is starting again. */
  readonly card: () => ModelCard;
  readonly isReady: () => boolean;
  readonly room: Pick<WaitingRoom, 'running' | 'waiting'>;
  readonly pool: EnginePool;
  /** The ids of each text. @throws GatewayError */
  readonly tokenize: (texts: readonly string[]) => Promise<readonly (readonly number[])[]>;
  /** Enters the queue; the promise it returns settles when every completion has ended. @throws GatewayError */
  readonly complete: (jobs: readonly GenerationJob[], call: CompletionCall) => Promise<readonly Completion[]>;
  /** One vector: float32, little-endian; one at a time, with a bounded queue. @throws GatewayError */
  readonly embed: (
    promptIds: readonly number[],
    call: Pick<CompletionCall, 'principal' | 'signal'>,
  ) => Promise<Embedded>;
}

/** Puts the queue before the engines of a model. */
export function createEngine(pool: EnginePool, maxQueue: number): Engine {
  const room = createWaitingRoom(pool.places, maxQueue);
  pool.onPlaces(room.admit);
  const embeddingRoom = createWaitingRoom(() => 1, maxQueue);

  const card = (): ModelCard => {
    const known = pool.card();
    if (known === null) throw overloaded('engine_restarting', 1);
    return known;
  };

  const completeOne = async (
    job: GenerationJob,
    choice: number,
    call: CompletionCall,
  ): Promise<Completion> => {
    let text = '';
    let completion: Completion | undefined;
    const { owner } = call;
    const seat = pool.seat({ owner, promptIds: job.promptIds });
    const { id, done } = seat.engine.call({ kind: 'generate', owner, job }, (result) => {
      if (result.kind === 'text') {
        text += result.text;
        call.onText?.(choice, result.text);
      } else if (result.kind === 'finished') {
        const { ending, completionTokens, cachedTokens } = result;
        completion = { text, ending, completionTokens, cachedTokens };
      }
    });
    const onAbort = (): void => seat.engine.abort(id);
    call.signal.addEventListener('abort', onAbort, { once: true });
    try {
      await done;
    } finally {
      call.signal.removeEventListener('abort', onAbort);
      seat.leave();
    }
    if (completion === undefined) throw new Error('the engine finished without a result');
    call.onFinished?.(choice, completion);
    return completion;
  };

  const complete: Engine['complete'] = async (jobs, call) => {
    card();
    // One failure ends the other choices too: their text would reach nobody.
    const failure = new AbortController();
    const signal = AbortSignal.any([call.signal, failure.signal]);
    const places = room.enter(call.principal, jobs.length, signal);
    if (places === null) throw overloaded('queue_full', 1);
    const completions = jobs.map(async (job, choice) => {
      const place = await places[choice];
      try {
        if (signal.aborted) throw new Error('the caller left');
        return await completeOne(job, choice, { ...call, signal });
      } catch (error) {
        failure.abort();
        throw error;
      } finally {
        place?.leave();
      }
    });
    const settled = await Promise.allSettled(completions);
    const rejected = settled
      .filter((outcome) => outcome.status === 'rejected')
      .map((outcome) => outcome.reason as unknown);
    const first = rejected.find((reason) => reason instanceof EngineLost) ?? rejected[0];
    if (first !== undefined) throw refusalOf(first);
    return settled.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  };

  const embedOne = async (promptIds: readonly number[]): Promise<Embedded> => {
    let embedded: Embedded | undefined;
    const { done } = pool.idlest().call({ kind: 'embed', promptIds }, (result) => {
      if (result.kind === 'embedded')
        embedded = { vector: Buffer.from(result.vector, 'base64'), promptTokens: result.promptTokens };
    });
    await done;
    if (embedded === undefined) throw new Error('the engine finished without a result');
    return embedded;
  };

  const embed: Engine['embed'] = async (promptIds, { principal, signal }) => {
    const places = embeddingRoom.enter(principal, 1, signal);
    if (places === null) throw overloaded('queue_full', 1);
    try {
      const [place] = await Promise.all(places);
      return await embedOne(promptIds).finally(() => place?.leave());
    } catch (error) {
      throw refusalOf(error);
    }
  };

  return {
    card,
    isReady: () => pool.ready() > 0,
    room,
    pool,
    complete,
    tokenize: async (texts) => {
      let ids: readonly (readonly number[])[] = [];
      try {
        await pool.idlest().call({ kind: 'tokenize', texts }, (result) => {
          if (result.kind === 'tokenized') ids = result.ids;
        }).done;
      } catch (error) {
        throw refusalOf(error);
      }
      return ids;
    },
    embed,
  };
}

function overloaded(reason: string, retryAfterSeconds: number): GatewayError {
  return new GatewayError('server_is_overloaded', { reason, retryAfterSeconds });
}

function refusalOf(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  if (error instanceof EngineLost) return overloaded('engine_lost', error.retryAfterSeconds);
  return new GatewayError('internal_error', { cause: error });
}
