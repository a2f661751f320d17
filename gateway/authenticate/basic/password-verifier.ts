// Asks the embedded identity whether a password is right, and remembers a good one for a moment under a keyed hash. A wrong
// one is never remembered: identity counts each guess, for the account and for the address.
import { createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { GatewayError } from '../../../core/errors.ts';
import type { Principal } from '../../principal.ts';
import type { PasswordAnswer } from '../identity-api.ts';
import type { BasicCredentials } from './basic-credentials.ts';

/** Whom it asks, and by what rules it remembers. */
export interface PasswordVerifierOptions {
  /** @throws Error when there is no usable answer */
  readonly ask: (
    credentials: BasicCredentials,
    callerAddress: string,
    signal: AbortSignal,
  ) => Promise<PasswordAnswer>;
  /** @throws GatewayError */
  readonly judge: (claims: Readonly<Record<string, unknown>>) => Principal;
  readonly isRevoked: (principal: Principal) => boolean;
  /** Asked at every use: falls while revocations do not arrive. */
  readonly maxAgeMs: () => number;
  readonly monotonic: () => number;
}

interface Known {
  readonly principal: Principal;
  /** Monotonic ms of the question. */
  readonly askedAt: number;
}

const maxKnown = 1_000;
/** Each question costs identity some tens of milliseconds of a processor. */
const maxInFlight = 16;
const timeoutMs = 5_000;

/** Judges passwords. */
export class PasswordVerifier {
  readonly #options: PasswordVerifierOptions;
  // A memory dump without this key tells nothing that could be guessed at.
  readonly #key = randomBytes(32);
  readonly #known = new LRUCache<string, Known>({ max: maxKnown });
  #inFlight = 0;

  constructor(options: PasswordVerifierOptions) {
    this.#options = options;
  }

  /** @throws GatewayError `invalid_credentials`, `rate_limit_exceeded`, `issuer_unavailable`, `credential_revoked` … */
  async principalOf(credentials: BasicCredentials, callerAddress: string): Promise<Principal> {
    const { monotonic, isRevoked, maxAgeMs } = this.#options;
    const digest = this.#digest(credentials);
    const known = this.#known.get(digest);
    // What is revoked is asked about again: the password may have changed, or may be good for a new use.
    if (known !== undefined && monotonic() - known.askedAt < maxAgeMs() && !isRevoked(known.principal))
      return known.principal;
    this.#known.delete(digest);
    return this.#ask(digest, credentials, callerAddress);
  }

  async #ask(digest: string, credentials: BasicCredentials, callerAddress: string): Promise<Principal> {
    const { judge, isRevoked, monotonic } = this.#options;
    const askedAt = monotonic();
    const claims = await this.#answer(credentials, callerAddress);
    const principal = judge(claims);
    if (isRevoked(principal)) throw new GatewayError('credential_revoked', { reason: 'revoked' });
    this.#known.set(digest, { principal, askedAt });
    return principal;
  }

  async #answer(
    credentials: BasicCredentials,
    callerAddress: string,
  ): Promise<Readonly<Record<string, unknown>>> {
    if (this.#inFlight >= maxInFlight) throw unavailable();
    this.#inFlight++;
    let answer: PasswordAnswer;
    try {
      answer = await this.#options.ask(credentials, callerAddress, AbortSignal.timeout(timeoutMs));
    } catch (error) {
      throw unavailable(error);
    } finally {
      this.#inFlight--;
    }
    if (answer.kind === 'throttled')
      throw new GatewayError('rate_limit_exceeded', {
        params: {
          limit: 'wrong passwords',
          window: 'account and address',
          retryAfter: `${answer.retryAfterSeconds}s`,
        },
        reason: 'password_throttled',
        retryAfterSeconds: answer.retryAfterSeconds,
      });
    return answer.claims;
  }

  #digest({ username, password }: BasicCredentials): string {
    return createHmac('sha256', this.#key).update(`${username}\0${password}`).digest('base64');
  }
}

function unavailable(cause?: unknown): GatewayError {
  return new GatewayError('issuer_unavailable', { reason: 'password_check', retryAfterSeconds: 1, cause });
}
