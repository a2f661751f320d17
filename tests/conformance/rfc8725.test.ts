// RFC 8725 (JWT best current practices) as statements J1–J11 of the threat model. The long table of single mutations is
// in tests/gateway/authenticate/verify-access-token.test.ts.
import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { CompactEncrypt } from 'jose';
import type { Authentication } from '../../gateway/authenticate/index.ts';
import { issuersSchema } from '../../gateway/authenticate/index.ts';
import { startFakeIssuer, type FakeIssuer } from '../support/fake-issuer.ts';
import {
  createSigningKey,
  encodePart,
  mintAccessToken,
  signCompact,
  validClaims,
} from '../support/mint-access-token.ts';
import {
  assertRefused,
  authenticationOf,
  entryFor,
  verified,
} from '../gateway/authenticate/authentication-under-test.ts';

let issuer: FakeIssuer;
let neighbour: FakeIssuer;
let authentication: Authentication;

before(async () => {
  issuer = await startFakeIssuer();
  neighbour = await startFakeIssuer();
  ({ authentication } = authenticationOf({
    it: entryFor(issuer.issuer),
    neighbour: entryFor(neighbour.issuer),
  }));
  await authentication.start();
});
after(async () => {
  authentication.close();
  await Promise.all([issuer.close(), neighbour.close()]);
});

describe('RFC 8725', () => {
  it('J1 only the policy lists algorithms; metadata and keys cannot widen it (§3.1)', async () => {
    const key = createSigningKey('PS256');
    const own = await startFakeIssuer({ keys: [key] });
    own.setMetadata({ id_token_signing_alg_values_supported: ['none', 'HS256', 'PS256'] });
    const { authentication: narrow } = authenticationOf({ it: entryFor(own.issuer) });
    await narrow.start();
    await assertRefused(() => narrow.verify(own.mint()), 'invalid_token', 'alg');
    narrow.close();
    await own.close();
  });

  it('J1 one key serves one algorithm, also where the policy lists two of its kind (§3.2)', async () => {
    const own = await startFakeIssuer();
    const { authentication: wide } = authenticationOf({
      it: entryFor(own.issuer, { algorithms: ['PS256', 'RS256'] }),
    });
    await verified(wide, own.mint());
    const other = mintAccessToken({ issuer: own.issuer, key: { ...own.key(), alg: 'PS256' } });
    await assertRefused(() => wide.verify(other), 'invalid_token', 'alg');
    await own.close();
  });

  for (const algorithm of ['none', 'None', 'NONE', 'HS256', 'HS384', 'HS512', 'RSA1_5', 'dir', '']) {
    it(`J2 no policy can list ${algorithm === '' ? 'an empty algorithm' : algorithm} (§3.1)`, () =>
      assert.equal(
        issuersSchema.safeParse({ issuers: { it: entryFor(issuer.issuer, { algorithms: [algorithm] }) } })
          .success,
        false,
      ));
  }

  it('J2 refuses HMAC keyed with the public key in each spelling (§2.1)', async () => {
    const { publicKey, jwk, kid } = issuer.key();
    const pem = String(publicKey.export({ type: 'spki', format: 'pem' }));
    const secrets = [
      pem,
      pem.trim(),
      pem.replaceAll('\n', ''),
      String(publicKey.export({ type: 'pkcs1', format: 'pem' })),
      JSON.stringify(jwk),
      String(jwk['n']),
    ];
    for (const secret of secrets) {
      for (const alg of ['HS256', 'RS256']) {
        const input = `${encodePart({ alg, typ: 'at+jwt', kid })}.${encodePart(validClaims(issuer.issuer))}`;
        const forged = `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
        await assertRefused(
          () => authentication.verify(forged),
          'invalid_token',
          alg === 'HS256' ? 'alg' : 'signature',
        );
      }
    }
  });

  it('J3 refuses nested tokens (§3.3)', () =>
    assertRefused(
      () =>
        authentication.verify(
          signCompact(
            { alg: 'RS256', typ: 'at+jwt', cty: 'JWT', kid: issuer.key().kid },
            issuer.mint(),
            issuer.key(),
          ),
        ),
      'invalid_token',
    ));

  it('J4 does not use RSA keys under 2048 bits (§3.5)', async () => {
    const weak = await startFakeIssuer({ keys: [createSigningKey('RS256', 'weak', 1024)] });
    const { authentication: trusting } = authenticationOf({ it: entryFor(weak.issuer) });
    await assertRefused(() => trusting.verify(weak.mint()), 'issuer_unavailable');
    await weak.close();
  });

  it('J5 a key of one issuer never verifies a token of another (§3.8)', async () => {
    const key = neighbour.key();
    const crossed = mintAccessToken({ issuer: issuer.issuer, key });
    await assertRefused(() => authentication.verify(crossed), 'invalid_token', 'kid_unknown');
    const sameKid = mintAccessToken({ issuer: issuer.issuer, key, header: { kid: issuer.key().kid } });
    await assertRefused(() => authentication.verify(sameKid), 'invalid_token', 'signature');
    await verified(authentication, neighbour.mint());
  });

  it('J6 keeps subjects of different issuers apart (§3.8)', async () => {
    const [one, two] = [
      await verified(authentication, issuer.mint()),
      await verified(authentication, neighbour.mint()),
    ];
    assert.equal(one.subject, two.subject);
    assert.notEqual(one.key, two.key);
  });

  it('J7 refuses a similar audience (§3.9)', async () => {
    for (const aud of [
      'api://Sallyport',
      'api://sallyport/',
      'api://sallypor',
      ' api://sallyport',
      'sallyport',
      ['api://sallyport '],
      '',
    ]) {
      await assertRefused(() => authentication.verify(issuer.mint({ aud })), 'invalid_token', 'aud');
    }
  });

  it('J8 refuses other kinds of JWT of the same issuer and key (§3.11, §3.12)', async () => {
    for (const typ of [
      'JWT',
      'logout+jwt',
      'dpop+jwt',
      'secevent+jwt',
      'oauth-authz-req+jwt',
      'token-introspection+jwt',
    ]) {
      await assertRefused(() => authentication.verify(issuer.mint({}, { typ })), 'invalid_token', 'typ');
    }
  });

  it('J9 refuses encrypted and compressed tokens before any work on them (§3.6)', async () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const encrypted = await new CompactEncrypt(Buffer.from('x'))
      .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM' })
      .encrypt(publicKey);
    await assertRefused(() => authentication.verify(encrypted), 'invalid_token', 'token_form');
    await assertRefused(
      () => authentication.verify(issuer.mint({}, { zip: 'DEF' })),
      'invalid_token',
      'header_parameter',
    );
  });

  it('J10 refuses text that is not UTF-8, and duplicate members (§3.7, RFC 7515 §4)', async () => {
    const header = { alg: 'RS256', typ: 'at+jwt', kid: issuer.key().kid };
    const latin1 = Buffer.from(JSON.stringify({ ...validClaims(issuer.issuer), name: 'Zoé' }), 'latin1');
    await assertRefused(
      () => authentication.verify(signCompact(header, latin1, issuer.key())),
      'invalid_token',
      'claims_json',
    );
    const twice = JSON.stringify(validClaims(issuer.issuer)).replace('{', '{"sub":"admin",');
    await assertRefused(
      () => authentication.verify(signCompact(header, twice, issuer.key())),
      'invalid_token',
      'claims_json',
    );
  });

  it('J11 refuses the JSON serializations', async () => {
    const [first, payload, signature] = issuer.mint().split('.');
    const flattened = JSON.stringify({ protected: first, payload, signature });
    const general = JSON.stringify({ payload, signatures: [{ protected: first, signature }] });
    for (const form of [flattened, general])
      await assertRefused(() => authentication.verify(form), 'invalid_token', 'token_form');
  });
});
