// What no longer works although it looks valid: learnt from this gateway's administrators, from other processes by way
// of the shared folder, from other gateways by way of Redis, and from the embedded identity's feed. Whoever keeps
// principals asks again when `generation` has risen; whoever runs requests hears of changes.
import { GatewayError } from '../../../core/errors.ts';
import type { Logger } from '../../../core/log.ts';
import type { Principal } from '../../principal.ts';
import type { IdentityApi } from '../identity-api.ts';
import { followIdentityFeed, type IdentityFeed } from './identity-feed.ts';
import { KnownRevocations } from './known-revocations.ts';
import { followRedis, type RedisRevocations } from './redis-revocations.ts';
import { openRevocationFiles, type RevocationFiles } from './revocation-files.ts';
import type { Revocation } from './revocation.ts';

export type { Revocation } from './revocation.ts';

/** One way by which revocations come, for /readyz and metrics. */
export interface RevocationSource {
  readonly name: 'files' | 'redis' | 'identity';
  /** In words for an operator; null when all is well. */
  readonly problem: string | null;
}

/** What verification needs to know. */
export interface RevocationCheck {
  /** Rises with whatever may change what `judgeSigned` says. */
  readonly generation: number;
  /**
   * Judges a principal whose credential was verified by its signature, without asking its issuer.
   * @throws GatewayError `credential_revoked`; `issuer_unavailable` when the issuer's feed has been away for too long
   */
  judgeSigned(principal: Principal): void;
}

/** Everything that is revoked. */
export interface Revocations extends RevocationCheck {
  isRevoked(principal: Principal): boolean;
  /** @throws GatewayError `credential_revoked` */
  judge(principal: Principal): void;
  /** Whether the issuer has a feed, and what it revokes may not reach us now. */
  isFeedLost(issuer: string): boolean;
  /**
   * Revokes here at once, and everywhere before it resolves or soon after.
   * @throws GatewayError `revocation_unavailable` when it could not be recorded for the other processes
   */
  revoke(revocations: readonly Revocation[]): Promise<void>;
  /** Calls after each change; @returns how to stop that. */
  onChange(listener: () => void): () => void;
  /** How long a revocation is remembered when nothing tells when its credentials expire. */
  readonly keepSeconds: number;
  /** How many are known. */
  readonly size: number;
  status(): readonly RevocationSource[];
  close(): Promise<void>;
}

/** Where revocations are kept and come from. */
export interface RevocationsOptions {
  /** Folder that all processes of this gateway share; null keeps nothing. */
  readonly folder: string | null;
  readonly keepMs: number;
  /** Shared with other gateways; absent: there are none. */
  readonly redisUrl?: string | undefined;
  /** The embedded identity's feed; absent: it has none, or there is no such issuer. */
  readonly feed?:
    | {
        readonly api: Pick<IdentityApi, 'events'>;
        readonly issuer: string;
        readonly toleranceMs: number;
        readonly onRelationsChanged?: () => void;
      }
    | undefined;
  readonly log: Logger;
  readonly now?: () => number;
}

/** Opens every source; those that are down do not stop the start. @throws Error when the folder cannot be read */
export function openRevocations(options: RevocationsOptions): Revocations {
  return new OpenRevocations(options);
}

/** Knows of none: for tools that judge single tokens offline. */
export const noRevocations: RevocationCheck = { generation: 0, judgeSigned: () => undefined };

class OpenRevocations implements Revocations {
  readonly keepSeconds: number;
  readonly #known = new KnownRevocations();
  readonly #listeners = new Set<() => void>();
  readonly #files: RevocationFiles | null;
  readonly #redis: RedisRevocations | null;
  readonly #feed: IdentityFeed | null;
  readonly #log: Logger;
  readonly #now: () => number;
  #timesBlind = 0;

  constructor({ folder, keepMs, redisUrl, feed, log, now = Date.now }: RevocationsOptions) {
    this.keepSeconds = Math.ceil(keepMs / 1_000);
    this.#log = log;
    this.#now = now;
    const onRead = (revocations: readonly Revocation[]): unknown => this.#learn(revocations);
    this.#files = folder === null ? null : openRevocationFiles({ folder, keepMs, log, now, onRead });
    // What comes from elsewhere is kept here too: a restart must not forget it while its source is down.
    const onHeard = (revocations: readonly Revocation[]): void => this.#keep(this.#learn(revocations));
    this.#redis =
      redisUrl === undefined ? null : followRedis({ url: redisUrl, keepMs, log, onRead: onHeard });
    this.#feed =
      feed === undefined
        ? null
        : followIdentityFeed({
            ...feed,
            keepSeconds: this.keepSeconds,
            log,
            onRevoked: onHeard,
            onBlind: () => this.#timesBlind++,
          });
  }

  get generation(): number {
    return this.#known.generation + this.#timesBlind;
  }

  get size(): number {
    return this.#known.size;
  }

  isRevoked(principal: Principal): boolean {
    return this.#known.revokes(principal, this.#now());
  }

  judge(principal: Principal): void {
    if (this.isRevoked(principal)) throw new GatewayError('credential_revoked', { reason: 'revoked' });
  }

  judgeSigned(principal: Principal): void {
    this.judge(principal);
    if (this.#feed?.isBlind !== true || principal.issuer !== this.#feed.issuer) return;
    throw new GatewayError('issuer_unavailable', { reason: 'revocation_feed_lost', retryAfterSeconds: 5 });
  }

  isFeedLost(issuer: string): boolean {
    return this.#feed?.issuer === issuer && !this.#feed.isLive;
  }

  async revoke(revocations: readonly Revocation[]): Promise<void> {
    this.#learn(revocations);
    if (!revocations.every((revocation) => this.#known.covers(revocation)))
      throw unavailable('full', undefined);
    try {
      await Promise.all([this.#files?.append(revocations), this.#redis?.publish(revocations)]);
    } catch (error) {
      throw unavailable('not_recorded', error);
    }
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  status(): readonly RevocationSource[] {
    const sources: RevocationSource[] = [];
    if (this.#files !== null) sources.push({ name: 'files', problem: this.#files.problem() });
    if (this.#redis !== null) sources.push({ name: 'redis', problem: this.#redis.problem() });
    if (this.#feed !== null) sources.push({ name: 'identity', problem: this.#feed.problem() });
    return sources;
  }

  close(): Promise<void> {
    this.#feed?.close();
    this.#redis?.close();
    this.#files?.close();
    return Promise.resolve();
  }

  #keep(revocations: readonly Revocation[]): void {
    if (revocations.length === 0) return;
    this.#files?.append(revocations).catch((error: unknown) => {
      this.#log.error({ err: error }, 'revocations could not be kept'); // And `status` says so.
    });
  }

  #learn(revocations: readonly Revocation[]): readonly Revocation[] {
    const added = this.#known.add(revocations, this.#now());
    if (added.length > 0) for (const listener of this.#listeners) listener();
    return added;
  }
}

function unavailable(reason: string, cause: unknown): GatewayError {
  return new GatewayError('revocation_unavailable', { reason, cause });
}
