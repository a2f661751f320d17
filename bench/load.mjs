// The load generator with the upstream in the same process, so that both fit on the core that the contestant does not
// use: keep-alive connections on raw sockets. Closed loop: as fast as answers come. Open loop: at a given rate, where the
// latency counts from the moment a request was due. Streams: server-sent events on many connections.
import { connect } from 'node:net';
import { start as startUpstream, chunksPerStream } from './contestants/mock-upstream.mjs';
import { ready } from './contestants/process.mjs';
import { answerReader } from './harness/answer-reader.mjs';

/** Access tokens by name of their pool; each fresh pool is used up once. */
const pools = new Map();

/**
 * One run against `port` (several: its connections in turn): requests with tokens in turn, until `durationMs` are over or `count` requests were sent.
 * Resolves with counts, latencies in µs, and the processor time that load and upstream took together.
 */
export async function run(options) {
  const cpuBefore = process.cpuUsage();
  const started = performance.now();
  const result = options.streams === undefined ? await requests(options) : await streams(options);
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  return { ...result, seconds, loadCore: (user + system) / 1e6 / seconds };
}

/** The bytes of request after request. Known tokens are written out once; fresh ones as they are sent. */
function requestSource({ port, pool, tokens, from = 0, body, headers = {} }) {
  const all = tokens ?? pools.get(pool);
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const before = `POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:${[port].flat()[0]}\r\ncontent-type: application/json\r\n${fields.join('')}authorization: Bearer `;
  const after = `\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  const write = (accessToken) => Buffer.from(`${before}${accessToken}${after}`);
  let sent = 0;
  if (all.length > 1_000) return () => write(all[(from + sent++) % all.length]);
  const written = all.map(write);
  return () => written[sent++ % written.length];
}

function summary(latencies) {
  latencies.sort((left, right) => left - right);
  return {
    p50: latencies[Math.floor(latencies.length / 2)] ?? null,
    p99: latencies[Math.floor(latencies.length * 0.99)] ?? null,
  };
}

/** One connection that sends when told and reconnects where the other side closes between two requests. */
function connection(port, { onBody, onAnswer, onError }) {
  let socket;
  let isWaiting = false;
  const open = () =>
    new Promise((resolve) => {
      const read = answerReader({
        onBody,
        onEnd: (status, closes) => {
          isWaiting = false;
          if (closes) socket.end();
          onAnswer(status);
        },
      });
      socket = connect({
        port,
        host: '127.0.0.1',
        noDelay: true,
        onread: {
          buffer: Buffer.allocUnsafe(65_536),
          callback: (length, buffer) => {
            try {
              read(buffer.subarray(0, length));
            } catch (error) {
              onError(error);
            }
            return true;
          },
        },
      });
      socket.on('connect', resolve);
      socket.on('error', (error) => onError(error));
      socket.on('end', () => socket.end());
      socket.on('close', () => {
        if (isWaiting) onError(new Error('a connection was closed before its answer came'));
      });
    });
  return {
    open,
    send: async (bytes) => {
      isWaiting = true;
      if (socket.destroyed || !socket.writable) await open();
      socket.write(bytes);
    },
    close: () => socket.destroy(),
  };
}

async function requests({ connections, durationMs = Infinity, count = Infinity, rate = null, ...source }) {
  const next = requestSource(source);
  const latencies = [];
  const statuses = {};
  let sent = 0;
  const all = [];
  const ports = [source.port].flat();
  await new Promise((resolve, reject) => {
    let until = Infinity;
    let ended = 0;
    const dueOf = rate === null ? null : (index) => started + (index / rate) * 1000;
    let started = 0;
    const free = [];
    /** Sends the next request of one connection, or ends it. */
    const proceed = (one) => {
      const now = performance.now();
      if (dueOf !== null) {
        free.push(one);
        return;
      }
      if (now >= until || sent >= count) {
        one.close();
        if (++ended === connections) resolve();
        return;
      }
      sent++;
      one.from = now;
      one.send(next()).catch(reject);
    };
    // Timers step in milliseconds, more than a contestant adds: the open loop looks at the clock all the time instead.
    const spin = () => {
      const now = performance.now();
      while (free.length > 0 && dueOf(sent) <= now && dueOf(sent) < until) {
        const one = free.pop();
        one.from = dueOf(sent++);
        one.send(next()).catch(reject);
      }
      if (now < until || free.length < connections) setImmediate(spin);
      else {
        for (const one of all) one.close();
        resolve();
      }
    };
    for (let index = 0; index < connections; index++) {
      const one = connection(ports[index % ports.length], {
        onAnswer: (status) => {
          latencies.push((performance.now() - one.from) * 1000);
          statuses[status] = (statuses[status] ?? 0) + 1;
          proceed(one);
        },
        onError: reject,
      });
      all.push(one);
    }
    Promise.all(all.map((one) => one.open())).then(() => {
      started = performance.now();
      until = started + durationMs;
      for (const one of all) proceed(one);
      if (dueOf !== null) spin();
    }, reject);
  });
  return { count: latencies.length, statuses, ...summary(latencies) };
}

/** `streams` callers, each with one stream after another; they start evenly over the length of one stream. */
async function streams({ streams: callers, durationMs, ...source }) {
  const next = requestSource(source);
  const firstChunks = [];
  const statuses = {};
  await new Promise((resolve, reject) => {
    const until = performance.now() + durationMs;
    let ended = 0;
    for (let index = 0; index < callers; index++) {
      const proceed = () => {
        if (performance.now() >= until) {
          one.close();
          if (++ended === callers) resolve();
          return;
        }
        one.from = performance.now();
        one.send(next()).catch(reject);
      };
      const one = connection(source.port, {
        onBody: () => firstChunks.push((performance.now() - one.from) * 1000),
        onAnswer: (status) => {
          statuses[status] = (statuses[status] ?? 0) + 1;
          proceed();
        },
        onError: reject,
      });
      setTimeout(() => one.open().then(proceed, reject), (index * chunksPerStream * 10) / callers);
    }
  });
  // Every stream was read to its end.
  const count = firstChunks.length;
  return { count, chunks: count * chunksPerStream, statuses, ...summary(firstChunks) };
}

async function start(options) {
  if (options.jwks === undefined) return {};
  return startUpstream(options);
}

ready(import.meta.url, start, {
  run,
  keep: ({ pool, tokens }) => void pools.set(pool, tokens),
});
