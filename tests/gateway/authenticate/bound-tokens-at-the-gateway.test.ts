// Sender constraints at the whole gateway: what a route and an issuer's entry require, and what the other stages make of
// the refusals.
import assert from 'node:assert/strict';
import { dirname } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openDpopNonces } from '../../../gateway/authenticate/index.ts';
import { createDpopKey, mintProof } from '../../support/dpop-proof.ts';
import { startTestGateway, type TestGateway } from '../../support/start-gateway.ts';

const key = createDpopKey();
const modelsRoute = 'models: { path: /v1/models, methods: [GET]';
const failures = 3;

let gateway: TestGateway;
/** Refuses an address after a few failures, and asks for nonces. */
let strict: TestGateway;

before(async () => {
  gateway = await startTestGateway({
    edit: { 'routes.yaml': [[modelsRoute, `${modelsRoute}, require: sender_constrained`]] },
  });
  strict = await startTestGateway({
    edit: {
      'issuers.yaml': [['clock_skew: 30s', 'clock_skew: 30s\n    dpop: { nonce: true }']],
      'limits.yaml': [
        ['requests: 600,', 'requests: 100000,'],
        ['requests: 1000,', `requests: ${failures},`],
      ],
    },
  });
});
after(async () => {
  await Promise.all([gateway.close(), strict.close()]);
});

interface Asked {
  readonly path?: string;
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly body?: unknown;
}

/** Sends a request with a bound token and a proof; `claims` change the proof. */
async function askBound(at: TestGateway, { path = '/v1/models', claims = {}, body }: Asked = {}) {
  const accessToken = await at.mint({ cnf: { jkt: key.jkt } });
  const method = body === undefined ? 'GET' : 'POST';
  const proof = mintProof({ key, method, url: `${at.url}${path}`, accessToken, claims });
  const response = await fetch(`${at.url}${path}?x=1`, {
    method,
    headers: { authorization: `DPoP ${accessToken}`, dpop: proof, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  await response.text();
  return response;
}

async function askUnbound(at: TestGateway, path = '/v1/models'): Promise<Response> {
  const response = await fetch(`${at.url}${path}`, {
    headers: { authorization: `Bearer ${await at.mint()}` },
  });
  await response.text();
  return response;
}

describe('a route that requires a sender constraint', () => {
  it('refuses an unbound access token with invalid_token', async () => {
    const { status, headers } = await askUnbound(gateway);
    assert.equal(status, 401);
    assert.match(headers.get('www-authenticate') ?? '', /^Bearer .*error="invalid_token".*, DPoP algs="/);
  });

  it('accepts a bound one, and leaves other routes to both', async () => {
    assert.equal((await askBound(gateway)).status, 200);
    assert.equal((await askBound(gateway, { path: '/v1/models/tiny-gpt2' })).status, 200);
    assert.equal((await askUnbound(gateway, '/v1/models/tiny-gpt2')).status, 200);
  });
});

describe('a gateway that asks for nonces', () => {
  it('does not count the asking as a failed sign-in', async () => {
    for (let index = 0; index < failures * 3; index++) {
      const { status, headers } = await askBound(strict);
      assert.equal(status, 401);
      assert.ok(headers.has('dpop-nonce'));
    }
    assert.equal((await askUnbound(strict)).status, 200);
  });

  it('brings the next nonce with an answer to a proof that held the last one', async () => {
    const nonces = openDpopNonces(dirname(strict.auditFolder));
    const chat = { model: 'tiny-gpt2', messages: [{ role: 'user', content: 'hi' }] };
    for (const asked of [{}, { path: '/v1/chat/completions', body: chat }]) {
      // Just before a step ends, the nonce that is the last one now may be too old on arrival: then there is a next try.
      let answer: Response;
      do {
        const nonce = nonces.current(Date.now() - 60_000);
        answer = await askBound(strict, { ...asked, claims: { nonce } });
      } while (answer.status === 401);
      assert.equal(answer.status, 200);
      assert.match(answer.headers.get('dpop-nonce') ?? '', /^[\w-]{24}$/);
    }
  });

  it('counts bad proofs as failed sign-ins, and then refuses the address', async () => {
    const statuses: number[] = [];
    for (let index = 0; index < failures + 2; index++)
      statuses.push((await askBound(strict, { claims: { htm: 'PUT' } })).status);
    assert.equal(statuses[0], 401);
    assert.equal(statuses.at(-1), 429);
  });
});
