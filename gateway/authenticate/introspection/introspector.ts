// Looks credentials up at one issuer and remembers the answers for a short time: good ones and refusals apart, so that
// random credentials never push good ones out. One question at a time for each credential.
import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { GatewayError } from '../../../core/errors.ts';
import type { Principal } from '../../principal.ts';
import { invalidToken } from '../invalid-token.ts';
import { NoAnswer } from './ask-issuer.ts';
import { Circuit } from './circuit.ts';

/** What a question ended in, for metrics. */
export type IntrospectionOutcome = 'accepted' | 'refused' | 'failed';

/** Whom an introspector asks, and by what rules it remembers. */
export interface IntrospectorOptions {
  /** Asks the issuer. @throws Error in words for an operator when there is no usable answer */
  readonly ask: (credential: string, signal: AbortSignal) => Promise<Readonly<Record<string, unknown>>>;
  /** Judges the answer. @throws GatewayError */
  readonly judge: (answer: Readonly<Record<string, unknown>>, nowSeconds: number) => Principal;
  /** Asked at every use: falls while revocations do not arrive. */
  readonly maxAgeMs: () => number;
  readonly negativeMs: number;
  readonly timeoutMs: number;
  readonly revocations: { readonly generation: number; isRevoked(principal: Principal): boolean };
  readonly now: () => number;
  readonly monotonic: () => number;
  readonly onOutcome: (outcome: IntrospectionOutcome) => void;
  /** Once when questions begin to fail and once when they are answered again (null). */
  readonly onProblem: (problem: string | null) => void;
  readonly bounds?: IntrospectionBounds;
}

/** Bounds of both memories. */
export interface IntrospectionBounds {
  readonly maxEntries: number;
  /** What the principals take in memory, as far as it can be told from the answers. */
  readonly maxBytes: number;
  /** A refusal takes about a kilobyte. */
  readonly maxRefused: number;
}

interface Accepted {
  readonly principal: Principal;
  /** Monotonic ms of the question. */
  readonly askedAt: number;
  judgedAt: number;
}

interface Refused {
  readonly refusal: GatewayError;
  readonly until: number;
}

const defaultBounds: IntrospectionBounds = {
  maxEntries: 4_096,
  maxBytes: 4 * 1_048_576,
  maxRefused: 4_096,
};
/** Longest opaque credential that is looked up, characters. */
const maxCredentialLength = 4_096;

/** One issuer's answers. */
export class Introspector {
  readonly #options: IntrospectorOptions;
  readonly #accepted: LRUCache<string, Accepted>;
  readonly #refused: LRUCache<string, Refused>;
  readonly #pending = new Map<string, Promise<Principal>>();
  readonly #circuit: Circuit;
  #problem: string | null = null;

  constructor(options: IntrospectorOptions) {
    this.#options = options;
    const { maxEntries, maxBytes, maxRefused } = options.bounds ?? defaultBounds;
    this.#accepted = new LRUCache({ max: maxEntries, maxSize: maxBytes, maxEntrySize: maxBytes });
    this.#refused = new LRUCache({ max: maxRefused });
    this.#circuit = new Circuit(options.monotonic);
  }

  /** Answers that are kept, good ones and refusals. */
  get size(): { readonly accepted: number; readonly refused: number } {
    return { accepted: this.#accepted.size, refused: this.#refused.size };
  }

  /** Why the last question had no answer, in words for an operator; null when it had one. */
  get problem(): string | null {
    return this.#problem;
  }

  /**
   * The principal of a credential: at once while an answer is fresh.
   * @throws GatewayError `invalid_token`, `insufficient_scope`, `credential_revoked`, `issuer_unavailable`
   */
  principalOf(credential: string): Principal | Promise<Principal> {
    const digest = hash('sha256', credential, 'base64');
    const known = this.#accepted.get(digest);
    if (known !== undefined && this.#isFresh(known)) return this.#passed(known);
    const refused = this.#refused.get(digest);
    if (refused !== undefined && this.#options.monotonic() < refused.until) throw refused.refusal;
    // RFC 7662 §4: of many uses at the same time, one asks.
    return this.#pending.get(digest) ?? this.#askOnce(digest, credential, known !== undefined);
  }

  #isFresh({ principal, askedAt }: Accepted): boolean {
    const { monotonic, maxAgeMs, now } = this.#options;
    // RFC 7662 §4: an answer is not used beyond the exp that it states.
    const { exp } = principal.claims;
    return monotonic() - askedAt < maxAgeMs() && (typeof exp !== 'number' || now() < exp * 1_000);
  }

  #passed(entry: Accepted): Principal {
    const { revocations } = this.#options;
    if (entry.judgedAt !== revocations.generation) {
      const { generation } = revocations;
      if (revocations.isRevoked(entry.principal))
        throw new GatewayError('credential_revoked', { reason: 'revoked' });
      entry.judgedAt = generation;
    }
    return entry.principal;
  }

  #askOnce(digest: string, credential: string, isKnown: boolean): Promise<Principal> {
    if (credential.length > maxCredentialLength) throw invalidToken('token_size');
    const askedAt = this.#options.monotonic();
    const asked = this.#circuit.pass(isKnown, () => this.#ask(credential));
    if (asked === null) throw this.#unavailable();
    const pending = asked
      .then(
        (answer) => this.#learn(digest, answer, askedAt),
        () => {
          this.#options.onOutcome('failed');
          throw this.#unavailable();
        },
      )
      .finally(() => this.#pending.delete(digest));
    this.#pending.set(digest, pending);
    return pending;
  }

  async #ask(credential: string): Promise<Readonly<Record<string, unknown>>> {
    const { ask, timeoutMs } = this.#options;
    try {
      const answer = await ask(credential, AbortSignal.timeout(timeoutMs));
      if (typeof answer['active'] !== 'boolean')
        throw new NoAnswer('the answer does not say whether it is active', false);
      this.#report(null);
      return answer;
    } catch (error) {
      this.#report(error instanceof Error ? error.message : 'it cannot be asked');
      throw error;
    }
  }

  #learn(digest: string, answer: Readonly<Record<string, unknown>>, askedAt: number): Principal {
    const { judge, now, negativeMs, monotonic, onOutcome } = this.#options;
    try {
      const entry = { principal: judge(answer, now() / 1_000), askedAt, judgedAt: Number.NaN };
      this.#accepted.set(digest, entry, { size: 1_000 + 4 * JSON.stringify(answer).length });
      const principal = this.#passed(entry);
      this.#refused.delete(digest);
      onOutcome('accepted');
      return principal;
    } catch (error) {
      onOutcome('refused');
      if (!(error instanceof GatewayError) || error.code === 'credential_revoked') throw error;
      this.#accepted.delete(digest);
      this.#refused.set(digest, { refusal: error, until: monotonic() + negativeMs });
      throw error;
    }
  }

  #report(problem: string | null): void {
    if (problem === this.#problem) return;
    const changed = (problem === null) !== (this.#problem === null);
    this.#problem = problem;
    if (changed) this.#options.onProblem(problem);
  }

  #unavailable(): GatewayError {
    return new GatewayError('issuer_unavailable', {
      reason: 'introspection_unavailable',
      retryAfterSeconds: Math.max(1, Math.ceil(this.#circuit.waitMs / 1_000)),
    });
  }
}
