// Passes a stream on, event by event: each is whole, bounded, valid JSON and framed by us, so that no text of a model
// can forge an event. A slow reader stops the upstream; a broken upstream ends in a refusal, never in a `[DONE]`.
import type { IncomingHttpHeaders } from 'node:http';
import { GatewayError } from '../../core/errors.ts';
import type { Guarded } from '../exchange.ts';
import { isMediaType, streamHead } from './answer-head.ts';
import type { AnswerControl, AnswerSink } from './connections.ts';
import { createEventScanner, usualEnd, usualStart, type StreamEvent } from './event-stream.ts';
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
const heartbeat = ': ping\n\n';

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
  /** Null from the first event on. */
  #heartbeat: NodeJS.Timeout | null;
  #headers: IncomingHttpHeaders = {};
  #control: AnswerControl | null = null;
  #refusing: AnswerSink | null = null;
  /** Runs while the caller takes nothing. */
  #stall: NodeJS.Timeout | null = null;
  #fault: string | null = null;
  #isDone = false;
  #isOver = false;

  constructor(guarded: Guarded, options: StreamAnswerOptions) {
    this.#guarded = guarded;
    this.#options = options;
    // Until the first event a comment keeps proxies between us and the caller from cutting the connection.
    this.#heartbeat = setInterval(() => this.#write(heartbeat), options.heartbeatMs);
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
    // Behind [DONE] nothing can come that anybody wants: such a connection is not worth keeping.
    if (this.#isDone) this.#control?.abort();
    if (this.#refusing !== null || this.#isOver) return;
    if (!this.#hasPassedOn(bytes)) this.#read(bytes);
  }

  /**
   * Nearly every read is one whole event of the usual shape with nothing in it but text: judged as all others are, it is
   * written as it came, neither taken apart nor put together again. False for anything else, of which nothing is done.
   */
  #hasPassedOn(bytes: Buffer): boolean {
    const text = this.#scanner.usualEvent(bytes);
    if (text === null) return false;
    const json = parseObject(text.slice(usualStart.length, -usualEnd.length));
    if (json === null || isStated(json['error']) || isStated(json['usage'])) return false;
    this.#endHeartbeat();
    // The same bytes again: as many characters as bytes of UTF-8 are ASCII.
    this.#write(text.length === bytes.length ? text : bytes.toString('latin1'), 'latin1');
    return true;
  }

  #read(bytes: Buffer): void {
    const events: StreamEvent[] = [];
    const fault = this.#scanner.push(bytes, events);
    // What came in one read goes out in one write.
    const text = this.#renderAll(events);
    if (this.#isDone) this.#finish(text);
    else if (text !== '') this.#write(text);
    if (this.#fault !== null) this.#break(this.#fault);
    else if (fault !== null && !this.#isDone) this.#break(`upstream_stream_${fault}`);
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
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat);
    if (this.#stall !== null) clearTimeout(this.#stall);
    this.#guarded.response.off('drain', this.#drained);
  }

  /** Up to the first event that ends the stream; of comments, which may be shorter than our heartbeat, only one. */
  #renderAll(events: readonly StreamEvent[]): string {
    let text = '';
    for (const event of events) {
      if (event.kind === 'data') text += this.#render(event.text);
      else if (text === '') text = heartbeat;
      if (this.#isDone || this.#fault !== null) break;
    }
    return text;
  }

  /** The event as the caller gets it; '' for one that is kept back or breaks the stream, which `#fault` tells. */
  #render(text: string): string {
    if (text === '[DONE]') {
      this.#isDone = true;
      this.#endHeartbeat();
      return 'data: [DONE]\n\n';
    }
    const json = parseObject(text);
    if (json === null || isStated(json['error'])) {
      this.#fault = json === null ? 'upstream_stream_not_json' : 'upstream_stream_error';
      return '';
    }
    if (isStated(json['usage'])) {
      noteUsage(this.#guarded.outcome, json);
      if (this.#options.hidesUsage && Array.isArray(json['choices']) && json['choices'].length === 0)
        return '';
    }
    this.#endHeartbeat();
    // Only white space between JSON tokens can hold a line break, and JSON needs none of it.
    return `data: ${text.includes('\n') ? text.replaceAll('\n', '') : text}\n\n`;
  }

  #endHeartbeat(): void {
    if (this.#heartbeat === null) return;
    clearInterval(this.#heartbeat);
    this.#heartbeat = null;
    this.#guarded.outcome.firstByteAt ??= performance.now();
  }

  #begin(): void {
    const { response, outcome } = this.#guarded;
    if (response.headersSent) return;
    response.writeHead(200, streamHead(this.#guarded, this.#headers));
    outcome.streamed = true;
  }

  /** `latin1` for a text whose characters are bytes already: they need not be counted. */
  #write(text: string, encoding: 'latin1' | 'utf8' = 'utf8'): void {
    const { response } = this.#guarded;
    if (this.#isOver) return;
    this.#begin();
    if (response.write(text, encoding) || this.#stall !== null) return;
    this.#control?.pause();
    response.once('drain', this.#drained);
    this.#stall = setTimeout(() => response.destroy(), this.#options.stallMs);
  }

  readonly #drained = (): void => {
    if (this.#stall !== null) clearTimeout(this.#stall);
    this.#stall = null;
    this.#control?.resume();
  };

  #finish(text: string): void {
    if (this.#isOver) return;
    this.#begin();
    this.stop();
    this.#guarded.response.end(text);
    this.#options.done();
  }

  #break(reason: string): void {
    this.#control?.abort();
    this.failed(new GatewayError('upstream_invalid_response', { reason }));
  }
}

function isStated(member: unknown): boolean {
  return member !== undefined && member !== null;
}
