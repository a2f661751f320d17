// Follows the embedded identity's feed of revocations in this process, for as long as it runs: reconnects at once, goes on
// after the last event seen, and says when it cannot know whether something was revoked.
import type { Logger } from '../../../core/log.ts';
import type { IdentityApi } from '../identity-api.ts';
import { createFeedReader, type FeedEvent } from './feed-reader.ts';
import type { Revocation } from './revocation.ts';

/** Whose feed, and who hears of it. */
export interface IdentityFeedOptions {
  readonly api: Pick<IdentityApi, 'events'>;
  /** The `iss` of the credentials that it speaks of. */
  readonly issuer: string;
  /** After so long without it, access tokens are no longer believed. */
  readonly toleranceMs: number;
  readonly keepSeconds: number;
  readonly log: Logger;
  readonly onRevoked: (revocations: readonly Revocation[]) => void;
  /** Tuples of the relations have changed. */
  readonly onRelationsChanged?: (() => void) | undefined;
  /** `isBlind` has become true. */
  readonly onBlind: () => void;
}

/** The feed as this process sees it. */
export interface IdentityFeed {
  readonly issuer: string;
  /** Everything up to now is known. */
  readonly isLive: boolean;
  /** It has been away for longer than is tolerated. */
  readonly isBlind: boolean;
  problem(): string | null;
  close(): void;
}

const firstPauseMs = 100;
const longestPauseMs = 1_000;
/** Missed events follow the greeting at once; where the last of them were purged, nothing more comes. */
const catchUpMs = 2_000;

/** Begins to follow the feed. */
export function followIdentityFeed(options: IdentityFeedOptions): IdentityFeed {
  const followed = new FollowedFeed(options);
  void followed.run();
  return followed;
}

class FollowedFeed implements IdentityFeed {
  readonly issuer: string;
  readonly #options: IdentityFeedOptions;
  readonly #stop = new AbortController();
  #lastId = 0;
  /** What the greeting promised; null while not connected. */
  #latest: number | null = null;
  #isLive = false;
  #isBlind = false;
  #problem: string | null = 'the feed of the identity server has not been reached yet';
  #blindTimer: NodeJS.Timeout | undefined;
  #catchUpTimer: NodeJS.Timeout | undefined;

  constructor(options: IdentityFeedOptions) {
    this.#options = options;
    this.issuer = options.issuer;
    this.#startToGoBlind();
  }

  get isLive(): boolean {
    return this.#isLive;
  }

  get isBlind(): boolean {
    return this.#isBlind;
  }

  problem(): string | null {
    return this.#problem;
  }

  /** Until closed: connect, follow, connect again. */
  async run(): Promise<void> {
    let pauseMs = firstPauseMs;
    while (!this.#stop.signal.aborted) {
      const hadGreeting = await this.#follow();
      pauseMs = hadGreeting ? firstPauseMs : Math.min(longestPauseMs, pauseMs * 2);
      await pause(pauseMs, this.#stop.signal);
    }
  }

  close(): void {
    this.#stop.abort();
    clearTimeout(this.#blindTimer);
    clearTimeout(this.#catchUpTimer);
  }

  /** One connection, until it ends; @returns whether it ever was one. */
  async #follow(): Promise<boolean> {
    const reader = createFeedReader();
    const connection = new AbortController();
    const signal = AbortSignal.any([connection.signal, this.#stop.signal]);
    let problem = 'the feed of the identity server ended';
    try {
      for await (const bytes of await this.#options.api.events(this.#lastId, signal)) {
        this.#take(reader.push(bytes));
      }
    } catch (error) {
      problem = `the feed of the identity server is lost (${causeOf(error)})`;
    }
    connection.abort();
    const wasConnected = this.#latest !== null;
    this.#lost(problem);
    return wasConnected;
  }

  #take(events: readonly FeedEvent[]): void {
    const revoked: Revocation[] = [];
    let relationsChanged = false;
    for (const event of events) {
      if (event.type === 'hello') this.#greeted(event.latest);
      else {
        this.#lastId = event.id;
        if (event.type === 'relations_changed') relationsChanged = true;
        else if (event.type !== 'other') revoked.push(this.#revocationOf(event));
      }
    }
    if (revoked.length > 0) this.#options.onRevoked(revoked);
    if (relationsChanged) this.#options.onRelationsChanged?.();
    // What the feed gave is in force before it counts as live.
    if (this.#latest !== null && !this.#isLive && this.#lastId >= this.#latest) this.#becomeLive();
  }

  #greeted(latest: number): void {
    // Fewer events than were seen: another database, whose events all follow.
    if (latest < this.#lastId) this.#lastId = 0;
    this.#latest = latest;
    this.#catchUpTimer = setTimeout(() => {
      this.#lastId = Math.max(this.#lastId, latest);
      this.#becomeLive();
    }, catchUpMs).unref();
  }

  #revocationOf(event: Extract<FeedEvent, { type: 'revoked' | 'revoked_before' }>): Revocation {
    const { issuer, keepSeconds } = this.#options;
    // The same at every reading: an event that comes again after a restart says nothing new.
    const rule = { issuer, at: event.at, until: event.at + keepSeconds };
    if (event.type === 'revoked') return { ...rule, credential: event.credential };
    return { ...rule, holder: `${issuer} ${event.subject}`, spares_api_keys: true };
  }

  #becomeLive(): void {
    clearTimeout(this.#catchUpTimer);
    clearTimeout(this.#blindTimer);
    this.#blindTimer = undefined;
    this.#isLive = true;
    this.#isBlind = false;
    this.#problem = null;
    this.#options.log.info({ after: this.#lastId }, 'revocations arrive from the identity server');
  }

  #lost(problem: string): void {
    clearTimeout(this.#catchUpTimer);
    if (this.#stop.signal.aborted) return;
    if (this.#isLive)
      this.#options.log.warn({ problem }, 'revocations do not arrive from the identity server');
    this.#isLive = false;
    this.#latest = null;
    this.#problem = this.#isBlind ? `${problem}; access tokens of ${this.issuer} are refused` : problem;
    this.#startToGoBlind();
  }

  #startToGoBlind(): void {
    if (this.#isBlind) return;
    this.#blindTimer ??= setTimeout(() => {
      this.#isBlind = true;
      const problem = this.#problem ?? 'the feed is lost';
      this.#problem = `${problem}; access tokens of ${this.issuer} are refused`;
      this.#options.log.error({ problem }, 'access tokens are refused until revocations arrive again');
      this.#options.onBlind();
    }, this.#options.toleranceMs).unref();
  }
}

function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'error';
  return 'code' in error ? String(error.code) : error.message;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms).unref();
    signal.addEventListener('abort', done, { once: true });
  });
}
