// A request as the stages see it, for tests of one stage: real objects of node:http, the parts that a test names.
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { pino } from 'pino';
import { newOutcome, type Outcome, type Received } from '../../gateway/exchange.ts';
import type { Route } from '../../gateway/policies/routes.ts';
import type { Services } from '../../gateway/services.ts';
import type { Snapshot } from '../../gateway/snapshot.ts';

export const testRoute: Route = {
  name: 'chat.completions',
  kind: 'openai',
  path: '/v1/chat/completions',
  methods: new Set(['POST']),
  action: 'chat.completions.create',
  surface: 'openai',
  upstreamPath: '/v1/chat/completions',
  upstream: null,
  limits: [],
  guards: [],
  anonymous: false,
  requiresBoundToken: false,
  maxBodyBytes: 1_048_576,
};

export interface ReceivedParts {
  readonly route?: Partial<Route>;
  readonly headers?: Record<string, string>;
  readonly callerAddress?: string;
  readonly snapshot?: Partial<Snapshot>;
  readonly services?: Partial<Services>;
  readonly outcome?: Partial<Outcome>;
}

/** A received request; what a test does not name is harmless or absent. */
export function received(parts: ReceivedParts = {}): Received {
  const request = new IncomingMessage(new Socket());
  request.method = 'POST';
  request.url = '/v1/chat/completions';
  Object.assign(request.headers, parts.headers);
  return {
    id: 'req_01JD4Q7MZX2J5T8K9P3R6V0WYB',
    request,
    response: new ServerResponse(request),
    target: { path: '/v1/chat/completions', query: '' },
    route: { ...testRoute, ...parts.route },
    pathModel: null,
    snapshot: {
      version: 1,
      digest: 'd1e2',
      models: new Map([['tiny-gpt2', 'embedded']]),
      ...parts.snapshot,
    } as Snapshot,
    services: {
      log: pino({ level: 'silent' }),
      auditLog: {
        append: () => undefined,
        appendText: () => undefined,
        problem: () => null,
        close: () => Promise.resolve(),
      },
      ...parts.services,
    } as Services,
    callerAddress: parts.callerAddress ?? '203.0.113.9',
    receivedAt: 1_795_000_000_000,
    startedAt: performance.now(),
    signal: new AbortController().signal,
    outcome: {
      ...newOutcome(),
      ...parts.outcome,
    },
  };
}
