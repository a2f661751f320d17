// The yardstick: node:http with a keep-alive agent and two pipes. No authentication, no checks, every header copied.
import { Agent, createServer, request as httpRequest } from 'node:http';
import { ready } from './process.mjs';

export async function start({ upstreamPort }) {
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  const server = createServer((request, response) => {
    const { method, url: path, headers } = request;
    const outgoing = httpRequest(
      { agent, host: '127.0.0.1', port: upstreamPort, method, path, headers },
      (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      },
    );
    outgoing.on('error', () => response.destroy());
    request.pipe(outgoing);
  });
  server.keepAliveTimeout = 600_000;
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: server.address().port };
}

ready(import.meta.url, start);
