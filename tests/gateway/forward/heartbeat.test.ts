import assert from 'node:assert/strict';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import type { GatewayError } from '../../../core/errors.ts';
import type { Guarded } from '../../../gateway/exchange.ts';
import { createStreamAnswer } from '../../../gateway/forward/stream-answer.ts';

/** Runs `upstream` against the sink of one streamed answer and returns what the caller saw. */
async function answerOf(
  upstream: (sink: ReturnType<typeof createStreamAnswer>, response: ServerResponse) => void,
): Promise<{ text: string; refusal: GatewayError | null; streamed: boolean }> {
  let refusal: GatewayError | null = null;
  const outcome = { streamed: false, firstByteAt: null };
  const server = createServer((_request, response) => {
    // The members that the sink reads.
    const guarded = {
      id: 'req_x',
      response,
      outcome,
      reservation: { headers: {} },
      model: 'm',
    } as unknown as Guarded;
    const failed = (error: GatewayError): void => {
      refusal = error;
      response.end();
    };
    upstream(
      createStreamAnswer(guarded, {
        isOurs: true,
        hidesUsage: false,
        stallMs: 1000,
        heartbeatMs: 10,
        done: () => undefined,
        failed,
      }),
      response,
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const text = await (await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)).text();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  return { text, refusal, streamed: outcome.streamed };
}

const control = { pause: () => undefined, resume: () => undefined, abort: () => undefined };
const head = { 'content-type': 'text/event-stream' };

describe('the heartbeat of a stream', () => {
  it('goes on until the first event, and not beyond', async () => {
    const { text } = await answerOf((sink) => {
      setTimeout(() => {
        sink.head(200, head, control);
        sink.chunk(Buffer.from('data: {"a":1}\n\n'));
        setTimeout(() => sink.chunk(Buffer.from('data: [DONE]\n\n')), 60);
      }, 60);
    });
    assert.match(text, /^(: ping\n\n)+data: {"a":1}\n\ndata: \[DONE\]\n\n$/);
  });

  it('has opened the stream, so that a late refusal comes as a refusal of the open stream', async () => {
    const { text, refusal, streamed } = await answerOf((sink) => {
      setTimeout(() => {
        sink.head(503, { 'content-type': 'application/json' }, control);
        sink.end();
      }, 60);
    });
    assert.match(text, /^(: ping\n\n)+$/);
    assert.deepEqual([refusal?.code, streamed], ['server_is_overloaded', true]);
  });
});
