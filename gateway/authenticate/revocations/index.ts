// What no longer works although it looks valid: learnt from this gateway's administrators, from other processes by way
// of the shared folder, from other gateways by way of Redis, and from the embedded identity's feed. Whoever keeps
// principals asks again when `generation` has risen; whoever runs requests hears of changes.
import { GatewayError } from '../../../core/errors.ts';
import type { Logger } from '../../../core/log.ts';
import type { Principal } from '../../principal.ts';
import { KnownRevocations } from './known-revocations.ts';
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
  /** Rises with whatever may change what `judge` says. */
  readonly generation: number;
  /** @throws GatewayError `credential_revoked` */
  judge(principal: Principal): void;
}

/** Everything that is revoked. */
export interface Revocations extends RevocationCheck {
  isRevoked(principal: Principal): boolean;
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
  readonly log: Logger;
  readonly now?: () => number;
}

/** Opens every source; those that are down do not stop the start. @throws Error when the folder cannot be read */
export function openRevocations(options: RevocationsOptions): Revocations {
  return new OpenRevocations(options);
}

/** Knows of none: for tools that judge single tokens offline. */
export const noRevocations: RevocationCheck = { generation: 0, judge: () => undefined };

class OpenRevocations implements Revocations {
  readonly keepSeconds: number;
  readonly #known = new KnownRevocations();
  readonly #listeners = new Set<() => void>();
  readonly #files: RevocationFiles | null;
  readonly #now: () => number;

  constructor({ folder, keepMs, log, now = Date.now }: RevocationsOptions) {
    this.keepSeconds = Math.ceil(keepMs / 1_000);
    this.#now = now;
    const onRead = (revocations: readonly Revocation[]): unknown => this.#learn(revocations);
    this.#files = folder === null ? null : openRevocationFiles({ folder, keepMs, log, now, onRead });
  }

  get generation(): number {
    return this.#known.generation;
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

  async revoke(revocations: readonly Revocation[]): Promise<void> {
    this.#learn(revocations);
    if (!revocations.every((revocation) => this.#known.covers(revocation)))
      throw unavailable('full', undefined);
    try {
      await this.#files?.append(revocations);
    } catch (error) {
      throw unavailable('files', error);
    }
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  status(): readonly RevocationSource[] {
    return this.#files === null ? [] : [{ name: 'files', problem: this.#files.problem() }];
  }

  close(): Promise<void> {
    this.#files?.close();
    return Promise.resolve();
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
