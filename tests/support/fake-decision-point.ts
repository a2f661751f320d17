// A decision point of OpenID AuthZEN 1.0 on loopback: metadata, evaluation and evaluations with the default values of the
// specification; decides by a function of the test, and misbehaves on demand.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

export interface AskedEvaluation {
  readonly subject: {
    readonly type: string;
    readonly id: string;
    readonly properties?: Record<string, unknown>;
  };
  readonly action: { readonly name: string };
  readonly resource: { readonly type: string; readonly id: string };
  readonly context?: Record<string, unknown>;
}
export type FakeAnswer = boolean | Record<string, unknown>;

export interface FakeDecisionPoint {
  readonly url: string;
  readonly requests: {
    readonly method: string;
    readonly path: string;
    readonly headers: IncomingMessage['headers'];
    readonly body: Record<string, unknown> | null;
  }[];
  decide: (asked: AskedEvaluation) => FakeAnswer;
  /** Answers questions instead: a status with a body and headers, silence, or a broken connection. */
  behave:
    | null
    | 'hang'
    | 'reset'
    | { readonly status: number; readonly body: string; readonly headers?: Record<string, string> };
  metadataStatus: number;
  /** Laid over the metadata. */
  metadata: Record<string, unknown>;
  close(): Promise<void>;
}

export interface FakeDecisionPointOptions {
  readonly decide?: (asked: AskedEvaluation) => FakeAnswer;
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca?: string };
  readonly path?: string;
}

export async function startFakeDecisionPoint(
  options: FakeDecisionPointOptions = {},
): Promise<FakeDecisionPoint> {
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString('utf8');
      const body = text === '' ? null : (JSON.parse(text) as Record<string, unknown>);
      const path = request.url ?? '';
      const { method = '', headers } = request;
      fake.requests.push({ method, path, headers, body });
      const behave = method === 'POST' ? fake.behave : null;
      if (behave === 'hang') return;
      if (behave === 'reset') {
        request.socket.destroy();
        return;
      }
      const id = headers['x-request-id'];
      const own = typeof id === 'string' ? { 'x-request-id': id } : {};
      const { status, body: content, headers: further = {} } = behave ?? answer(path, body);
      response.writeHead(status, { 'content-type': 'application/json', ...own, ...further });
      response.end(content);
    });
  };

  const answer = (
    path: string,
    body: Record<string, unknown> | null,
  ): { status: number; body: string; headers?: Record<string, string> } => {
    if (path === `/.well-known/authzen-configuration${options.path ?? ''}`)
      return {
        status: fake.metadataStatus,
        body: JSON.stringify({
          policy_decision_point: fake.url,
          access_evaluation_endpoint: `${fake.url}/access/v1/evaluation`,
          access_evaluations_endpoint: `${fake.url}/access/v1/evaluations`,
          ...fake.metadata,
        }),
      };
    const decided = (asked: unknown): Record<string, unknown> => {
      const given = fake.decide(asked as AskedEvaluation);
      return typeof given === 'boolean' ? { decision: given } : given;
    };
    if (body !== null && path === `${options.path ?? ''}/access/v1/evaluation`)
      return { status: 200, body: JSON.stringify(decided(body)) };
    if (body !== null && path === `${options.path ?? ''}/access/v1/evaluations`) {
      const { evaluations, ...shared } = body;
      const all = (evaluations as Record<string, unknown>[]).map((each) => decided({ ...shared, ...each }));
      return { status: 200, body: JSON.stringify({ evaluations: all }) };
    }
    return { status: 404, body: '{}' };
  };

  const server =
    options.tls === undefined
      ? createServer(onRequest)
      : createTlsServer(
          {
            ...options.tls,
            requestCert: options.tls.ca !== undefined,
            rejectUnauthorized: options.tls.ca !== undefined,
          },
          onRequest,
        );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // A TCP server has an address and port.
  const scheme = options.tls === undefined ? 'http' : 'https';
  const fake: FakeDecisionPoint = {
    url: `${scheme}://127.0.0.1:${port}${options.path ?? ''}`,
    requests: [],
    decide: options.decide ?? (() => true),
    behave: null,
    metadataStatus: 200,
    metadata: {},
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return fake;
}
