// The upstream of every contestant, on raw sockets so that it costs little: answers each completion request with the same
// 400 bytes, or with 50 server-sent events 10 ms apart, and echoes the request id as the model server does. Also the
// issuer of the access tokens: discovery document and JWKS. It trusts its callers and checks nothing.
import { createServer } from 'node:net';
import { ready } from './process.mjs';

const answer = JSON.stringify({
  id: 'chatcmpl-bench',
  object: 'chat.completion',
  created: 1700000000,
  model: 'tiny-gpt2',
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: 'x'.repeat(150) },
      logprobs: null,
      finish_reason: 'stop',
    },
  ],
  usage: { prompt_tokens: 90, completion_tokens: 40, total_tokens: 130 },
});

/** Chunks of a streamed answer, and the pause between two of them. */
export const chunksPerStream = 50;
const chunkEveryMs = 10;
const issuerPath = '/5a11b0a7-0000-4000-8000-000000000000/v2.0';

const event = (text) => Buffer.from(`${text.length.toString(16)}\r\n${text}\r\n`);
const chunkEvent = (choices, more = {}) =>
  `data: ${JSON.stringify({ id: 'chatcmpl-bench', object: 'chat.completion.chunk', created: 1700000000, model: 'tiny-gpt2', choices, ...more })}\n\n`;
const contentChunk = event(
  chunkEvent([{ index: 0, delta: { content: 'word ' }, logprobs: null, finish_reason: null }]),
);
const stop = chunkEvent([{ index: 0, delta: {}, logprobs: null, finish_reason: 'stop' }]);
const usage = chunkEvent([], {
  usage: { prompt_tokens: 90, completion_tokens: chunksPerStream, total_tokens: 90 + chunksPerStream },
});
const done = 'data: [DONE]\n\n';
const streamEnd = { with: event(`${stop}${usage}${done}`), without: event(`${stop}${done}`) };

/** Listens and resolves with the port and the issuer. */
export async function start({ jwks }) {
  const server = createServer((socket) => serve(socket, { jwks }));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  return { port, issuer: `http://127.0.0.1:${port}${issuerPath}` };
}

function serve(socket, { jwks }) {
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  let unread = null;
  let timer;
  socket.on('close', () => clearInterval(timer));
  socket.on('data', (bytes) => {
    unread = unread === null ? bytes : Buffer.concat([unread, bytes]);
    const end = unread.indexOf('\r\n\r\n');
    if (end === -1) return;
    const head = unread.latin1Slice(0, end + 2);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    const isChunked = length === undefined && /\r\ntransfer-encoding: *chunked/i.test(head);
    if (isChunked ? !unread.subarray(-5).equals(lastChunk) : unread.length < end + 4 + Number(length ?? 0))
      return;
    const body = unread.subarray(end + 4);
    unread = null;
    if (head.startsWith('GET ')) {
      answerIssuer(socket, head, jwks);
      return;
    }
    const id = /\r\nx-request-id: *([^\r]+)/i.exec(head)?.[1];
    const echo = id === undefined ? '' : `x-request-id: ${id}\r\n`;
    if (body.indexOf('"stream":true') === -1) {
      socket.write(
        `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${answer.length}\r\n${echo}\r\n${answer}`,
        'latin1',
      );
      return;
    }
    socket.write(
      `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n${echo}\r\n`,
      'latin1',
    );
    const last = body.indexOf('"include_usage":true') === -1 ? streamEnd.without : streamEnd.with;
    let left = chunksPerStream;
    const next = () => {
      if (left-- > 0) {
        socket.write(contentChunk);
        return;
      }
      clearInterval(timer);
      socket.write(last);
      socket.write(lastChunk);
    };
    next();
    timer = setInterval(next, chunkEveryMs);
  });
}

const lastChunk = Buffer.from('0\r\n\r\n');

function answerIssuer(socket, head, jwks) {
  const host = /\r\nhost: *([^\r]+)/i.exec(head)?.[1];
  const issuer = `http://${host}${issuerPath}`;
  const path = head.split(' ', 2)[1];
  const text = JSON.stringify(path.endsWith('/keys') ? jwks : { issuer, jwks_uri: `${issuer}/keys` });
  socket.write(
    `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
}

ready(import.meta.url, start);
