// A scripted upstream on a raw socket, loopback or Unix: it records the exact bytes that it receives and answers with
// exactly the bytes that a script writes, however hostile. Its parser is lenient, so that whatever leaks is seen.
import { createServer, type AddressInfo, type Socket } from 'node:net';

/** One request as it came. */
export interface FakeRequest {
  readonly method: string;
  readonly path: string;
  /** Lower-case names; every value that came, in order. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  /** The head as text, with its line ends. */
  readonly head: string;
  readonly body: Buffer;
  /** 0 for the first connection. */
  readonly connection: number;
  /** 0 for the first request of its connection. */
  readonly turn: number;
}

/** What the upstream does with a request; writes to the socket whatever it likes. */
export type Script = (request: FakeRequest, socket: Socket) => void | Promise<void>;

export interface FakeUpstream {
  /** `http://127.0.0.1:port`, or `unix:path`. */
  readonly url: string;
  readonly requests: readonly FakeRequest[];
  readonly connectionCount: number;
  /** Connections that are open now. */
  readonly openCount: number;
  /** Everything that came, per connection. */
  readonly received: readonly Buffer[];
  use(script: Script): void;
  /** Settles when so many requests have come. */
  arrived(count: number): Promise<void>;
  /** Settles when no connection is open any more. */
  idle(): Promise<void>;
  close(): Promise<void>;
}

/** Starts an upstream that follows `script`; `socketPath` makes it listen on a Unix socket. */
export async function startFakeUpstream(script: Script, socketPath?: string): Promise<FakeUpstream> {
  let current = script;
  const requests: FakeRequest[] = [];
  const received: Buffer[] = [];
  const sockets = new Set<Socket>();
  const watchers = new Set<() => void>();
  const changed = (): void => watchers.forEach((watcher) => watcher());
  const until = (isTrue: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const watcher = (): void => {
        if (!isTrue()) return;
        watchers.delete(watcher);
        resolve();
      };
      watchers.add(watcher);
      watcher();
    });

  const server = createServer((socket) => {
    const connection = received.length;
    received.push(Buffer.alloc(0));
    sockets.add(socket);
    let unread = Buffer.alloc(0);
    let turn = 0;
    socket.on('data', (bytes) => {
      received[connection] = Buffer.concat([received[connection] ?? Buffer.alloc(0), bytes]);
      unread = Buffer.concat([unread, bytes]);
      for (;;) {
        const parsed = parseRequest(unread);
        if (parsed === null) return;
        unread = unread.subarray(parsed.length);
        const request = { ...parsed.request, connection, turn };
        turn++;
        requests.push(request);
        changed();
        void Promise.resolve(current(request, socket)).catch(() => socket.destroy());
      }
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      sockets.delete(socket);
      changed();
    });
  });
  await new Promise<void>((resolve) => server.listen(socketPath ?? { port: 0, host: '127.0.0.1' }, resolve));
  return {
    url:
      socketPath === undefined
        ? `http://127.0.0.1:${(server.address() as AddressInfo).port}`
        : `unix:${socketPath}`,
    requests,
    received,
    get connectionCount() {
      return received.length;
    },
    get openCount() {
      return sockets.size;
    },
    use: (next) => {
      current = next;
    },
    arrived: (count) => until(() => requests.length >= count),
    idle: () => until(() => sockets.size === 0),
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

function parseRequest(
  bytes: Buffer,
): { request: Omit<FakeRequest, 'connection' | 'turn'>; length: number } | null {
  const end = bytes.indexOf('\r\n\r\n');
  if (end === -1) return null;
  const head = bytes.subarray(0, end + 4).toString('latin1');
  const [line = '', ...fields] = head.trimEnd().split('\r\n');
  const [method = '', path = ''] = line.split(' ');
  const headers = new Map<string, string[]>();
  for (const field of fields) {
    const colon = field.indexOf(':');
    const name = field.slice(0, colon).trim().toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), field.slice(colon + 1).trim()]);
  }
  const rest = bytes.subarray(end + 4);
  if (headers.get('transfer-encoding')?.some((value) => /chunked/i.test(value)) === true) {
    const dechunked = dechunk(rest);
    if (dechunked === null) return null;
    return {
      request: { method, path, headers, head, body: dechunked.body },
      length: end + 4 + dechunked.length,
    };
  }
  const length = Number(headers.get('content-length')?.[0] ?? 0);
  if (rest.length < length) return null;
  return {
    request: { method, path, headers, head, body: rest.subarray(0, length) },
    length: end + 4 + length,
  };
}

function dechunk(bytes: Buffer): { body: Buffer; length: number } | null {
  const pieces: Buffer[] = [];
  for (let at = 0; ;) {
    const end = bytes.indexOf('\r\n', at);
    if (end === -1) return null;
    const size = Number.parseInt(bytes.subarray(at, end).toString('latin1'), 16);
    if (bytes.length < end + 2 + size + 2) return null;
    pieces.push(bytes.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
    if (size === 0) return { body: Buffer.concat(pieces), length: at };
  }
}

/** The id that a well-behaved upstream echoes. */
export function requestId(request: FakeRequest): string {
  return request.headers.get('x-request-id')?.[0] ?? '';
}

/** A whole HTTP answer as text; content-length is counted unless `headers` has one. */
export function httpAnswer(status: number, headers: Readonly<Record<string, string>>, body: string): string {
  const length = Object.hasOwn(headers, 'content-length')
    ? {}
    : { 'content-length': String(Buffer.byteLength(body)) };
  const fields = Object.entries({ ...headers, ...length }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} Whatever\r\n${fields.join('')}\r\n${body}`;
}

/** Answers JSON; echoes the request's id, as Sallyport's own services do. */
export function json(
  value: unknown,
  options: { status?: number; headers?: Readonly<Record<string, string>> } = {},
): Script {
  return (request, socket) => {
    const headers = {
      'content-type': 'application/json',
      'x-request-id': requestId(request),
      ...options.headers,
    };
    socket.write(httpAnswer(options.status ?? 200, headers, JSON.stringify(value)));
  };
}

/** The same from an upstream that knows nothing of our ids. */
export function jsonWithoutEcho(value: unknown): Script {
  return (_request, socket) => {
    socket.write(httpAnswer(200, { 'content-type': 'application/json' }, JSON.stringify(value)));
  };
}

/** The head of an event stream in chunked coding, with the echo. */
export function streamHead(request: FakeRequest, headers: Readonly<Record<string, string>> = {}): string {
  const fields = {
    'content-type': 'text/event-stream',
    'transfer-encoding': 'chunked',
    'x-request-id': requestId(request),
    ...headers,
  };
  return `HTTP/1.1 200 OK\r\n${Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`;
}

/** One chunk of a chunked body. */
export function chunk(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}

export const lastChunk = '0\r\n\r\n';

/** Streams `pieces`, one chunk each, and ends well. */
export function stream(pieces: readonly string[]): Script {
  return (request, socket) => {
    socket.write(streamHead(request) + pieces.map(chunk).join('') + lastChunk);
  };
}

/** Writes these bytes whatever was asked, and keeps the connection open. */
export function raw(bytes: string | ((request: FakeRequest) => string)): Script {
  return (request, socket) => {
    socket.write(typeof bytes === 'string' ? bytes : bytes(request), 'latin1');
  };
}

/** Never answers. */
export const hang: Script = () => undefined;

/** Closes without a word. */
export const hangUp: Script = (_request, socket) => {
  socket.end();
};

/** Resets the connection. */
export const reset: Script = (_request, socket) => {
  socket.resetAndDestroy();
};

/** Answers, and leaves a second answer on the connection after `delayMs` (0: in the same write). */
export function twice(
  first: (request: FakeRequest) => string,
  second: (request: FakeRequest) => string,
  delayMs = 0,
): Script {
  return (request, socket) => {
    if (delayMs === 0) socket.write(first(request) + second(request));
    else {
      socket.write(first(request));
      setTimeout(() => socket.write(second(request)), delayMs);
    }
  };
}

/** Header fields without end. */
export const endlessHeaders: Script = (_request, socket) => {
  socket.write('HTTP/1.1 200 OK\r\n');
  let count = 0;
  const timer = setInterval(() => socket.write(`x-${count++}: ${'a'.repeat(1000)}\r\n`), 1);
  socket.on('close', () => clearInterval(timer));
};
