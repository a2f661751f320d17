// A client that binds its tokens: openid-client with a DPoP key of its own gets an access token from identity and uses
// it at the gateway, nonces included.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import * as client from 'openid-client';
import { startTestGateway, type TestGateway } from '../support/start-gateway.ts';
import { startTestIdentity, type TestIdentity } from '../identity/support.ts';

const secret = 'a-secret-of-more-than-thirty-two-characters';
const clientId = 'reporting';

let identity: TestIdentity;
let gateway: TestGateway;
let configuration: client.Configuration;

before(async () => {
  process.env['SALLYPORT_TEST_BOUND_SECRET'] = secret;
  identity = await startTestIdentity({
    clients: [{ client_id: clientId, secret: 'env:SALLYPORT_TEST_BOUND_SECRET', app_roles: ['LLM.User'] }],
  });
  gateway = await startTestGateway({
    config: { embedded_issuer: identity.issuer },
    edit: {
      'issuers.yaml': [
        [
          '- 5a11b0a7-0000-4000-8000-000000000001',
          `- ${clientId}\n      - 5a11b0a7-0000-4000-8000-000000000001`,
        ],
        // A client on its own has roles and no scope.
        ['required_claims:\n      scp: { all: [LLM.Access] }', 'dpop: { nonce: true }'],
      ],
    },
  });
  configuration = await client.discovery(
    new URL(identity.issuer),
    clientId,
    undefined,
    client.ClientSecretPost(secret),
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- both servers are on loopback.
    { execute: [client.allowInsecureRequests] },
  );
});
after(async () => {
  await gateway.close();
  await identity.close();
});

/** A handle with a key of its own, and an access token bound to it. */
async function boundToken(): Promise<{ handle: client.DPoPHandle; accessToken: string }> {
  const handle = client.getDPoPHandle(configuration, await client.randomDPoPKeyPair('ES256'));
  const scope = 'api://sallyport/.default';
  const granted = await client.clientCredentialsGrant(configuration, { scope }, { DPoP: handle });
  assert.equal(granted.token_type, 'dpop');
  return { handle, accessToken: granted.access_token };
}

const models = (): URL => new URL(`${gateway.url}/v1/models`);

describe('openid-client with DPoP', () => {
  it('lists models with a token bound to its key, and obeys the gateway when it asks for a nonce', async () => {
    const { handle, accessToken } = await boundToken();
    const get = (): Promise<Response> =>
      client.fetchProtectedResource(configuration, accessToken, models(), 'GET', null, undefined, {
        DPoP: handle,
      });
    const first = await get();
    assert.equal(first.status, 200);
    assert.ok(JSON.stringify(await first.json()).includes('tiny-gpt2'));
    assert.equal((await get()).status, 200);
  });

  it('posts a chat with it', async () => {
    const { handle, accessToken } = await boundToken();
    const response = await client.fetchProtectedResource(
      configuration,
      accessToken,
      new URL(`${gateway.url}/v1/chat/completions`),
      'POST',
      JSON.stringify({ model: 'tiny-gpt2', messages: [{ role: 'user', content: 'hi' }] }),
      new Headers({ 'content-type': 'application/json' }),
      { DPoP: handle },
    );
    assert.equal(response.status, 200);
    // Neither the access token nor the proof goes further than the gateway.
    const [received] = gateway.upstream.requests.slice(-1);
    assert.ok(received);
    assert.equal(received.headers.get('dpop'), undefined);
    assert.ok(!JSON.stringify([...received.headers]).includes(accessToken));
  });

  it('is refused with the key of somebody else', async () => {
    const { accessToken } = await boundToken();
    const stranger = client.getDPoPHandle(configuration, await client.randomDPoPKeyPair('ES256'));
    await assert.rejects(
      client.fetchProtectedResource(configuration, accessToken, models(), 'GET', null, undefined, {
        DPoP: stranger,
      }),
      (error: client.WWWAuthenticateChallengeError) =>
        error.cause[0]?.scheme === 'dpop' && error.cause[0].parameters.error === 'invalid_dpop_proof',
    );
  });

  it('is refused when it presents the bound token as Bearer', async () => {
    const { accessToken } = await boundToken();
    const response = await fetch(models(), { headers: { authorization: `Bearer ${accessToken}` } });
    assert.equal(response.status, 401);
    assert.match(
      response.headers.get('www-authenticate') ?? '',
      /^Bearer .*error="invalid_token".*DPoP algs=/,
    );
    await response.body?.cancel();
  });

  it('still gets unbound tokens from identity when it sends no proof', async () => {
    const scope = 'api://sallyport/.default';
    const granted = await client.clientCredentialsGrant(configuration, { scope });
    assert.equal(granted.token_type, 'bearer');
    const response = await client.fetchProtectedResource(
      configuration,
      granted.access_token,
      models(),
      'GET',
    );
    assert.equal(response.status, 200);
  });

  it('finds the algorithms in the metadata of both', async () => {
    const metadata = (await (
      await fetch(`${gateway.url}/.well-known/oauth-protected-resource`)
    ).json()) as Record<string, unknown>;
    // RFC 9728 §2.
    assert.ok((metadata['dpop_signing_alg_values_supported'] as string[]).includes('ES256'));
    const supported = configuration.serverMetadata().dpop_signing_alg_values_supported;
    assert.ok(supported?.includes('ES256'));
  });
});
