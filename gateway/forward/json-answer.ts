// Collects an answer that is not streamed: bounded, whole, and a JSON object, before a byte of it reaches the caller.
import type { IncomingHttpHeaders } from 'node:http';
import { GatewayError } from '../../core/errors.ts';
import { isMediaType } from './answer-head.ts';
import type { AnswerControl, AnswerSink } from './connections.ts';
import { refusalOfAnswer } from './upstream-failure.ts';
import { utf8Text } from './utf8.ts';

/** A whole, checked answer. */
export interface JsonAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly json: Readonly<Record<string, unknown>>;
  /** The answer as it came: a text when it is short, since that is joined with our head into one write. */
  readonly body: string | Buffer;
  /** Its bytes. */
  readonly length: number;
}

/** Whose answer it is, and who hears of it. */
export interface JsonAnswerOptions {
  readonly model: string | null;
  /** Whether the upstream is one of our own services. */
  readonly isOurs: boolean;
  readonly done: (answer: JsonAnswer) => void;
  readonly failed: (refusal: GatewayError) => void;
}

const maxAnswerBytes = 16 * 1024 * 1024;
const maxRefusalBytes = 64 * 1024;
const longestTextBytes = 16_384;

/**
 * Creates a sink that yields one JSON object or one refusal.
 * Checks: 2xx, application/json, no content coding, length, UTF-8 JSON object without a top-level `error`.
 * Does not check: the members of the object.
 */
export function createJsonAnswer(options: JsonAnswerOptions): AnswerSink {
  return new JsonCollector(options);
}

class JsonCollector implements AnswerSink {
  readonly #options: JsonAnswerOptions;
  #status = 0;
  #headers: IncomingHttpHeaders = {};
  #control: AnswerControl | null = null;
  #pieces: Buffer[] = [];
  #length = 0;
  /** The text of an answer that came in one piece; null for one that is not UTF-8. */
  #whole: string | null | undefined;
  #isOver = false;

  constructor(options: JsonAnswerOptions) {
    this.#options = options;
  }

  head(status: number, headers: IncomingHttpHeaders, control: AnswerControl): void {
    this.#status = status;
    this.#headers = headers;
    this.#control = control;
    if (this.#isSuccess && !isPlainJson(headers)) this.#refuse('upstream_content_type');
  }

  chunk(bytes: Buffer): void {
    if (this.#isOver) return;
    this.#length += bytes.length;
    if (this.#length > (this.#isSuccess ? maxAnswerBytes : maxRefusalBytes)) {
      if (this.#isSuccess) this.#refuse('upstream_too_long');
      else {
        this.#control?.abort();
        this.failed(this.#refused(null));
      }
      return;
    }
    // The usual answer comes at once and is decoded where it lies; the pieces of others are copied, since they are lent.
    if (bytes.length <= longestTextBytes && Number(this.#headers['content-length']) === bytes.length)
      this.#whole = utf8Text(bytes);
    else this.#pieces.push(Buffer.from(bytes));
  }

  end(): void {
    if (this.#isOver) return;
    const bytes = this.#whole === undefined ? Buffer.concat(this.#pieces) : null;
    const text = bytes === null ? this.#whole : utf8Text(bytes);
    const json = typeof text === 'string' ? parseObject(text) : null;
    if (!this.#isSuccess) this.failed(this.#refused(json));
    else if (typeof text !== 'string' || json === null) this.#refuse('upstream_not_json');
    else if (isError(json['error'])) this.#refuse('upstream_error_in_200');
    else {
      this.#isOver = true;
      const body = bytes !== null && bytes.length > longestTextBytes ? bytes : text;
      const { done } = this.#options;
      done({ status: this.#status, headers: this.#headers, json, body, length: this.#length });
    }
  }

  failed(refusal: GatewayError): void {
    this.#isOver = true;
    this.#pieces = [];
    this.#options.failed(refusal);
  }

  get #isSuccess(): boolean {
    return this.#status >= 200 && this.#status < 300;
  }

  #refuse(reason: string): void {
    this.#control?.abort();
    this.failed(new GatewayError('upstream_invalid_response', { reason }));
  }

  #refused(json: unknown): GatewayError {
    const { model, isOurs } = this.#options;
    return refusalOfAnswer({ status: this.#status, headers: this.#headers, json, model, isOurs });
  }
}

function isPlainJson(headers: IncomingHttpHeaders): boolean {
  const coding = headers['content-encoding'];
  return isMediaType(headers, 'application/json') && (coding === undefined || coding === 'identity');
}

function isError(member: unknown): boolean {
  return member !== undefined && member !== null;
}

/** A JSON object, or null for anything else. */
export function parseObject(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    // The cast names what the two checks have shown.
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}
