// Revocations among gateways that share a Redis: a stream that each process reads from its beginning and then follows, so
// that nothing is missed, whatever connection broke in between. What has no end stands in a set beside it.
import { createRequire } from 'node:module';
import type * as Ioredis from 'ioredis';
import type { Logger } from '../../../core/log.ts';
import { parseRevocation, type Revocation } from './revocation.ts';

/** Where Redis is, and who hears of what others wrote. */
export interface RedisRevocationsOptions {
  readonly url: string;
  readonly keepMs: number;
  readonly log: Logger;
  readonly onRead: (revocations: readonly Revocation[]) => void;
}

/** The stream, followed. */
export interface RedisRevocations {
  /** @throws Error when Redis does not take them */
  publish(revocations: readonly Revocation[]): Promise<void>;
  problem(): string | null;
  close(): void;
}

const stream = 'sallyport:revocations';
const lasting = 'sallyport:revocations:lasting';
/** One look: short, so that a connection that died in silence is noticed within a second. */
const blockMs = 400;
const commandMs = 900;
const retryMs = 250;
const batch = 1_000;

/** Connects in the background and begins to follow. */
export function followRedis(options: RedisRevocationsOptions): RedisRevocations {
  const followed = new FollowedStream(options);
  void followed.run();
  return followed;
}

class FollowedStream implements RedisRevocations {
  readonly #options: RedisRevocationsOptions;
  readonly #reader: Ioredis.Redis;
  readonly #writer: Ioredis.Redis;
  #isClosed = false;
  #problem: string | null = 'Redis is not connected yet';

  constructor(options: RedisRevocationsOptions) {
    this.#options = options;
    // Reading blocks, so that it has a connection of its own.
    this.#reader = this.#connect();
    this.#writer = this.#connect();
  }

  problem(): string | null {
    return this.#problem;
  }

  async publish(revocations: readonly Revocation[]): Promise<void> {
    const oldest = Date.now() - this.#options.keepMs - 60_000;
    const commands = this.#writer.multi();
    for (const revocation of revocations) {
      const text = JSON.stringify(revocation);
      commands.xadd(stream, 'MINID', '~', oldest, '*', 'r', text);
      if (revocation.until === null || revocation.until * 1_000 > Date.now() + this.#options.keepMs)
        commands.sadd(lasting, text);
    }
    const results = await commands.exec();
    if (results === null || results.some(([error]) => error !== null))
      throw new Error('Redis refused a revocation');
  }

  /** Until closed: everything there is, then what comes. */
  async run(): Promise<void> {
    while (!this.#isClosed) {
      try {
        await this.#readAll();
      } catch (error) {
        this.#report(
          `Redis does not answer (${error instanceof Error && 'code' in error ? String(error.code) : this.#reader.status})`,
        );
        await new Promise((resolve) => setTimeout(resolve, retryMs).unref());
      }
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#reader.disconnect();
    this.#writer.disconnect();
  }

  #connect(): Ioredis.Redis {
    // Loaded where it is used: a gateway without Redis never holds it. `require` is typed for anything, hence the cast.
    const { Redis } = createRequire(import.meta.url)('ioredis') as typeof Ioredis;
    const client = new Redis(this.#options.url, {
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      connectTimeout: 500,
      commandTimeout: commandMs,
      retryStrategy: (attempt) => Math.min(attempt * 100, 1_000),
    });
    client.on('error', () => undefined); // Told by what is asked of it; its message may hold the address.
    return client;
  }

  // A Redis that lost its memory starts its ids anew, so that each connection reads from the beginning.
  async #readAll(): Promise<void> {
    this.#take(await this.#reader.smembers(lasting));
    let after = '0';
    while (!this.#isClosed) {
      const found = await this.#reader.xread('COUNT', batch, 'BLOCK', blockMs, 'STREAMS', stream, after);
      const entries = found?.[0]?.[1] ?? [];
      this.#take(entries.map(([, members]) => members[1] ?? ''));
      after = entries.at(-1)?.[0] ?? after;
      if (entries.length < batch) this.#report(null);
    }
  }

  #take(texts: readonly string[]): void {
    const revocations = texts.map(parseRevocation).filter((revocation) => revocation !== null);
    if (revocations.length < texts.length)
      this.#options.log.error(
        { count: texts.length - revocations.length },
        'revocations in Redis cannot be read',
      );
    if (revocations.length > 0) this.#options.onRead(revocations);
  }

  #report(problem: string | null): void {
    if (problem === this.#problem || this.#isClosed) return;
    const { log } = this.#options;
    if (problem === null) log.info('revocations arrive from other gateways');
    else if (this.#problem === null) log.error({ problem }, 'revocations do not arrive from other gateways');
    this.#problem = problem;
  }
}
