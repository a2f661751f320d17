// The head of an answer as text, as node:http writes it: the fields as given, then Date, Connection, Keep-Alive and the framing.
import type { OutgoingHttpHeaders } from 'node:http';
import { STATUS_CODES } from '../../core/node-http.ts';

/** How the answer is framed and whether the connection stays. */
export interface ResponseFraming {
  readonly isChunked: boolean;
  readonly isLast: boolean;
  readonly keepAliveSeconds: number;
}

/** Names that were looked at before; all of them are written in our own code, and there are few. */
const knownNames = new Set<string>();
const maxKnownNames = 256;
/** What our answers consist of: nothing that could end a line. */
const isPlain = /^[\t\x20-\x7e]*$/;

/**
 * The head, with the empty line that ends it.
 * Checks: names are lower-case, values are printable ASCII without a line end; `connection` and `date` are not among them.
 * @throws Error naming a field that cannot be written
 */
export function responseHead(status: number, fields: OutgoingHttpHeaders, framing: ResponseFraming): string {
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'unknown'}\r\n`;
  for (const name in fields) {
    const value = fields[name];
    if (value === undefined) continue;
    if (typeof value === 'string' || typeof value === 'number') text += line(name, value);
    else for (const each of value) text += line(name, each);
  }
  text += framing.isLast ? ending() : staying(framing.keepAliveSeconds);
  return framing.isChunked ? `${text}Transfer-Encoding: chunked\r\n\r\n` : `${text}\r\n`;
}

function line(name: string, value: string | number): string {
  if (!knownNames.has(name)) checkName(name);
  if (typeof value === 'string' && !isPlain.test(value))
    throw new Error(`the header ${name} holds a character that is not written`);
  return `${name}: ${value}\r\n`;
}

function checkName(name: string): void {
  if (!/^[a-z0-9-]+$/.test(name) || name === 'connection' || name === 'date' || name === 'transfer-encoding')
    throw new Error(`the header ${name} is not written`);
  if (knownNames.size < maxKnownNames) knownNames.add(name);
}

let dateText = '';
let dateUntil = 0;
let stayingText = '';
let stayingSeconds = -1;

/** RFC 9110 §6.6.1; made once a second. */
function date(): string {
  const now = Date.now();
  // The clock may be set back, too.
  if (now >= dateUntil || now < dateUntil - 1_000) {
    dateUntil = now - (now % 1_000) + 1_000;
    dateText = `Date: ${new Date(now).toUTCString()}\r\n`;
    stayingSeconds = -1;
  }
  return dateText;
}

function ending(): string {
  return `${date()}Connection: close\r\n`;
}

function staying(seconds: number): string {
  const now = date();
  if (seconds !== stayingSeconds) {
    stayingSeconds = seconds;
    stayingText = `${now}Connection: keep-alive\r\nKeep-Alive: timeout=${seconds}\r\n`;
  }
  return stayingText;
}
