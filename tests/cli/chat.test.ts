// `sallyport chat` against a scripted gateway: what goes to stdout, what to stderr, and which exit code a refusal has.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { createHome, finish, waitFor, type CliHome } from './support/run-cli.ts';
import {
  refuse,
  startGateway,
  stream,
  type GatewayHandler,
  type ScriptedGateway,
} from './support/scripted-servers.ts';
import { storeSession } from './support/stored-session.ts';

let home: CliHome;
let gateway: ScriptedGateway;

before(async () => {
  gateway = await startGateway('http://127.0.0.1:9/tenant/v2.0');
});
after(() => gateway.close());
beforeEach(() => {
  home = createHome();
  storeSession(home.stateFolder, { gateway: gateway.url });
  gateway.requests.length = 0;
  gateway.handlers = {
    '/v1/completions': completion(' in the', ' hands of'),
    '/v1/chat/completions': chatCompletion('Hello.'),
  };
});
afterEach(() => home.remove());

const chat = (words: string[], stdin?: string) =>
  home.run(['chat', '--gateway', gateway.url, ...words], stdin === undefined ? {} : { stdin });
const lastBody = () => JSON.parse(gateway.requests.at(-1)?.body ?? 'null');
const usage = { prompt_tokens: 6, completion_tokens: 2, total_tokens: 8 };

function completion(...texts: string[]): GatewayHandler {
  const chunks = texts.map((text) => ({
    model: 'tiny-gpt2',
    choices: [{ index: 0, text, finish_reason: null }],
    usage: null,
  }));
  const end = { model: 'tiny-gpt2', choices: [{ index: 0, text: '', finish_reason: 'length' }], usage: null };
  return (_, response) =>
    stream(response, [...chunks, end, { model: 'tiny-gpt2', choices: [], usage }, '[DONE]']);
}

function chatCompletion(text: string): GatewayHandler {
  return (_, response) =>
    stream(response, [
      { model: 'tiny-gpt2', choices: [{ delta: { content: text }, finish_reason: 'stop' }] },
      '[DONE]',
    ]);
}

describe('sallyport chat', () => {
  it('echoes the prompt, streams the continuation, and puts figures on stderr', async () => {
    const result = await chat(['The future of AI is']);
    assert.equal(result.stdout, 'The future of AI is in the hands of\n');
    assert.match(
      result.stderr,
      /^tiny-gpt2 · 6 \+ 2 tokens · first \d+ ms · \d+ tokens\/s · req_01JD4Q7M\n$/,
    );
    assert.equal(result.code, 0);
  });

  it('takes the first permitted model and sends only what was asked for', async () => {
    await chat(['hello', '--seed', '7', '--temperature', '0', '--max-tokens', '5']);
    assert.deepEqual(lastBody(), {
      model: 'tiny-gpt2',
      stream: true,
      stream_options: { include_usage: true },
      temperature: 0,
      seed: 7,
      prompt: 'hello',
      max_tokens: 5,
    });
    assert.match(gateway.requests.at(-1)?.headers.authorization ?? '', /^Bearer /);
  });

  it('reads stdin for - and then prints the continuation alone', async () => {
    const result = await chat(['-'], 'from a pipe\n');
    assert.equal(lastBody().prompt, 'from a pipe');
    assert.equal(result.stdout, ' in the hands of\n');
  });

  it('sends messages with --chat, and --system implies it', async () => {
    const result = await chat(['--system', 'Be brief.', 'hi']);
    assert.deepEqual(lastBody().messages, [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'hi' },
    ]);
    assert.equal(result.stdout, 'Hello.\n');
  });

  it('prints one object with --json and nothing on stderr', async () => {
    const result = await chat(['--json', 'hello']);
    assert.deepEqual(JSON.parse(result.stdout), {
      model: 'tiny-gpt2',
      text: ' in the hands of',
      finish_reason: 'length',
      usage,
      request_id: 'req_01JD4Q7M',
    });
    assert.equal(result.stderr, '');
  });

  it("passes the model's bytes through a pipe unchanged", async () => {
    gateway.handlers['/v1/completions'] = completion(' caf\u00e9 \u001b[31m');
    assert.equal((await chat(['x'])).stdout, 'x caf\u00e9 \u001b[31m\n');
  });

  it('asks for a text when there is none', async () => {
    const result = await chat([''], '');
    assert.equal(result.code, 2);
    assert.match(result.stderr, /^✗ There is no text to continue\.\n {2}For example:/);
  });

  it('answers Ctrl-C in mid-stream with 130 and ends the request', async () => {
    let ended: () => void = () => undefined;
    const closed = new Promise<void>((resolve) => (ended = resolve));
    gateway.handlers['/v1/completions'] = (_, response) => {
      response.on('close', () => ended());
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(`data: ${JSON.stringify({ choices: [{ text: ' and' }] })}\n\n`);
    };
    const child = home.start(['chat', '--gateway', gateway.url, 'one']);
    const done = finish(child);
    await waitFor(child, /one and/);
    child.kill('SIGINT');
    assert.equal((await done).code, 130);
    await closed;
  });
});

describe('sallyport chat turns refusals into exit codes', () => {
  const cases: readonly (readonly [number, string, number])[] = [
    [401, 'invalid_token', 4],
    [403, 'access_denied', 6],
    [400, 'content_blocked', 6],
    [400, 'parameter_above_ceiling', 6],
    [400, 'context_length_exceeded', 2],
    [413, 'body_too_large', 2],
    [429, 'rate_limit_exceeded', 7],
    [500, 'internal_error', 1],
    [502, 'upstream_unavailable', 8],
    [503, 'server_is_overloaded', 8],
    [504, 'upstream_timeout', 8],
  ];
  for (const [status, code, exitCode] of cases) {
    it(`${status} ${code} is ${exitCode}, with nothing on stdout`, async () => {
      gateway.handlers['/v1/completions'] = (_, response) => refuse(response, status, code, 'A sentence.');
      const result = await chat(['hello']);
      assert.equal(result.code, exitCode);
      assert.equal(result.stdout, '');
      const signIn = status === 401 ? '  Sign in again:  sallyport login\n' : '';
      assert.equal(
        result.stderr,
        `✗ A sentence (${code}).\n${signIn}  http://gateway.test/docs/errors/${code}     req_01JD4Q7M\n`,
      );
    });
  }

  it('a model that is unknown or hidden is answered with those one may use', async () => {
    gateway.handlers['/v1/completions'] = (_, response) =>
      refuse(response, 404, 'model_not_found', 'There is no model gpt2-xl, or you may not use it.');
    const result = await chat(['--model', 'gpt2-xl', 'hello']);
    assert.equal(
      result.stderr,
      [
        '✗ There is no model gpt2-xl, or you may not use it (model_not_found).',
        '  You may use: tiny-gpt2.',
        '  http://gateway.test/docs/errors/model_not_found     req_01JD4Q7M',
        '',
      ].join('\n'),
    );
    assert.equal(result.code, 6);
  });

  it('an answer that is no JSON of ours says the status', async () => {
    gateway.handlers['/v1/completions'] = (_, response) => void response.writeHead(418).end('<html>');
    const result = await chat(['hello']);
    assert.match(result.stderr, /^✗ The gateway answered with status 418 \(http_418\)\./);
  });

  it('a redirect is not followed', async () => {
    gateway.handlers['/v1/completions'] = (_, response) =>
      void response.writeHead(307, { location: 'http://127.0.0.1:9/steal' }).end();
    const result = await chat(['hello']);
    assert.equal(result.code, 1);
    assert.match(result.stderr, /status 307/);
  });

  it('control characters in a refusal do not reach the terminal', async () => {
    gateway.handlers['/v1/completions'] = (_, response) =>
      refuse(response, 400, 'body_invalid', 'bad \u001b]0;owned\u0007');
    assert.ok(!(await chat(['hello'])).stderr.includes('\u001b'));
  });
});

describe('sallyport chat takes a broken stream for an error', () => {
  const start = (response: Parameters<GatewayHandler>[1]) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(`data: ${JSON.stringify({ choices: [{ text: ' half' }] })}\n\n`);
  };

  it('when it ends without [DONE]', async () => {
    gateway.handlers['/v1/completions'] = (_, response) => {
      start(response);
      response.end();
    };
    const result = await chat(['one']);
    assert.equal(result.stdout, 'one half\n');
    assert.match(
      result.stderr,
      /^✗ The answer broke off: the connection ended before the model was done\.\n {2}What was printed is not the whole answer\.\n/,
    );
    assert.equal(result.code, 8);
  });

  it('when the connection dies', async () => {
    gateway.handlers['/v1/completions'] = (_, response) => {
      start(response);
      setTimeout(() => response.destroy(), 50);
    };
    const result = await chat(['one']);
    assert.match(result.stderr, /^✗ The answer broke off/);
    assert.equal(result.code, 8);
  });

  it('when it carries an error event', async () => {
    gateway.handlers['/v1/completions'] = (_, response) => {
      start(response);
      response.end(
        `data: ${JSON.stringify({ error: { message: 'The model server cannot be reached.', code: 'upstream_unavailable' } })}\n\n`,
      );
    };
    const result = await chat(['one']);
    assert.equal(
      result.stderr,
      '✗ The answer broke off: The model server cannot be reached (upstream_unavailable).\n  req_01JD4Q7M\n',
    );
    assert.equal(result.code, 8);
  });

  it('when a chunk is no JSON', async () => {
    gateway.handlers['/v1/completions'] = (_, response) => stream(response, ['{half', '[DONE]']);
    assert.equal((await chat(['one'])).code, 8);
  });

  it('and with --json prints no object', async () => {
    gateway.handlers['/v1/completions'] = (_, response) => {
      start(response);
      response.end();
    };
    const result = await chat(['one', '--json']);
    assert.equal(result.stdout, '');
    assert.equal(result.code, 8);
  });
});
