// Where an issuer's sign-in page and token endpoint are, from its own metadata; only the API page's Authorize button
// needs it. Asked at most once in a while, whatever callers do.
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import { requestOnce, trusting } from '../single-request.ts';

/** What the Authorize button needs. */
export interface IssuerEndpoints {
  readonly authorizationEndpoint: string;
  readonly tokenEndpoint: string;
}

/** An issuer and where its metadata is read. */
export interface IssuerAddress {
  readonly issuer: string;
  readonly metadataUrl: string;
}

const metadataSchema = z.object({
  issuer: z.string(),
  authorization_endpoint: z.url(),
  token_endpoint: z.url(),
});

const timeoutMs = 2_000;
const keptMs = 600_000;
const failureKeptMs = 5_000;
const maxBytes = 256 * 1024;

/** Creates the lookup; it answers null when the issuer does not answer as it should, and never rejects. */
export function createIssuerEndpoints(
  ca: string | undefined,
): (issuer: IssuerAddress) => Promise<IssuerEndpoints | null> {
  const trust = trusting(ca === undefined ? undefined : readFileSync(ca, 'utf8'));
  const known = new Map<
    string,
    { readonly until: number; readonly endpoints: Promise<IssuerEndpoints | null> }
  >();
  return (issuer) => {
    const key = `${issuer.issuer} ${issuer.metadataUrl}`;
    const entry = known.get(key);
    if (entry !== undefined && entry.until > performance.now()) return entry.endpoints;
    const endpoints = discover(issuer, trust).catch(() => null);
    known.set(key, { until: performance.now() + failureKeptMs, endpoints });
    void endpoints.then((found) => {
      if (found !== null) known.set(key, { until: performance.now() + keptMs, endpoints });
    });
    return endpoints;
  };
}

/**
 * Reads OpenID Connect metadata.
 * Checks: the document is the issuer's own, endpoints are URLs, no redirect, bounded in time and size.
 * Does not check: signatures and keys (authenticate fetches those by itself).
 */
async function discover(
  { issuer, metadataUrl }: IssuerAddress,
  trust: ReturnType<typeof trusting>,
): Promise<IssuerEndpoints | null> {
  const answer = await requestOnce(metadataUrl, {
    headers: {},
    trust: trust(),
    signal: AbortSignal.timeout(timeoutMs),
    connectMs: timeoutMs,
  });
  const parsed = metadataSchema.safeParse(await jsonOf(answer));
  // OpenID Connect Discovery 1.0 §4.3: the issuer in the document must be exactly the one that was asked.
  if (answer.statusCode !== 200 || !parsed.success || parsed.data.issuer !== issuer) return null;
  return {
    authorizationEndpoint: parsed.data.authorization_endpoint,
    tokenEndpoint: parsed.data.token_endpoint,
  };
}

async function jsonOf(answer: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  // Buffers, since no encoding is set; leaving the loop destroys the connection.
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) throw new Error('the answer is too large');
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8'));
}
