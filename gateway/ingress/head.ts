// Reads the head of a request that has the one simple shape in which SDKs ask for completions, and no other: whatever is
// doubled, folded, coded or rare is left to node:http, which answers or refuses it. docs/decisions/0013 has the language.
import type { IncomingHttpHeaders } from 'node:http';
import { isHost } from '../request-head.ts';
import type { Snapshot } from '../snapshot.ts';
import { destinationOf, type Destination } from './destination.ts';

/** Longest head that is read here, without its empty line; node:http accepts twice as much. */
export const maxHeadBytes = 16 * 1024;
const maxFields = 100;

const requestLine = /^POST (\/[\x21-\x7e]*) HTTP\/1\.1$/;
const beginOfRequestLine = /^POST \/[\x21-\x7e]*(?: [HTP/.0-9]*\r?)?$/;
const beginOfField = /^(?:[A-Za-z0-9-]*|[A-Za-z0-9-]+:[\t\x20-\x7e]*)\r?$/;
const fieldName = /^[A-Za-z0-9-]+$/;
/** No control character but the tab, nothing beyond ASCII: no obs-fold, no bare CR or LF, no NUL. */
const fieldValue = /^[\t\x20-\x7e]*$/;
const bodyLength = /^(?:0|[1-9][0-9]{0,7})$/;

/** Fields that frame a message or change its protocol: what they mean, node:http decides. */
const leftToNode = new Set([
  'expect',
  'http2-settings',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** A head that was read; shared by all requests with the same bytes, hence frozen. */
export class Head {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly bodyBytes: number;
  /** The caller asks for the end of the connection. */
  readonly isLast: boolean;
  /** Whether other requests may share it (known-heads.ts). */
  isKept = false;
  #snapshot: Snapshot | null = null;
  #destination: Destination | null = null;

  constructor(url: string, headers: IncomingHttpHeaders, rawHeaders: readonly string[]) {
    this.url = url;
    this.headers = Object.freeze(headers);
    this.rawHeaders = Object.freeze(rawHeaders);
    this.bodyBytes = Number(headers['content-length']);
    this.isLast = headers.connection?.toLowerCase() === 'close';
  }

  /** Where it leads under these policies; null: not to a route that is served here. */
  destinationUnder(snapshot: Snapshot): Destination | null {
    if (this.#snapshot !== snapshot) {
      this.#destination = destinationOf(this.url, snapshot);
      this.#snapshot = snapshot;
    }
    return this.#destination;
  }
}

/**
 * Reads a head, given without the empty line that ends it; null when it is not of the simple shape.
 * Checks: `POST`, origin form, HTTP/1.1; each field once, its name letters, digits and `-`, its value printable ASCII; number
 * of fields; one Host that is host and port; one Content-Length of at most 8 digits; no field that frames otherwise;
 * Connection is `keep-alive` or `close`. Hence all that checkHead (request-head.ts) and node:http's parser check.
 * Does not check: the target (destinationOf), credentials (authenticate), the media type (body).
 */
export function readHead(text: string): Head | null {
  const lineEnd = text.indexOf('\r\n');
  const url = requestLine.exec(lineEnd === -1 ? text : text.slice(0, lineEnd))?.[1];
  if (url === undefined || lineEnd === -1) return null;
  const headers: IncomingHttpHeaders = {};
  const rawHeaders: string[] = [];
  for (let at = lineEnd + 2; at < text.length;) {
    const stop = text.indexOf('\r\n', at);
    const end = stop === -1 ? text.length : stop;
    if (!addField(text.slice(at, end), headers, rawHeaders)) return null;
    at = end + 2;
  }
  return rawHeaders.length <= maxFields * 2 && isFramed(headers) ? new Head(url, headers, rawHeaders) : null;
}

/**
 * Whether a head of the simple shape may begin with this text, so that it pays to wait for the rest.
 * Checks: every line that is whole, as readHead does; the characters of the last one.
 */
export function mayBecomeHead(text: string): boolean {
  const headers: IncomingHttpHeaders = {};
  const rawHeaders: string[] = [];
  const lines = text.split('\r\n');
  const last = lines.pop() ?? '';
  if (lines.length === 0) return beginOfRequestLine.test(last);
  return (
    lines.every((line, index) =>
      index === 0 ? requestLine.test(line) : addField(line, headers, rawHeaders),
    ) && beginOfField.test(last)
  );
}

function addField(line: string, headers: IncomingHttpHeaders, rawHeaders: string[]): boolean {
  const colon = line.indexOf(':');
  const name = line.slice(0, Math.max(colon, 0));
  const value = line.slice(colon + 1);
  if (!fieldName.test(name) || !fieldValue.test(value)) return false;
  const lower = name.toLowerCase();
  if (leftToNode.has(lower) || Object.hasOwn(headers, lower)) return false;
  // Of white space only blanks and tabs are left here, which are no part of a value (RFC 9110 §5.5).
  const trimmed = value.trim();
  headers[lower] = trimmed;
  rawHeaders.push(name, trimmed);
  return true;
}

/** One host, one plain length, and a connection that stays or ends. */
function isFramed({ host, connection, 'content-length': length }: IncomingHttpHeaders): boolean {
  return (
    host !== undefined &&
    host !== '' &&
    isHost(host) &&
    length !== undefined &&
    bodyLength.test(length) &&
    (connection === undefined || /^(?:keep-alive|close)$/i.test(connection))
  );
}
