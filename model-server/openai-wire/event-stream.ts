// Server-sent events as OpenAI streams them, with a comment during silence and without unbounded buffering: text that a
// slow reader has not taken is merged per choice and sent as one chunk when it reads on.
import type { ServerResponse } from 'node:http';

/** One streamed answer. The head is sent with the first event or heartbeat, so that an early refusal keeps its status. */
export interface EventStream {
  /** Queues text of a choice; what is queued for it is merged while the reader is slow. */
  readonly text: (choice: number, text: string) => void;
  /** Sends an event after all queued text. */
  readonly event: (chunk: object) => void;
  readonly end: () => void;
}

/** How one endpoint writes its chunks. */
export interface ChunkForm {
  /** Events before the first text of a choice, e.g. chat's role. */
  readonly opening: (choice: number) => object | null;
  readonly text: (choice: number, text: string) => object;
}

const padding = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'.repeat(4);
const paddedTo = 64;

/** Opens the stream; it ends by itself when the response closes. */
export function createEventStream(
  response: ServerResponse,
  form: ChunkForm,
  options: { readonly heartbeatMs: number; readonly obfuscate: boolean },
): EventStream {
  const queued = new Map<number, string>();
  const opened = new Set<number>();
  let isBlocked = false;

  const write = (text: string): void => {
    if (response.destroyed || response.writableEnded) return;
    if (!response.headersSent) {
      response.writeHead(200, {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      });
    }
    heartbeat.refresh();
    isBlocked = !response.write(text);
  };
  const heartbeat = setTimeout(() => write(': ping\n\n'), options.heartbeatMs);
  const eventText = (chunk: object): string => `data: ${JSON.stringify(chunk)}\n\n`;

  const flush = (): string => {
    let text = '';
    for (const [choice, piece] of queued) {
      const opening = opened.has(choice) ? null : form.opening(choice);
      opened.add(choice);
      if (opening !== null) text += eventText(opening);
      const chunk = form.text(choice, piece);
      if (piece !== '') text += eventText(options.obfuscate ? padded(chunk) : chunk);
    }
    queued.clear();
    return text;
  };
  const onDrain = (): void => {
    isBlocked = false;
    const text = flush();
    if (text !== '') write(text);
  };
  response.on('drain', onDrain);
  response.once('close', () => clearTimeout(heartbeat));

  return {
    text: (choice, text) => {
      queued.set(choice, (queued.get(choice) ?? '') + text);
      if (isBlocked) return;
      const events = flush();
      if (events !== '') write(events);
    },
    event: (chunk) => write(flush() + eventText(chunk)),
    end: () => {
      clearTimeout(heartbeat);
      write('data: [DONE]\n\n');
      clearTimeout(heartbeat);
      response.end();
    },
  };
}

/** OpenAI pads deltas so that an onlooker cannot tell texts by the sizes of packets; same member, same switch. */
function padded(chunk: object): object {
  const missing = paddedTo - (Buffer.byteLength(JSON.stringify(chunk)) % paddedTo);
  const start = Math.floor(Math.random() * (padding.length - paddedTo));
  return { ...chunk, obfuscation: padding.slice(start, start + missing) };
}
