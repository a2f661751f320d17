// Passes a stream on, event by event: each is whole, bounded, valid JSON and framed by us, so that no text of a model
// can forge an event. A slow reader stops the upstream; a broken upstream ends in a refusal, never in a `[DONE]`.
import type { IncomingHttpHeaders } from 'node:http';
import { GatewayError } from '../../core/errors.ts';
import type { Guarded } from '../exchange.ts';
import { isMediaType, streamHead } from './answer-head.ts';
import type { AnswerControl, AnswerSink } from './connections.ts';
import { createEventScanner, type StreamEvent } from './event-stream.ts';
import { createJsonAnswer, parseObject } from './json-answer.ts';
import { noteUsage } from './usage.ts';

/** Whose stream it is, and who hears of it. */
export interface StreamAnswerOptions {
  readonly isOurs: boolean;
  /** Whether usage was asked for on the gateway's account: the chunk that only carries it is kept from the caller. */
  readonly hidesUsage: boolean;
  /** A caller that takes nothing for so long is gone. */
  readonly stallMs: number;
  readonly heartbeatMs: number;
  readonly done: () => void;
  readonly failed: (refusal: GatewayError) => void;
}

const maxEventBytes = 1024 * 1024;

/** Creates the sink of one streamed answer; `stop` must be called when the caller has gone. */
export function createStreamAnswer(
  guarded: Guarded,
  options: StreamAnswerOptions,
): AnswerSink & { stop(): void } {
  return new StreamAnswer(guarded, options);
}

class StreamAnswer implements AnswerSink {
  readonly #guarded: Guarded;
  readonly #options: StreamAnswerOptions;
  readonly #scanner = createEventScanner(maxEventBytes);
  readonly #heartbeat: NodeJS.Timeout;
  #headers: IncomingHttpHeaders = {};
  #control: AnswerControl | null = null;
  #refusing: AnswerSink | null = null;
  #stall: NodeJS.Timeout | undefined;
  #isDone = false;
  #isOver = false;

  constructor(guarded: Guarded, options: StreamAnswerOptions) {
    this.#guarded = guarded;
    this.#options = options;
    // Until the first event a comment keeps proxies between us and the caller from cutting the connection.
    this.#heartbeat = setInterval(() => this.#write(': ping\n\n'), options.heartbeatMs);
  }

  head(status: number, headers: IncomingHttpHeaders, control: AnswerControl): void {
    this.#headers = headers;
    this.#control = control;
    const coding = headers['content-encoding'];
    if (status < 200 || status > 299) {
      const { isOurs } = this.#options;
      const failed = (refusal: GatewayError): void => this.failed(refusal);
      // A refusal is collected like any other; `done` cannot happen, since the status is not 2xx.
      this.#refusing = createJsonAnswer({
        model: this.#guarded.model,
        isOurs,
        done: () => undefined,
        failed,
      });
      this.#refusing.head(status, headers, control);
    } else if (
      !isMediaType(headers, 'text/event-stream') ||
      (coding !== undefined && coding !== 'identity')
    ) {
      this.#break('upstream_content_type');
    }
  }

  chunk(bytes: Buffer): void {
    this.#refusing?.chunk(bytes);
    if (this.#refusing !== null || this.#isOver) return;
    const events: StreamEvent[] = [];
    const fault = this.#scanner.push(bytes, events);
    let text = '';
    for (const event of events) {
      const piece = this.#render(event);
      if (piece === null) {
        if (text !== '') this.#write(text);
        return;
      }
      text += piece;
      if (this.#isDone) break;
    }
    if (text !== '') this.#write(text);
    if (this.#isDone) this.#finish();
    else if (fault !== null) this.#break(`upstream_stream_${fault}`);
  }

  end(): void {
    if (this.#refusing !== null) this.#refusing.end();
    else if (!this.#isDone)
      this.failed(new GatewayError('upstream_invalid_response', { reason: 'upstream_stream_cut' }));
  }

  failed(refusal: GatewayError): void {
    if (this.#isOver) return;
    this.stop();
    this.#options.failed(refusal);
  }

  stop(): void {
    this.#isOver = true;
    clearInterval(this.#heartbeat);
    clearTimeout(this.#stall);
    this.#guarded.response.off('drain', this.#drained);
  }

  /** The event as the caller gets it, '' for one that is kept back, or null when it broke the stream. */
  #render(event: StreamEvent): string | null {
    if (event.kind === 'comment') return ': ping\n\n';
    if (event.text === '[DONE]') {
      this.#isDone = true;
      return 'data: [DONE]\n\n';
    }
    const json = parseObject(event.text);
    if (json === null) return this.#break('upstream_stream_not_json');
    if (json['error'] !== undefined && json['error'] !== null) return this.#break('upstream_stream_error');
    if (json['usage'] !== undefined && json['usage'] !== null) {
      noteUsage(this.#guarded.outcome, json);
      if (this.#options.hidesUsage && Array.isArray(json['choices']) && json['choices'].length === 0)
        return '';
    }
    // Only white space between JSON members can hold a line break; such an event is written anew on one line.
    return `data: ${event.text.includes('\n') ? JSON.stringify(json) : event.text}\n\n`;
  }

  #write(text: string): void {
    const { response, outcome } = this.#guarded;
    if (this.#isOver) return;
    if (!response.headersSent) {
      response.writeHead(200, streamHead(this.#guarded, this.#headers));
      outcome.streamed = true;
    }
    if (text !== ': ping\n\n') {
      clearInterval(this.#heartbeat);
      outcome.firstByteAt ??= performance.now();
    }
    if (response.write(text) || this.#stall !== undefined) return;
    this.#control?.pause();
    response.once('drain', this.#drained);
    this.#stall = setTimeout(() => response.destroy(), this.#options.stallMs);
  }

  readonly #drained = (): void => {
    clearTimeout(this.#stall);
    this.#stall = undefined;
    this.#control?.resume();
  };

  #finish(): void {
    this.stop();
    this.#guarded.response.end();
    this.#options.done();
  }

  #break(reason: string): null {
    this.#control?.abort();
    this.failed(new GatewayError('upstream_invalid_response', { reason }));
    return null;
  }
}
