// Writes requests as bytes: one buffer for head and body, so that one system call sends both.
import { KeptTexts } from '../../second-sight.ts';
import type { UpstreamRequest } from '../connections.ts';

/** The fields that frame a message or steer the connection; nobody but this file may set them. */
const ownFields = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
const fieldName = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
// RFC 9110 §5.5: CR, LF and NUL in a value would end the field, or the whole head, where nobody meant it to.
const forbiddenInValue = /[^\t\x20-\x7e\x80-\xff]/;
const target = /^\/[\x21-\x7e]*$/;
// Names and paths come from the configuration and from policies: few, and the same for every request.
const maxKnown = 1_000;
// Values repeat, assertions of callers among them: a look-up costs a fortieth of checking 400 characters again.
const mostValues = 2_000;
const longestKnownValue = 2_048;
/** Larger bodies are handed over as they are: copying them would cost more than a second buffer in the write. */
export const maxJoinedBody = 65_536;

/** Writes the requests of one upstream. */
export class RequestWriter {
  readonly #hostLine: string;
  /** First lines that were checked, by method, path and whether the connection is to end. */
  readonly #starts = new Map<string, string>();
  readonly #names = new Set<string>();
  /** Values that were checked. */
  readonly #values = new KeptTexts<true>({ most: mostValues });

  constructor(host: string) {
    if (!target.test(`/${host}`)) throw new Error('not a host');
    this.#hostLine = `host: ${host}\r\n`;
  }

  /**
   * The request as bytes; without the body when that is longer than `maxJoinedBody`.
   * Checks: path, names and values hold nothing that could end a line; no field that frames the message.
   * @throws Error; nothing was sent then
   */
  write(request: UpstreamRequest, closes: boolean): Buffer {
    const { method, path, headers, body, id } = request;
    let head = this.#start(method, path, closes);
    for (let at = 0; at < headers.length; at += 2) {
      const name = headers[at] ?? '';
      const value = headers[at + 1] ?? '';
      if (!this.#names.has(name)) this.#learn(name);
      // The id is another one each time.
      if (value === id || this.#values.find(value) === undefined) this.#checkValue(name, value, id);
      head += `${name}: ${value}\r\n`;
    }
    if (body === null) return Buffer.from(`${head}\r\n`, 'latin1');
    head += `content-length: ${body.length}\r\n\r\n`;
    if (body.length > maxJoinedBody) return Buffer.from(head, 'latin1');
    const bytes = Buffer.allocUnsafe(head.length + body.length);
    bytes.write(head, 'latin1');
    body.copy(bytes, head.length);
    return bytes;
  }

  #start(method: string, path: string, closes: boolean): string {
    const key = closes ? `close ${method} ${path}` : `${method} ${path}`;
    const known = this.#starts.get(key);
    if (known !== undefined) return known;
    if (!target.test(path)) throw new Error('not a request target');
    const start = `${method} ${path} HTTP/1.1\r\n${this.#hostLine}connection: ${closes ? 'close' : 'keep-alive'}\r\n`;
    // A path may hold the id of something; such paths must not pile up.
    if (this.#starts.size >= maxKnown) this.#starts.clear();
    this.#starts.set(key, start);
    return start;
  }

  #checkValue(name: string, value: string, id: string): void {
    if (forbiddenInValue.test(value)) throw new Error(`${name} holds a byte that no field may hold`);
    if (value !== id && value.length <= longestKnownValue) this.#values.offer(value, true);
  }

  #learn(name: string): void {
    if (!fieldName.test(name) || ownFields.has(name)) throw new Error('a field that may not be sent');
    if (this.#names.size >= maxKnown) this.#names.clear();
    this.#names.add(name);
  }
}
