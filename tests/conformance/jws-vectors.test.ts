// Project Wycheproof's ideas for JSON Web Signatures and Keys, vector by vector, through what the gateway really does: the
// keys come from an issuer's key document over HTTP, the vector is the access token.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { GatewayError } from '../../core/errors.ts';
import type { Authentication } from '../../gateway/authenticate/index.ts';
import { signatureAlgorithms } from '../../gateway/authenticate/issuers-policy.ts';
import { authenticationOf, entryFor, verified } from '../gateway/authenticate/authentication-under-test.ts';
import { startFakeIssuer, type FakeIssuer } from '../support/fake-issuer.ts';
import {
  createSigningKey,
  mintAccessToken,
  validClaims,
  type SigningKey,
} from '../support/mint-access-token.ts';
import { badKeys, publicJwk, symmetricVectors, vectorsOf, type Vector } from './jws-vectors.ts';

const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];
const keys = algorithms.map((alg) => createSigningKey(alg, `kid-${alg}`));
let issuer: FakeIssuer;
let authentication: Authentication;

before(async () => {
  issuer = await startFakeIssuer();
  issuer.publish([
    ...keys.map(publicJwk),
    { kty: 'oct', kid: 'kid-symmetric', alg: 'HS256', use: 'sig', k: 'YSBzZWNyZXQ' },
  ]);
  // Every algorithm that a policy can list is listed, so that only the vector itself can be at fault.
  ({ authentication } = authenticationOf({
    it: entryFor(issuer.issuer, { algorithms: [...signatureAlgorithms] }),
  }));
  await authentication.start();
});
after(async () => {
  authentication.close();
  assert.equal(issuer.requests.other, 0);
  await issuer.close();
});

/** The reason of the refusal, or null when it was accepted; anything but a refusal of the token is a failure. */
async function refusalFor(jws: string): Promise<string | null> {
  try {
    await authentication.verify(jws);
    return null;
  } catch (error) {
    assert.ok(error instanceof GatewayError, String(error));
    assert.equal(error.code, 'invalid_token');
    return String(error.reason);
  }
}

const counted = { valid: 0, invalid: 0, not_allowed: 0 };
async function judge({ group, comment, jws, result }: Vector): Promise<void> {
  const refusal = await refusalFor(jws);
  assert.equal(refusal === null, result === 'valid', `${group} ${comment}: ${refusal ?? 'accepted'}`);
  counted[result]++;
}

describe('JWS vectors', () => {
  for (const key of keys) {
    it(`of ${key.alg} are judged as they say`, async () => {
      const claims = validClaims(issuer.issuer);
      const vectors = vectorsOf(key, { claims, keys });
      const names = vectors.map(({ comment }) => comment);
      assert.equal(new Set(names).size, names.length, 'each vector has a name of its own');
      for (const vector of vectors) await judge(vector);
    });
  }

  it('of HS256, HS384 and HS512 are refused although their signatures are good: no policy can list them', async () => {
    for (const vector of symmetricVectors(validClaims(issuer.issuer))) await judge(vector);
    assert.equal(counted.not_allowed, 3);
  });

  it('are as many as were made', () => {
    assert.deepEqual(counted, { valid: 49, invalid: 2040, not_allowed: 3 });
  });
});

describe('a JWK vector', () => {
  const good = createSigningKey('RS256', 'good');
  for (const [comment, key, entry] of badKeys()) {
    it(`with ${comment} verifies nothing, and harms no other key`, async () => {
      const own = await startFakeIssuer({ keys: [good] });
      own.publish([entry, publicJwk(good)]);
      const { authentication: underTest } = authenticationOf({
        it: entryFor(own.issuer, { algorithms: [...signatureAlgorithms] }),
      });
      await underTest.start();
      try {
        const forms: SigningKey[] = [key, { ...key, alg: key.alg === 'ES384' ? 'ES256' : key.alg }];
        for (const form of forms)
          await assert.rejects(
            async () => underTest.verify(mintAccessToken({ issuer: own.issuer, key: form })),
            (error: unknown) => error instanceof GatewayError && error.code === 'invalid_token',
          );
        await verified(underTest, own.mint());
      } finally {
        underTest.close();
        await own.close();
      }
    });
  }
});
