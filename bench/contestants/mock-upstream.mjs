// The upstream of every contestant: answers each completion request with the same 400 bytes, echoes the request id as
// the model server does. Also the issuer of the access tokens: discovery document and JWKS.
import { createServer } from 'node:http';
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

const issuerPath = '/5a11b0a7-0000-4000-8000-000000000000/v2.0';

export async function start({ jwks }) {
  const server = createServer((request, response) => {
    if (request.method === 'GET') {
      const issuer = `http://${request.headers.host}${issuerPath}`;
      const document = request.url.endsWith('/keys') ? jwks : { issuer, jwks_uri: `${issuer}/keys` };
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(document));
      return;
    }
    request.on('data', () => undefined);
    request.on('end', () => {
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(answer) };
      const id = request.headers['x-request-id'];
      response.writeHead(200, id === undefined ? headers : { ...headers, 'x-request-id': id });
      response.end(answer);
    });
  });
  server.keepAliveTimeout = 600_000;
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: server.address().port, issuer: `http://127.0.0.1:${server.address().port}${issuerPath}` };
}

ready(start);
