// The heads of a `kind: http` exchange, both from fixed lists: what an internal service learns of the request, and what
// the caller learns of its answer.
import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import type { Guarded } from '../exchange.ts';

const requestFields = ['content-type', 'accept', 'accept-language', 'user-agent'] as const;
// `www-authenticate` belongs to a 401 of the account routes, `allow` to a 405, `retry-after` to a 429 or 503.
const answerFields = ['content-type', 'content-length', 'www-authenticate', 'allow', 'retry-after'] as const;

/** What the gateway adds to a request. */
export interface OwnFields {
  readonly assertion: string | null;
  readonly authorization: string | null;
  readonly length: string | undefined;
}

/** Headers for the service. The caller's credential, cookies, forwarding and identity headers are not among them. */
export function serviceRequestHead(guarded: Guarded, own: OwnFields): IncomingHttpHeaders {
  const head: IncomingHttpHeaders = { 'x-request-id': guarded.id, 'x-forwarded-for': guarded.callerAddress };
  for (const name of requestFields) {
    const value = guarded.request.headers[name];
    // Other bytes than printable ASCII have no agreed meaning in a header, so services read them differently.
    if (value !== undefined && value.length <= 512 && /^[\x20-\x7e]*$/.test(value)) head[name] = value;
  }
  if (own.length !== undefined) head['content-length'] = own.length;
  if (own.authorization !== null) head['authorization'] = own.authorization;
  if (own.assertion !== null) head['sallyport-assertion'] = own.assertion;
  for (const [name, value] of guarded.effective.upstreamHeaders) head[name] = value;
  return head;
}

/**
 * Headers for the caller, or null when the answer may not be passed on: redirects, switched protocols, content codings
 * that nobody asked for.
 */
export function serviceAnswerHead(guarded: Guarded, answer: IncomingMessage): OutgoingHttpHeaders | null {
  const status = answer.statusCode ?? 0;
  if (status < 200 || (status >= 300 && status < 400) || status > 599) return null;
  if (answer.headers['content-encoding'] !== undefined) return null;
  const head: OutgoingHttpHeaders = {
    'cache-control': 'no-store',
    'x-request-id': guarded.id,
    ...guarded.reservation.headers,
  };
  for (const name of answerFields) {
    const value = answer.headers[name];
    if (value !== undefined) head[name] = value;
  }
  return head;
}
