// Fetches one JSON document of an issuer: no redirects, bounded in size and time. Says what went wrong in words fit for
// an operator; a document is believed as far as TLS (or loopback) goes.
import type { IncomingMessage } from 'node:http';
import { connectTimeout, requestOnce, trusting, type RequestOnce } from '../single-request.ts';

/** Fetches and parses a JSON object. @throws Error whose message an operator can act on */
export type FetchDocument = (url: string, signal: AbortSignal) => Promise<Readonly<Record<string, unknown>>>;

/** Largest metadata or key document that is read, bytes. */
const maxDocumentBytes = 1_048_576;

/** How long a connection to an issuer may take. */
export const issuerConnectMs = 3_000;

/** A fetcher that trusts a further certificate authority beside the usual ones. `request` is another in tests alone. */
export function documentFetcher(issuerCa?: string, request: RequestOnce = requestOnce): FetchDocument {
  const trust = trusting(issuerCa);
  return async (url, signal) => {
    const shown = new URL(url).origin + new URL(url).pathname;
    const answer = await request(url, {
      signal,
      trust: trust(),
      connectMs: issuerConnectMs,
      headers: { accept: 'application/json, application/jwk-set+json' },
    }).catch((error: unknown) => {
      throw new Error(`${shown}: ${connectionProblem(error, signal)}`, { cause: error });
    });
    const { statusCode: status = 0 } = answer;
    if (status !== 200) {
      answer.destroy();
      const redirect = status >= 300 && status < 400 ? ' (redirects are not followed)' : '';
      throw new Error(`${shown}: the answer is ${status}${redirect}`);
    }
    const bytes = await readBounded(answer).catch((error: unknown) => {
      throw new Error(`${shown}: ${connectionProblem(error, signal)}`, { cause: error });
    });
    if (bytes === null) throw new Error(`${shown}: the answer is larger than ${maxDocumentBytes} bytes`);
    return parsed(bytes, shown);
  };
}

async function readBounded(answer: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let size = 0;
  // Buffers, since no encoding is set.
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxDocumentBytes) return null; // Leaving the loop destroys the body and with it the connection.
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function parsed(bytes: Buffer, shown: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new Error(`${shown}: the answer is not JSON`, { cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${shown}: the answer is not a JSON object`);
  return value as Readonly<Record<string, unknown>>; // Narrowed above: a JSON object.
}

const problems: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'the host name is unknown',
  EAI_AGAIN: 'the host name cannot be looked up',
  ECONNRESET: 'the connection was reset',
  [connectTimeout]: 'no connection in time',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate authority is not known here (gateway.issuer_ca)',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed (gateway.issuer_ca)',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate authority is not known here (gateway.issuer_ca)',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
};

function connectionProblem(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) return 'no complete answer in time';
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'error';
  return problems[code] ?? `the request failed (${code})`;
}
