import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { pino } from 'pino';
import { startIdentity } from '../../identity/server.ts';
import {
  clientId,
  postForm,
  refresh,
  signInWithDevice,
  startDevice,
  startTestIdentity,
  tenant,
  type TestIdentity,
} from './support.ts';

describe('discovery', () => {
  let identity: TestIdentity;
  before(async () => {
    identity = await startTestIdentity();
  });
  after(() => identity.close());
  const json = async (
    path: string,
    headers: Record<string, string> = {},
  ): Promise<Record<string, unknown>> => {
    const response = await fetch(identity.base + path, { headers });
    assert.equal(response.status, 200, path);
    return (await response.json()) as Record<string, unknown>;
  };

  it('says the same at the OpenID path and at both RFC 8414 paths', async () => {
    const document = await json(`/${tenant}/v2.0/.well-known/openid-configuration`);
    assert.deepEqual(await json(`/.well-known/oauth-authorization-server/${tenant}/v2.0`), document);
    assert.deepEqual(await json(`/${tenant}/v2.0/.well-known/oauth-authorization-server`), document);
  });

  it('names the issuer and Entra-shaped endpoints', async () => {
    const document = await json(`/${tenant}/v2.0/.well-known/openid-configuration`);
    const root = `${identity.base}/${tenant}`;
    assert.equal(document['issuer'], `${root}/v2.0`);
    assert.equal(document['authorization_endpoint'], `${root}/oauth2/v2.0/authorize`);
    assert.equal(document['token_endpoint'], `${root}/oauth2/v2.0/token`);
    assert.equal(document['device_authorization_endpoint'], `${root}/oauth2/v2.0/devicecode`);
    assert.equal(document['jwks_uri'], `${root}/discovery/v2.0/keys`);
    assert.equal(document['end_session_endpoint'], `${root}/oauth2/v2.0/logout`);
    assert.equal(document['introspection_endpoint'], `${root}/oauth2/v2.0/introspect`);
    assert.equal(document['revocation_endpoint'], `${root}/oauth2/v2.0/revoke`);
    assert.deepEqual(document['response_types_supported'], ['code']);
    assert.deepEqual(document['code_challenge_methods_supported'], ['S256']);
    assert.equal(document['authorization_response_iss_parameter_supported'], true);
    const grants = document['grant_types_supported'] as string[];
    assert.ok(!grants.includes('implicit') && !grants.includes('password'));
  });

  it('cannot be steered by Host or forwarding headers', async () => {
    const answer = await new Promise<string>((resolve, reject) => {
      const url = new URL(`${identity.base}/${tenant}/v2.0/.well-known/openid-configuration`);
      const headers = {
        host: 'evil.example',
        'x-forwarded-host': 'evil.example',
        'x-forwarded-proto': 'https',
        forwarded: 'host=evil.example',
      };
      request(url, { headers }, (response) => {
        let text = '';
        response.on('data', (piece: Buffer) => (text += piece.toString()));
        response.on('end', () => resolve(text));
      })
        .on('error', reject)
        .end();
    });
    assert.doesNotMatch(answer, /evil/);
    assert.doesNotMatch(answer, /https:/);
    const device = await postForm(
      `${identity.base}/${tenant}/oauth2/v2.0/devicecode`,
      { client_id: clientId(1), scope: 'openid' },
      { 'x-forwarded-host': 'evil.example' },
    );
    assert.equal(device.body.verification_uri, `${identity.base}/device`);
  });

  it('publishes public halves of keys only', async () => {
    const { keys } = (await json(`/${tenant}/discovery/v2.0/keys`)) as unknown as {
      keys: Record<string, unknown>[];
    };
    assert.ok(keys.length > 0);
    for (const key of keys) {
      for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi']) assert.equal(key[secret], undefined);
      assert.equal(key['alg'], 'RS256');
      assert.ok(Buffer.from(String(key['n']), 'base64url').length >= 256, '2048 bits');
    }
  });

  it('answers another tenant and unknown paths with nothing useful', async () => {
    const other = tenant.replace('5a11', '0000');
    for (const path of [
      `/${other}/v2.0/.well-known/openid-configuration`,
      `/${other}/oauth2/v2.0/token`,
      '/.well-known/openid-configuration',
      '/metrics',
      '/reg',
      '/session/end',
    ]) {
      assert.equal((await fetch(identity.base + path)).status, 404, path);
    }
  });

  it('keeps old tokens good and signs new ones with the new key after a rotation', async () => {
    const signedIn = await signInWithDevice(identity, identity.administrator);
    const [old] = await keyIds();
    const kid = await identity.rotateSigningKey();
    assert.deepEqual(await keyIds(), [kid, old]);
    const renewed = await refresh(identity, signedIn.refresh_token);
    const keys = createRemoteJWKSet(new URL(`${identity.base}/${tenant}/discovery/v2.0/keys`));
    const check = { issuer: identity.issuer, audience: 'api://sallyport', typ: 'at+jwt' };
    assert.equal((await jwtVerify(signedIn.access_token, keys, check)).protectedHeader.kid, old);
    assert.equal((await jwtVerify(renewed.body.access_token, keys, check)).protectedHeader.kid, kid);
  });

  async function keyIds(): Promise<string[]> {
    const { keys } = (await json(`/${tenant}/discovery/v2.0/keys`)) as unknown as { keys: { kid: string }[] };
    return keys.map((key) => key.kid);
  }
});

describe('the server itself', () => {
  it('reports health without an assertion and writes nothing secret', async () => {
    const identity = await startTestIdentity();
    try {
      for (const path of ['/healthz', '/readyz']) {
        const response = await fetch(identity.base + path);
        assert.equal(response.status, 200);
        assert.deepEqual(((await response.json()) as { status: string }).status, 'ok');
      }
      assert.ok(!identity.log.join('').includes('/healthz'));
    } finally {
      await identity.close();
    }
  });

  it('refuses malformed bodies and doubled parameters with a 4xx and no stack', async () => {
    const identity = await startTestIdentity();
    try {
      const tokenUrl = `${identity.base}/${tenant}/oauth2/v2.0/token`;
      const send = (url: string, body: string, type: string) =>
        fetch(url, { method: 'POST', body, headers: { 'content-type': type } });
      for (const response of [
        await send(tokenUrl, '{"grant_type":"refresh_token"}', 'application/json'),
        await send(
          tokenUrl,
          `grant_type=refresh_token&grant_type=device_code&client_id=${clientId(1)}`,
          'application/x-www-form-urlencoded',
        ),
        await send(
          tokenUrl,
          `grant_type=refresh_token&refresh_token=a&refresh_token=b&client_id=${clientId(1)}`,
          'application/x-www-form-urlencoded',
        ),
        await send(tokenUrl, 'x='.padEnd(100_000, 'y'), 'application/x-www-form-urlencoded'),
        await send(tokenUrl, '%', 'application/x-www-form-urlencoded'),
        await send(`${identity.base}/users`, '{', 'application/json'),
        await send(`${identity.base}/users`, '{}', 'application/json; charset=utf-7'),
        await fetch(`${identity.base}/${tenant}/interaction/%00`),
        await fetch(`${identity.base}/%ff`),
      ]) {
        const text = await response.text();
        assert.ok(response.status >= 400 && response.status < 500, `${response.status} ${text}`);
        assert.doesNotMatch(text, /at .*\.(ts|js):\d+/);
      }
      assert.equal((await fetch(`${identity.base}/healthz`)).status, 200, 'the next good request works');
    } finally {
      await identity.close();
    }
  });

  it('slows down sign-ins started from one address', async () => {
    const identity = await startTestIdentity();
    try {
      const url = `${identity.base}/${tenant}/oauth2/v2.0/devicecode`;
      const answers = await Promise.all(
        Array.from({ length: 70 }, () => postForm(url, { client_id: clientId(1), scope: 'openid' })),
      );
      assert.equal(answers.filter((answer) => answer.status === 429).length, 10);
      const refused = answers.find((answer) => answer.status === 429);
      assert.ok(Number(refused?.headers.get('retry-after')) > 0);
    } finally {
      await identity.close();
    }
  });

  it('bounds how many sign-in pages one address may open', async () => {
    const identity = await startTestIdentity();
    try {
      const answers = await Promise.all(Array.from({ length: 245 }, () => fetch(`${identity.base}/device`)));
      assert.equal(answers.filter((answer) => answer.status === 429).length, 5);
      for (const answer of answers) await answer.arrayBuffer();
    } finally {
      await identity.close();
    }
  });

  it('says which address is taken and leaves no open database behind', async () => {
    const identity = await startTestIdentity();
    try {
      await assert.rejects(startIdentity(identity.config, { log: pino({ level: 'silent' }) }), {
        code: 'EADDRINUSE',
      });
      assert.ok((await startDevice(identity)).user_code);
    } finally {
      await identity.close();
    }
  });
});
