// The load generator: keep-alive connections on raw sockets, either as fast as answers come (closed loop) or at a given
// rate, where the latency counts from the moment a request was due (open loop). Runs in a process of its own.
import { connect } from 'node:net';
import { ready } from './contestants/process.mjs';

/** One run: `{ port, tokens, body, connections, durationMs, rate }` → counts and latencies in µs. */
export async function run({ port, tokens, body, connections, durationMs, rate }) {
  const requests = tokens.map((accessToken) =>
    Buffer.from(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ncontent-type: application/json\r\n` +
        `authorization: Bearer ${accessToken}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    ),
  );
  const latencies = [];
  const statuses = {};
  let sent = 0;
  const started = performance.now();
  const until = started + durationMs;
  const due = rate === null ? null : () => started + (sent / rate) * 1000;

  const connection = () =>
    new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1');
      socket.setNoDelay(true);
      let unread = Buffer.alloc(0);
      let from = 0;
      const next = () => {
        const now = performance.now();
        if (now >= until) {
          socket.end();
          return resolve();
        }
        if (due === null) {
          from = now;
          socket.write(requests[sent++ % requests.length]);
          return;
        }
        from = due();
        const request = requests[sent++ % requests.length];
        if (from <= now) {
          socket.write(request);
          return;
        }
        // A timer may fire a millisecond early or late; that is not the contestant's doing.
        setTimeout(() => {
          from = performance.now();
          socket.write(request);
        }, from - now);
      };
      socket.on('data', (bytes) => {
        unread = unread.length === 0 ? bytes : Buffer.concat([unread, bytes]);
        const end = unread.indexOf('\r\n\r\n');
        if (end === -1) return;
        const head = unread.latin1Slice(0, end);
        const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
        if (unread.length < end + 4 + length) return;
        latencies.push((performance.now() - from) * 1000);
        const status = head.slice(9, 12);
        statuses[status] = (statuses[status] ?? 0) + 1;
        unread = unread.subarray(end + 4 + length);
        next();
      });
      socket.on('error', reject);
      socket.on('connect', next);
    });
  await Promise.all(Array.from({ length: connections }, connection));
  latencies.sort((left, right) => left - right);
  return {
    count: latencies.length,
    seconds: (performance.now() - started) / 1000,
    statuses,
    p50: latencies[Math.floor(latencies.length / 2)],
    p99: latencies[Math.floor(latencies.length * 0.99)],
  };
}

process.on('message', async (message) => {
  if (message.run !== undefined) process.send({ ran: await run(message.run) });
});
ready(async () => ({}));
