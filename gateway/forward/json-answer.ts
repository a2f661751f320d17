// Collects an answer that is not streamed: bounded, whole, and a JSON object, before a byte of it reaches the caller.
import { isUtf8 } from 'node:buffer';
import type { IncomingHttpHeaders } from 'node:http';
import { GatewayError } from '../../core/errors.ts';
import { isMediaType } from './answer-head.ts';
import type { AnswerControl, AnswerSink } from './connections.ts';
import { refusalOfAnswer } from './upstream-failure.ts';

/** A whole, checked answer. */
export interface JsonAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  /** The same as text. */
  readonly text: string;
  readonly json: Readonly<Record<string, unknown>>;
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

/**
 * Creates a sink that yields one JSON object or one refusal.
 * Checks: 2xx, application/json, no content coding, length, UTF-8 JSON object without a top-level `error`.
 * Does not check: the members of the object.
 */
export function createJsonAnswer(options: JsonAnswerOptions): AnswerSink {
  let status = 0;
  let headers: IncomingHttpHeaders = {};
  let control: AnswerControl | null = null;
  let pieces: Buffer[] = [];
  let length = 0;
  let isOver = false;

  const fail = (refusal: GatewayError): void => {
    isOver = true;
    pieces = [];
    options.failed(refusal);
  };
  const isSuccess = (): boolean => status >= 200 && status < 300;

  return {
    head(answerStatus, answerHeaders, answerControl) {
      status = answerStatus;
      headers = answerHeaders;
      control = answerControl;
      if (!isSuccess() || isPlainJson(headers)) return;
      control.abort();
      fail(new GatewayError('upstream_invalid_response', { reason: 'upstream_content_type' }));
    },
    chunk(bytes) {
      if (isOver) return;
      length += bytes.length;
      pieces.push(bytes);
      if (length <= (isSuccess() ? maxAnswerBytes : maxRefusalBytes)) return;
      control?.abort();
      fail(
        isSuccess()
          ? new GatewayError('upstream_invalid_response', { reason: 'upstream_too_long' })
          : refused(null),
      );
    },
    end() {
      if (isOver) return;
      const bytes = pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
      const text = isUtf8(bytes) ? bytes.toString('utf8') : '';
      const json = parseObject(text);
      if (!isSuccess()) fail(refused(json));
      else if (json === null)
        fail(new GatewayError('upstream_invalid_response', { reason: 'upstream_not_json' }));
      else if (isError(json['error']))
        fail(new GatewayError('upstream_invalid_response', { reason: 'upstream_error_in_200' }));
      else options.done({ status, headers, bytes, text, json });
    },
    failed: fail,
  };

  function refused(json: unknown): GatewayError {
    return refusalOfAnswer({ status, headers, json, model: options.model, isOurs: options.isOurs });
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
