// The question itself: one form post with the credential in its body, never in an address or a log (RFC 7662 §2.1).
import type { Readable } from 'node:stream';
import { parseStrictObject } from '../../../core/strict-json.ts';
import type { KeptConnections } from '../../kept-connections.ts';

/** Where and as whom the gateway asks. */
export interface IntrospectionRequest {
  readonly url: string;
  readonly connections: Pick<KeptConnections, 'request'>;
  readonly headers: Readonly<Record<string, string>>;
  /** Members beside `token`. */
  readonly form: Readonly<Record<string, string>>;
}

const maxAnswerBytes = 65_536;

/**
 * Asks about one credential.
 * Checks: 200, application/json, no redirect, size, strict JSON object.
 * Does not check: what the answer says (judge-introspection.ts).
 * @throws Error in words for an operator; never with the credential
 */
export async function askIssuer(
  { url, connections, headers, form }: IntrospectionRequest,
  credential: string,
  signal: AbortSignal,
): Promise<Readonly<Record<string, unknown>>> {
  const shown = new URL(url).origin + new URL(url).pathname;
  const body = new URLSearchParams(form);
  body.append('token', credential);
  try {
    const answer = await connections.request(url, {
      signal,
      method: 'POST',
      headers: {
        ...headers,
        accept: 'application/json',
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: body.toString(),
    });
    answer.body.on('error', () => undefined); // Destroying an unread body emits one.
    if (answer.statusCode !== 200 || !isJson(answer.headers['content-type'])) {
      answer.body.destroy();
      const { statusCode: status } = answer;
      throw new NoAnswer(
        `${shown}: the answer is ${status}${status === 200 ? ', not JSON' : ''}`,
        isDownBy(status),
      );
    }
    return parsed(await readBounded(answer.body, shown), shown);
  } catch (error) {
    if (error instanceof NoAnswer) throw error;
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'error';
    const what = signal.aborted ? 'no answer in time' : `the request failed (${code})`;
    throw new NoAnswer(`${shown}: ${what}`, true);
  }
}

/** An error whose words are ours: what undici says may hold more than an operator should read. */
export class NoAnswer extends Error {
  /** Whether the issuer answers others no better: what only this credential brings about says nothing of it. */
  readonly isDown: boolean;

  constructor(problem: string, isDown: boolean) {
    super(problem);
    this.isDown = isDown;
  }
}

/** Not what one odd credential can bring about: our own credentials are refused, too many questions, or a fault there. */
function isDownBy(status: number): boolean {
  return (
    status === 401 || status === 403 || status === 429 || status >= 500 || (status >= 300 && status < 400)
  );
}

function isJson(contentType: string | string[] | undefined): boolean {
  return typeof contentType === 'string' && /^application\/json\s*(;|$)/i.test(contentType);
}

async function readBounded(body: Readable, shown: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  // undici yields buffers as long as no encoding is set.
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxAnswerBytes)
      throw new NoAnswer(`${shown}: the answer is larger than ${maxAnswerBytes} bytes`, false);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function parsed(bytes: Buffer, shown: string): Readonly<Record<string, unknown>> {
  try {
    return parseStrictObject(bytes);
  } catch {
    throw new NoAnswer(`${shown}: the answer is not a JSON object`, false);
  }
}
