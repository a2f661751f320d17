// One signature under one key, for every algorithm that a policy may list: good, changed, and in forms that are near it.
import assert from 'node:assert/strict';
import { constants, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { describe, it } from 'node:test';
import { CompactSign } from 'jose';
import {
  signatureAlgorithms,
  type SignatureAlgorithm,
} from '../../../gateway/authenticate/issuers-policy.ts';
import {
  isQuick,
  isSignedBy as isSignedInPool,
  isSignedByInPlace,
} from '../../../gateway/authenticate/signature.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const pairs: Readonly<Record<SignatureAlgorithm, { publicKey: KeyObject; privateKey: KeyObject }>> = {
  RS256: rsa,
  RS384: rsa,
  RS512: rsa,
  PS256: rsa,
  PS384: rsa,
  PS512: rsa,
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ES384: generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  ES512: generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  EdDSA: generateKeyPairSync('ed25519'),
  Ed25519: generateKeyPairSync('ed25519'),
};

/** A compact JWS as another implementation makes it. */
async function signedBy(algorithm: SignatureAlgorithm): Promise<string> {
  return new CompactSign(Buffer.from('{"iss":"x"}'))
    .setProtectedHeader({ alg: algorithm, kid: 'k' })
    .sign(pairs[algorithm].privateKey);
}

const keyOf = (algorithm: SignatureAlgorithm) => ({ key: pairs[algorithm].publicKey, algorithm });

/** What the thread pool finds; in place the same must be found. */
async function isSignedBy(jws: string, key: Parameters<typeof isSignedInPool>[1]): Promise<boolean> {
  const isGood = await isSignedInPool(jws, key);
  assert.equal(isSignedByInPlace(jws, key), isGood);
  return isGood;
}

/** The same signed text with another signature. */
function withSignature(jws: string, change: (signature: Buffer) => Buffer): string {
  const dot = jws.lastIndexOf('.');
  const signature = Buffer.from(jws.slice(dot + 1), 'base64url');
  return `${jws.slice(0, dot)}.${change(signature).toString('base64url')}`;
}

describe('a signature', () => {
  for (const algorithm of signatureAlgorithms) {
    it(`of ${algorithm} is good as jose makes it, and for nothing else`, async () => {
      const jws = await signedBy(algorithm);
      const key = keyOf(algorithm);
      assert.equal(await isSignedBy(jws, key), true);
      const [header = '', claims = '', signature = ''] = jws.split('.');
      const changes = {
        'another header': `${Buffer.from('{"alg":"none"}').toString('base64url')}.${claims}.${signature}`,
        'other claims': `${header}.${Buffer.from('{"iss":"y"}').toString('base64url')}.${signature}`,
        'one bit': withSignature(jws, (bytes) => Buffer.from([(bytes[0] ?? 0) ^ 1, ...bytes.subarray(1)])),
        'the last bit': withSignature(jws, (bytes) =>
          Buffer.from([...bytes.subarray(0, -1), (bytes.at(-1) ?? 0) ^ 1]),
        ),
        'a byte less': withSignature(jws, (bytes) => bytes.subarray(0, -1)),
        'a byte more': withSignature(jws, (bytes) => Buffer.concat([bytes, Buffer.from([0])])),
        'a zero before': withSignature(jws, (bytes) => Buffer.concat([Buffer.from([0]), bytes])),
        'nothing but zeros': withSignature(jws, (bytes) => Buffer.alloc(bytes.length)),
        'nothing at all': withSignature(jws, () => Buffer.alloc(0)),
      };
      for (const [change, changed] of Object.entries(changes))
        assert.equal(await isSignedBy(changed, key), false, change);
    });
  }

  it('of one algorithm is none of another of the same key', async () => {
    for (const [made, checked] of [
      ['RS256', 'RS384'],
      ['RS256', 'PS256'],
      ['PS256', 'RS256'],
      ['PS256', 'PS384'],
    ] as const)
      assert.equal(await isSignedBy(await signedBy(made), keyOf(checked)), false, `${made} as ${checked}`);
  });

  it('of another key is none', async () => {
    const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
    assert.equal(await isSignedBy(await signedBy('RS256'), { key: other, algorithm: 'RS256' }), false);
  });

  it('of ECDSA counts in the form of JWS alone, not as DER (RFC 7518 §3.4)', async () => {
    const jws = await signedBy('ES256');
    const signed = Buffer.from(jws.slice(0, jws.lastIndexOf('.')));
    const der = sign('sha256', signed, { key: pairs.ES256.privateKey, dsaEncoding: 'der' });
    assert.equal(
      await isSignedBy(
        withSignature(jws, () => der),
        keyOf('ES256'),
      ),
      false,
    );
  });

  it('of RSASSA-PSS has a salt as long as the digest (RFC 7518 §3.5)', async () => {
    const jws = await signedBy('PS256');
    const signed = Buffer.from(jws.slice(0, jws.lastIndexOf('.')));
    for (const [saltLength, isGood] of [
      [32, true],
      [0, false],
      [20, false],
      [constants.RSA_PSS_SALTLEN_MAX_SIGN, false],
    ] as const) {
      const padding = constants.RSA_PKCS1_PSS_PADDING;
      const signature = sign('sha256', signed, { key: rsa.privateKey, padding, saltLength });
      assert.equal(
        await isSignedBy(
          withSignature(jws, () => signature),
          keyOf('PS256'),
        ),
        isGood,
        `${saltLength}`,
      );
    }
  });

  it('cannot be checked with a key of another kind', async () => {
    const jws = await signedBy('RS256');
    assert.equal(await isSignedBy(jws, { key: pairs.ES256.publicKey, algorithm: 'RS256' }), false);
    assert.equal(
      await isSignedBy(await signedBy('ES256'), { key: rsa.publicKey, algorithm: 'ES256' }),
      false,
    );
    assert.equal(await isSignedBy(jws, { key: pairs.EdDSA.publicKey, algorithm: 'EdDSA' }), false);
  });
});

describe('a check in place', () => {
  it('is for keys with which it is quick, and for no other', () => {
    const quick = [rsa, pairs.ES256, pairs.EdDSA, generateKeyPairSync('rsa', { modulusLength: 3072 })];
    for (const { publicKey } of quick) assert.equal(isQuick(publicKey), true);
    const slow = [pairs.ES384, pairs.ES512, generateKeyPairSync('rsa', { modulusLength: 4096 })];
    for (const { publicKey } of slow) assert.equal(isQuick(publicKey), false);
    assert.equal(isQuick(generateKeyPairSync('ed448').publicKey), false);
  });
});
