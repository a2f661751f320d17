// Checks on the request head that Node's parser leaves to the program. Runs before anything else looks at the request.
import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../core/errors.ts';

/** More fields than any SDK sends; Node drops fields in silence past its own limit, so ours lies below it. */
const maxFields = 100;

/** Fields that mean one thing only once; a second one is an attempt at being read in two ways. */
const single = new Set([
  'host',
  'content-type',
  'content-length',
  'content-encoding',
  'transfer-encoding',
  'expect',
  'authorization',
  'api-key',
]);

/**
 * Checks: HTTP/1.0 or 1.1, number of fields, no underscore in a name (some servers read `_` as `-`), no doubled framing or
 * credential field, Host as host and port, no Content-Length beside Transfer-Encoding, only `chunked` as transfer coding.
 * Does not check: characters and framing syntax (Node's strict parser), sizes (server options), credentials (authenticate).
 * @throws GatewayError `malformed_request`, `headers_too_large` or `invalid_request`
 */
export function checkHead(request: IncomingMessage): void {
  // Node's parser lets 0.9 and 2.0 through in a request line.
  if (request.httpVersionMajor !== 1) throw refused('it is neither HTTP/1.1 nor HTTP/1.0');
  const fields = request.rawHeaders;
  if (fields.length > maxFields * 2) throw new GatewayError('headers_too_large', { reason: 'field_count' });
  let seen = 0;
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] ?? '';
    if (name.includes('_')) throw refused('a header name holds an underscore');
    const lower = name.toLowerCase();
    if (!single.has(lower)) continue;
    const bit = bits[lower] ?? 0;
    if ((seen & bit) !== 0) {
      // RFC 6750 §3.1: more than one method of sending a credential is invalid_request.
      if (lower === 'authorization' || lower === 'api-key')
        throw new GatewayError('invalid_request', { reason: 'doubled_credentials' });
      throw refused(`the header ${lower} is given twice`);
    }
    seen |= bit;
  }
  // RFC 9112 §3.2: an invalid Host is answered with 400.
  if (!isHost(request.headers.host ?? '')) throw refused('the Host header is not a host and a port');
  if (request.headers['transfer-encoding'] !== undefined) checkTransferEncoding(request);
}

function checkTransferEncoding({ headers, httpVersionMinor }: IncomingMessage): void {
  // RFC 9112 §6.1: HTTP/1.0 knows no transfer coding, so such a message is framed in two ways.
  if (httpVersionMinor === 0) throw refused('HTTP/1.0 has no Transfer-Encoding');
  // RFC 9112 §6.1: a message with both is an attempt at request smuggling.
  if (headers['content-length'] !== undefined)
    throw refused('Content-Length and Transfer-Encoding exclude each other');
  if (headers['transfer-encoding']?.toLowerCase() !== 'chunked')
    throw refused('only the transfer coding chunked is accepted');
}

/** A name, an IPv4 address or an IPv6 address in brackets, and a port if any; no user, path, list or encoding. */
export function isHost(text: string): boolean {
  const match = /^(?:[A-Za-z0-9._~-]*|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?$/.exec(text);
  return match !== null && Number(match[1] ?? 0) <= 65_535;
}

const bits: Readonly<Record<string, number>> = Object.fromEntries(
  [...single].map((name, index) => [name, 1 << index]),
);

function refused(problem: string): GatewayError {
  return new GatewayError('malformed_request', { params: { problem }, reason: 'request_head' });
}
