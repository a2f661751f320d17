// A contestant's guard is tried before it is timed: figures of one that lets everybody in would mean nothing.
import { connect } from 'node:net';

/** Status of one chat request, written by hand so that framing can be wrong; `framing` replaces Content-Length. */
function statusOf({ port, headers = {} }, { body, accessToken, framing }) {
  const fields = [
    `host: 127.0.0.1:${port}`,
    'content-type: application/json',
    'connection: close',
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ...(accessToken === null ? [] : [`authorization: Bearer ${accessToken}`]),
    framing ?? `content-length: ${Buffer.byteLength(body)}`,
  ];
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.setTimeout(10_000, () => socket.destroy(new Error('it does not answer')));
    socket.on('connect', () =>
      socket.write(`POST /v1/chat/completions HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n${body}`),
    );
    socket.on('data', (bytes) => {
      answer += bytes.toString('latin1');
      const status = /^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1];
      if (status === undefined) return;
      resolve(Number(status));
      socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('it closed without an answer')));
  });
}

/** Requests of a permitted caller that the gateway's later stages refuse: all of them are on while it is timed. */
function badRequests(body) {
  const json = JSON.parse(body);
  const written = (more) => JSON.stringify({ ...json, ...more });
  const lengths = `content-length: ${Buffer.byteLength(body)}`;
  return [
    [
      'a denied word',
      { body: written({ messages: [{ role: 'user', content: 'sallyport-denied-example' }] }) },
      400,
    ],
    ['too many tokens asked for', { body: written({ max_tokens: 1_000_000 }) }, 400],
    ['a model that is not there', { body: written({ model: 'gpt-9' }) }, 404],
    ['a doubled member', { body: `{"model":"tiny-gpt2",${body.slice(1)}` }, 400],
    ['a broken body', { body: body.slice(0, -1) }, 400],
    ['two framings', { body, framing: `${lengths}\r\ntransfer-encoding: chunked` }, 400],
    ['two lengths', { body, framing: `${lengths}\r\n${lengths}` }, 400],
    ['a doubled credential', { body, framing: `${lengths}\r\nauthorization: Bearer x` }, 400],
  ];
}

/**
 * Checks of one that guards: a valid access token is let in, each of `bad` is refused with a right status, and with
 * `guardsRequests` so is each bad request of a good caller. Of one without a guard: that it answers 200.
 * Does not check: that limits count (their numbers are raised), or anything about answers.
 * @throws Error naming what was let in or refused wrongly
 */
export async function checkGuard({ name, guards, guardsRequests, part }, { body, valid, bad }) {
  // Keys of an issuer may be fetched in the background; the first moments may answer 503.
  let first = await statusOf(part, { body, accessToken: valid });
  for (let tries = 0; tries < 100 && first === 503; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    first = await statusOf(part, { body, accessToken: valid });
  }
  const wrong = first === 200 ? [] : [`a valid access token: ${first} instead of 200`];
  if (guards)
    for (const [what, accessToken, statuses] of bad) {
      const seen = await statusOf(part, { body, accessToken });
      if (!statuses.includes(seen)) wrong.push(`${what}: ${seen} instead of ${statuses.join(' or ')}`);
    }
  if (guardsRequests === true)
    for (const [what, request, status] of badRequests(body)) {
      const seen = await statusOf(part, { ...request, accessToken: valid });
      if (seen !== status) wrong.push(`${what}: ${seen} instead of ${status}`);
    }
  if (wrong.length > 0) throw new Error(`${name} does not guard as it should: ${wrong.join('; ')}`);
}
