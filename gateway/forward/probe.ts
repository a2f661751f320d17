// Whether an upstream answers: `GET /healthz`, bounded, for /readyz.
import { randomBytes } from 'node:crypto';
import type { GatewayError } from '../../core/errors.ts';
import type { Upstream, UpstreamStatus } from './upstreams.ts';

const probeMs = 1000;

/** Asks for the health path; anything but a 5xx within a second is an upstream that answers. Never rejects. */
export function probe(upstream: Upstream): Promise<UpstreamStatus> {
  const { name } = upstream;
  return new Promise((resolve) => {
    const settle = (problem: string | null): void => {
      clearTimeout(timer);
      resolve({ name, ready: problem === null, problem });
    };
    const timer = setTimeout(() => {
      control.abort();
      settle(`does not answer within ${probeMs} ms`);
    }, probeMs);
    const id = `probe_${randomBytes(9).toString('hex')}`;
    const request = {
      method: 'GET',
      path: `${upstream.basePath}/healthz`,
      headers: ['x-request-id', id, 'accept', '*/*'],
      body: null,
      id,
    } as const;
    const control = upstream.connections.send(
      { ...request, headers: [...request.headers] },
      {
        head: (status, _headers, answer) => {
          answer.abort();
          settle(status < 500 ? null : `answers ${status}`);
        },
        chunk: () => undefined,
        end: () => settle(null),
        failed: (refusal) => settle(wordsFor(refusal)),
      },
    );
  });
}

function wordsFor(refusal: GatewayError): string {
  if (refusal.code === 'upstream_unavailable') return 'cannot be reached';
  if (refusal.code === 'server_is_overloaded') return 'has no free connection';
  return refusal.code === 'upstream_timeout' ? 'does not answer' : 'sends an invalid answer';
}
