// One TCP connection to a server under attack: writes any bytes, and takes the answers apart the way a strict client does.
import net from 'node:net';

/** One answer as it came. */
export interface RawAnswer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** What came back on a connection. */
export interface RawExchange {
  readonly answers: readonly RawAnswer[];
  /** Everything, also what is no answer. */
  readonly text: string;
  /** The server ended the connection. */
  readonly closed: boolean;
}

export interface RawTarget {
  readonly port: number;
  /** Further bytes, each written when so many answers have come. */
  readonly then?: readonly (string | Buffer)[];
  /**
   * Silence in ms after which the exchange is over, before the first answer at least 4 s; only reached where the server keeps
   * the connection open.
   */
  readonly silentMs?: number;
  /** Ends when so many answers have come. */
  readonly until?: number;
}

/** Sends bytes, and settles when the server closes, has given `until` answers, or is silent. */
export function sendRaw(bytes: string | Buffer, target: RawTarget): Promise<RawExchange> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(target.port, '127.0.0.1');
    const later = [...(target.then ?? [])];
    let text = '';
    let written = 1;
    let timer: NodeJS.Timeout | undefined;
    const finish = (closed: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ answers: answersIn(text), text, closed });
    };
    const wait = (): void => {
      clearTimeout(timer);
      // Before the first answer a server may have much to load, on a busy machine for long.
      const least = answersIn(text).length === 0 ? 4_000 : 0;
      timer = setTimeout(() => finish(false), Math.max(target.silentMs ?? 4_000, least));
    };
    socket.on('connect', () => {
      socket.write(bytes);
      wait();
    });
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      wait();
      const count = answersIn(text).length;
      if (count >= written && later.length > 0) {
        written++;
        socket.write(later.shift() ?? '');
      } else if (count >= (target.until ?? Infinity)) finish(false);
    });
    socket.on('close', () => finish(true));
    socket.on('error', (error: NodeJS.ErrnoException) =>
      ['ECONNRESET', 'EPIPE'].includes(error.code ?? '') ? finish(true) : reject(error),
    );
  });
}

/** The complete answers at the start of `text`; interim ones (100) are left out. */
function answersIn(text: string): RawAnswer[] {
  const answers: RawAnswer[] = [];
  for (let at = 0; ;) {
    const end = text.indexOf('\r\n\r\n', at);
    if (end === -1) return answers;
    const head = text.slice(at, end + 2);
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1] ?? Number.NaN);
    if (Number.isNaN(status)) return answers;
    at = end + 4;
    if (status === 100) continue;
    const length = Number(/\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1] ?? Number.NaN);
    const isChunked = /\r\ntransfer-encoding: *chunked\r\n/i.test(head);
    const stop = Number.isNaN(length) ? (isChunked ? text.indexOf('0\r\n\r\n', at) + 5 : at) : at + length;
    if (stop > text.length || (isChunked && stop === 4)) return answers;
    answers.push({ status, head, body: text.slice(at, stop) });
    at = stop;
  }
}
