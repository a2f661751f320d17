// OpenFGA's HTTP API as its published definitions describe it (openfga/api: check, batch-check, error forms), on loopback:
// no real OpenFGA runs here. It answers from tuples by the naive reading of tests/gateway/authorize/relations.
import { createServer, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { naiveRelations } from '../gateway/authorize/relations/naive-relations.ts';

export const storeId = '01YCP46JKYM8FJCQ37NMBYHE5X';
export const modelId = '01G5JAVJ41T49E9TT3SKVS7X1J';

type Body = Record<string, unknown>;
interface TupleKey {
  readonly user: string;
  readonly relation: string;
  readonly object: string;
}

export interface FakeOpenFga {
  readonly url: string;
  /** Every request, in order. */
  readonly requests: {
    readonly path: string;
    readonly authorization: string | undefined;
    readonly body: Body;
  }[];
  /** Tuples in force; replace them at will. */
  tuples: string[];
  /** Answers instead of the next questions: a status with a body, text that is no answer, or silence. */
  behave: null | 'hang' | 'reset' | { readonly status: number; readonly body: string };
  /** A server before 1.8, which has no batch-check. */
  readonly old: boolean;
  close(): Promise<void>;
}

export interface FakeOpenFgaOptions {
  readonly types: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  readonly tuples?: readonly string[];
  readonly token?: string;
  readonly old?: boolean;
}

export async function startFakeOpenFga(options: FakeOpenFgaOptions): Promise<FakeOpenFga> {
  const { types, token } = options;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString('utf8')) as Body;
      const path = request.url ?? '';
      fake.requests.push({ path, authorization: request.headers.authorization, body });
      if (fake.behave === 'hang') return;
      if (fake.behave === 'reset') {
        request.socket.destroy();
        return;
      }
      if (fake.behave !== null) {
        response.writeHead(fake.behave.status, { 'content-type': 'application/json' });
        response.end(fake.behave.body);
        return;
      }
      if (token !== undefined && request.headers.authorization !== `Bearer ${token}`) {
        send(response, 401, { code: 'bearer_token_missing', message: 'unauthenticated' });
        return;
      }
      answer(path, body, response);
    });
  });

  const check = (entry: Body): { allowed: boolean } | { error: Body } => {
    const { user, relation, object } = entry['tuple_key'] as TupleKey;
    const [type = ''] = object.split(':');
    if (!Object.hasOwn(types, type)) return fault('type_not_found', `type '${type}' not found`);
    if (!Object.hasOwn(types[type] ?? {}, relation))
      return fault('validation_error', `relation '${type}#${relation}' not found`);
    if (!/^[^:#@\s]+:[^:#\s]+$/.test(object) || !/^[^\s]{2,512}$/.test(user))
      return fault('validation_error', 'invalid object or user');
    const contextual = ((entry['contextual_tuples'] as Body | undefined)?.['tuple_keys'] ?? []) as TupleKey[];
    if (contextual.length > 100)
      return fault('validation_error', 'value must contain no more than 100 item(s)');
    const tuples = [
      ...fake.tuples,
      ...contextual.map((each) => `${each.object}#${each.relation}@${each.user}`),
    ];
    const holds = naiveRelations(types, tuples, { subject: user, memberships: [] });
    return { allowed: holds.has(`${object}#${relation}`) };
  };

  const answer = (path: string, body: Body, response: ServerResponse): void => {
    const [status, content] = answerTo(path, body);
    send(response, status, content);
  };
  const refusal = (status: number, code: string, message: string): [number, Body] => [
    status,
    { code, message },
  ];
  const answerTo = (path: string, body: Body): [number, Body] => {
    const [, stores, id, call] = path.split('/');
    if (stores !== 'stores' || id !== storeId)
      return refusal(404, 'store_id_not_found', 'Store ID not found');
    if (body['authorization_model_id'] !== modelId)
      return refusal(400, 'authorization_model_not_found', 'Authorization Model not found');
    if (!['MINIMIZE_LATENCY', 'HIGHER_CONSISTENCY'].includes(String(body['consistency'])))
      return refusal(400, 'validation_error', 'invalid consistency');
    if (call === 'check') {
      const result = check(body);
      return 'error' in result
        ? refusal(400, String(result.error['input_error']), String(result.error['message']))
        : [200, { ...result, resolution: '' }];
    }
    if (call !== 'batch-check' || fake.old) return refusal(404, 'undefined_endpoint', 'Not Found');
    const checks = body['checks'] as Body[];
    if (checks.length > 50) return refusal(400, 'validation_error', 'batchCheck received too many checks');
    return [
      200,
      { result: Object.fromEntries(checks.map((each) => [String(each['correlation_id']), check(each)])) },
    ];
  };

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // A TCP server has an address and port.
  const fake: FakeOpenFga = {
    url: `http://127.0.0.1:${port}`,
    requests: [],
    tuples: [...(options.tuples ?? [])],
    behave: null,
    old: options.old ?? false,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return fake;
}

const fault = (code: string, message: string) => ({ error: { input_error: code, message } });

function send(response: ServerResponse, status: number, body: Body): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
