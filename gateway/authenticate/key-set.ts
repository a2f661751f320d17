// The keys of one issuer over time: fetched at start, on schedule, and once per cool-down for an unknown key id. Keys
// that the issuer withdraws stop working with the next fetch; while it is down, the last good keys serve for max_age.
import type { Logger } from '../../core/log.ts';
import { GatewayError } from '../../core/errors.ts';
import type { FetchDocument } from './fetch-document.ts';
import { invalidToken } from './invalid-token.ts';
import { publicDocument, readIssuerKeys, type IssuerKey, type KeyRequirements } from './issuer-keys.ts';
import { isSecureOrLoopback, type KeySource } from './issuer-url.ts';
import type { FetchedKeys, LastGoodKeys } from './last-good-keys.ts';

/** What a key set is made of; everything in it stays for the life of the set. */
export interface KeySetOptions {
  readonly form: KeySource;
  readonly requirements: KeyRequirements;
  readonly maxAgeMs: number;
  readonly cooldownMs: number;
  readonly refreshMs: number;
  /** For metadata and keys together, from the first byte sent to the last one read. */
  readonly timeoutMs: number;
  readonly allowsPlainHttp: boolean;
  readonly fetchDocument: FetchDocument;
  /** Null keeps nothing on disk. */
  readonly lastGood: LastGoodKeys | null;
  readonly log: Logger;
  readonly now: () => number;
  readonly monotonic: () => number;
}

/** Why a fetch happens: `schedule` includes start and retries. */
type FetchPurpose = 'schedule' | 'unknown_key';

/** Why a fetch was broken off by ourselves. */
const closed = Symbol('closed');

/** First pause after a failed fetch while there are no keys at all; doubles up to the cool-down. */
const firstRetryMs = 250;
/** Failures before the first success that are not worth a warning: about a second. */
const patientFailures = 3;
/** A file from further in the future than this was written under another clock. */
const clockLeewayMs = 300_000;

/** One issuer's keys. Reads are synchronous; only an unknown key id waits for a fetch. */
export class KeySet {
  readonly #options: KeySetOptions;
  #keys: ReadonlyMap<string, IssuerKey> = new Map();
  #fetched: FetchedKeys | null = null;
  /** Monotonic ms until which the keys may be used. */
  #usableUntil = Number.NEGATIVE_INFINITY;
  /** Monotonic ms before which an unknown key id causes no fetch. */
  #nextFetchAt = Number.NEGATIVE_INFINITY;
  #problem: string | null = 'the keys have not been fetched yet';
  #failures = 0;
  #flight: Promise<void> | null = null;
  #flightAbort = new AbortController();
  #timer: NodeJS.Timeout | null = null;
  #holders = 0;

  constructor(options: KeySetOptions) {
    this.#options = options;
  }

  /** What its metadata document names. */
  get issuer(): string {
    return this.#options.form.issuer;
  }

  /** Where the issuer's metadata is read. */
  get metadataUrl(): string {
    return this.#options.form.metadataUrl;
  }

  get problem(): string | null {
    return this.isUsable ? (this.#failures > 0 ? this.#problem : null) : this.#problem;
  }

  get keyCount(): number {
    return this.isUsable ? this.#keys.size : 0;
  }

  get fetchedAt(): number | null {
    return this.#fetched?.fetchedAt ?? null;
  }

  /** Whether there are keys that are young enough. */
  get isUsable(): boolean {
    return this.#keys.size > 0 && this.#options.monotonic() < this.#usableUntil;
  }

  /** Whether a key is still one of the issuer's: asked for every cached token. */
  holds(key: IssuerKey): boolean {
    return this.#keys.get(key.keyId) === key && this.#options.monotonic() < this.#usableUntil;
  }

  /** The key of an id among those that were fetched and are young enough. */
  knownKey(keyId: string): IssuerKey | undefined {
    return this.isUsable ? this.#keys.get(keyId) : undefined;
  }

  /**
   * The key of an id.
   * @throws GatewayError `invalid_token` when the issuer has no such key, `issuer_unavailable` when we cannot know
   */
  async keyFor(keyId: string): Promise<IssuerKey> {
    const known = this.knownKey(keyId);
    if (known !== undefined) return known;
    if (this.#flight !== null) await this.#flight;
    // A flight that began before the issuer published the key does not bring it.
    if (this.knownKey(keyId) === undefined) await this.#fetchForUnknown();
    const fetched = this.knownKey(keyId);
    if (fetched !== undefined) return fetched;
    // While the issuer is down, an unknown key id may be its newest key: the caller is told to come again.
    if (!this.isUsable || this.#failures > 0) throw this.#unavailable();
    throw invalidToken('kid_unknown');
  }

  /** Begins the schedule; several Authentications may share one set, each with its own start and close. */
  async start(): Promise<void> {
    this.#holders++;
    if (this.#holders > 1) return;
    if (this.#fetched === null) this.#adopt(this.#options.lastGood?.read() ?? null);
    // A fetch that a close broke off brings nothing.
    if (this.#flightAbort.signal.aborted) await this.#flight;
    await this.refresh();
  }

  /** Takes over the keys of a set that other settings replace. */
  inherit(predecessor: KeySet): void {
    this.#adopt(predecessor.#fetched);
  }

  /** Fetches now, whatever the cool-down; joins a fetch in flight. */
  async refresh(): Promise<void> {
    await (this.#flight ?? this.#fetchOnce('schedule'));
  }

  /** Ends the schedule when nobody shares it any more; keys go on verifying. */
  close(): void {
    this.#holders = Math.max(0, this.#holders - 1);
    if (this.#holders > 0) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#flightAbort.abort(closed);
  }

  /** Whoever waits joins the fetch in flight; within the cool-down there is none. */
  async #fetchForUnknown(): Promise<void> {
    if (this.#flight !== null) await this.#flight;
    else if (this.#options.monotonic() >= this.#nextFetchAt) await this.#fetchOnce('unknown_key');
  }

  #unavailable(): GatewayError {
    const waitMs = Math.max(0, this.#nextFetchAt - this.#options.monotonic());
    return new GatewayError('issuer_unavailable', {
      reason: 'issuer_unavailable',
      retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)),
    });
  }

  #adopt(kept: FetchedKeys | null): void {
    const { now, monotonic, maxAgeMs, requirements } = this.#options;
    if (kept === null || kept.fetchedAt > now() + clockLeewayMs) return;
    this.#keys = readIssuerKeys(kept.document, requirements, this.#keys);
    this.#fetched = kept;
    this.#usableUntil = monotonic() + maxAgeMs - Math.max(0, now() - kept.fetchedAt);
  }

  #fetchOnce(purpose: FetchPurpose): Promise<void> {
    this.#flight = this.#attempt(purpose).finally(() => {
      this.#flight = null;
      this.#schedule(purpose);
    });
    return this.#flight;
  }

  // One fetch at a time, and its answer counts only while it is the one in flight: a late answer of an older fetch can
  // therefore never replace newer keys.
  async #attempt(purpose: FetchPurpose): Promise<void> {
    const startedAt = this.#options.monotonic();
    const abort = new AbortController();
    this.#flightAbort = abort;
    const timeout = setTimeout(() => abort.abort(), this.#options.timeoutMs).unref();
    try {
      this.#succeed(
        await Promise.race([this.#download(purpose, abort.signal), this.#outOfTime(abort.signal)]),
        purpose,
        startedAt,
      );
    } catch (error) {
      // Our own stop says nothing about the issuer.
      if (abort.signal.reason !== closed) this.#fail(error, startedAt);
    } finally {
      clearTimeout(timeout);
    }
    await this.#keep();
  }

  async #download(purpose: FetchPurpose, signal: AbortSignal): Promise<FetchedKeys> {
    const { form, fetchDocument, now } = this.#options;
    const fetchedAt = now();
    // An unknown key id costs one request; the metadata is read again on schedule and after a failure.
    const known = purpose === 'unknown_key' && this.#failures === 0 ? this.#fetched : null;
    const jwksUri =
      form.jwksUrl ?? known?.jwksUri ?? this.#jwksUriOf(await fetchDocument(form.metadataUrl, signal));
    return { jwksUri, fetchedAt, document: publicDocument(await fetchDocument(jwksUri, signal)) };
  }

  #jwksUriOf(metadata: Readonly<Record<string, unknown>>): string {
    const { form, allowsPlainHttp } = this.#options;
    // OpenID Connect Discovery 1.0 §4.3: the issuer in the document is exactly the one that was asked for.
    if (metadata['issuer'] !== form.issuer)
      throw new Error(`${form.metadataUrl}: the document names another issuer`);
    const jwksUri = metadata['jwks_uri'];
    if (typeof jwksUri !== 'string' || !URL.canParse(jwksUri))
      throw new Error(`${form.metadataUrl}: the document has no jwks_uri`);
    const url = new URL(jwksUri);
    // An https issuer never sends us to plain HTTP, least of all to a service on our own loopback.
    const isPlainIssuer = form.metadataUrl.startsWith('http:');
    const isAccepted =
      url.protocol === 'https:' ||
      (isPlainIssuer && url.protocol === 'http:' && (allowsPlainHttp || isSecureOrLoopback(url)));
    if (!isAccepted) throw new Error(`${form.metadataUrl}: the jwks_uri is not https`);
    return jwksUri;
  }

  #succeed(fetched: FetchedKeys, purpose: FetchPurpose, startedAt: number): void {
    const { requirements, form, log, maxAgeMs, cooldownMs } = this.#options;
    const keys = readIssuerKeys(fetched.document, requirements, this.#keys);
    if (keys.size === 0) throw new Error(`${fetched.jwksUri}: the document has no usable key`);
    const added = [...keys.keys()].filter((keyId) => !this.#keys.has(keyId));
    const withdrawn = [...this.#keys.keys()].filter((keyId) => !keys.has(keyId));
    if (added.length + withdrawn.length > 0 || this.#failures > 0)
      log.info({ issuer: form.issuer, added, withdrawn }, 'the keys of an issuer were fetched');
    this.#keys = keys;
    this.#fetched = fetched;
    this.#usableUntil = startedAt + maxAgeMs;
    // Only unknown key ids use up the cool-down: an issuer that rotates right after a scheduled fetch is asked at once.
    if (purpose === 'unknown_key') this.#nextFetchAt = startedAt + cooldownMs;
    else if (this.#failures > 0) this.#nextFetchAt = startedAt;
    this.#failures = 0;
    this.#problem = null;
  }

  #fail(error: unknown, startedAt: number): void {
    const { form, log, cooldownMs } = this.#options;
    const problem = error instanceof Error ? error.message : 'the fetch failed';
    // One line per outage, not one per attempt or request; an issuer that starts beside us has a moment to come up.
    if (this.#failures === (this.#fetched === null ? patientFailures : 0))
      log.warn({ issuer: form.issuer, problem }, 'the keys of an issuer cannot be fetched');
    // Without any keys nothing works, so the first retries come quickly: an issuer that starts beside us is soon there.
    const pauseMs = this.isUsable
      ? cooldownMs
      : Math.min(cooldownMs, firstRetryMs * 2 ** Math.min(this.#failures, 16));
    this.#failures++;
    this.#problem = problem;
    this.#nextFetchAt = Math.max(startedAt, this.#options.monotonic()) + pauseMs;
  }

  async #keep(): Promise<void> {
    const { lastGood, log, form } = this.#options;
    if (lastGood === null || this.#fetched === null || this.#failures > 0) return;
    await lastGood.write(this.#fetched).catch((error: unknown) => {
      log.warn({ issuer: form.issuer, err: error }, 'the keys of an issuer could not be kept on disk');
    });
  }

  // A fetch for an unknown key id leaves a waiting schedule alone, so that nobody can put off the scheduled one for ever.
  #schedule(purpose: FetchPurpose): void {
    if (this.#holders === 0) return;
    if (this.#timer !== null) {
      if (purpose === 'unknown_key' && this.#failures === 0) return;
      clearTimeout(this.#timer);
    }
    const { refreshMs, monotonic } = this.#options;
    const delayMs = this.#failures === 0 ? refreshMs : Math.max(0, this.#nextFetchAt - monotonic());
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.refresh();
    }, delayMs).unref();
  }

  #outOfTime(signal: AbortSignal): Promise<never> {
    const { jwksUrl, metadataUrl } = this.#options.form;
    const error = new Error(`${jwksUrl ?? metadataUrl}: no complete answer in time`);
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(error), { once: true });
    });
  }
}
