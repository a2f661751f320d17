// RFC 9068 (JWT profile for access tokens), section by section.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Authentication } from '../../gateway/authenticate/index.ts';
import { startFakeIssuer, type FakeIssuer } from '../support/fake-issuer.ts';
import {
  assertRefused,
  authenticationOf,
  entryFor,
  verified,
} from '../gateway/authenticate/authentication-under-test.ts';

let issuer: FakeIssuer;
let authentication: Authentication;
let mixed: Authentication;

before(async () => {
  issuer = await startFakeIssuer();
  ({ authentication } = authenticationOf({ it: entryFor(issuer.issuer, { client_ids: { any: true } }) }));
  ({ authentication: mixed } = authenticationOf({
    it: entryFor(issuer.issuer, { client_ids: { any: true }, token_types: ['at+jwt', 'JWT'] }),
  }));
});
after(() => issuer.close());

describe('RFC 9068', () => {
  for (const typ of ['at+jwt', 'application/at+jwt', 'At+Jwt', 'APPLICATION/AT+JWT']) {
    it(`K1 accepts typ ${typ} (RFC 9068 §4)`, async () => {
      await verified(authentication, issuer.mint({}, { typ }));
    });
  }
  for (const typ of [
    undefined,
    'JWT',
    'jwt',
    'id+jwt',
    'at-jwt',
    'at+jwt ',
    'text/at+jwt',
    'application/jwt',
  ]) {
    it(`K1 refuses typ ${String(typ)} (RFC 9068 §4)`, () =>
      assertRefused(() => authentication.verify(issuer.mint({}, { typ })), 'invalid_token', 'typ'));
  }

  for (const [name, reason] of Object.entries({
    iss: 'iss',
    exp: 'exp',
    aud: 'aud',
    sub: 'sub',
    client_id: 'client_id',
    iat: 'iat',
    jti: 'jti',
  })) {
    it(`K2 refuses a token without ${name} (RFC 9068 §2.2)`, () =>
      assertRefused(
        () => authentication.verify(issuer.mint({ [name]: undefined })),
        'invalid_token',
        reason,
      ));
    it(`K2 refuses a token whose ${name} is null (RFC 9068 §2.2)`, () =>
      assertRefused(() => authentication.verify(issuer.mint({ [name]: null })), 'invalid_token', reason));
  }

  it('K2 holds for at+jwt also where the policy accepts other types', async () => {
    await assertRefused(() => mixed.verify(issuer.mint({ jti: undefined })), 'invalid_token', 'jti');
    await verified(mixed, issuer.mint({ jti: undefined }, { typ: 'JWT' }));
  });

  it('K2 needs a subject even where the policy reads another claim as subject', async () => {
    const { authentication: byEmail } = authenticationOf({
      it: entryFor(issuer.issuer, { claims: { subject: 'email' } }),
    });
    await assertRefused(
      () => byEmail.verify(issuer.mint({ sub: undefined, email: 'a' })),
      'invalid_token',
      'sub',
    );
    assert.equal((await verified(byEmail, issuer.mint({ email: 'a' }))).subject, 'a');
  });

  it('K2 takes the client from client_id; azp alone does not do', () =>
    assertRefused(
      () => authentication.verify(issuer.mint({ client_id: undefined })),
      'invalid_token',
      'client_id',
    ));

  it('K3 refuses a token for another resource (RFC 9068 §4)', () =>
    assertRefused(() => authentication.verify(issuer.mint({ aud: 'api://other' })), 'invalid_token', 'aud'));

  it('K3 refuses the issuer as audience', () =>
    assertRefused(() => authentication.verify(issuer.mint({ aud: issuer.issuer })), 'invalid_token', 'aud'));

  it('K4 refuses alg none (RFC 9068 §4)', () =>
    assertRefused(() => authentication.verify(issuer.mint({}, { alg: 'none' })), 'invalid_token', 'alg'));

  it('refuses an expired token (RFC 9068 §4)', () =>
    assertRefused(() => authentication.verify(issuer.mint({ exp: 1_000_000 })), 'invalid_token', 'exp'));

  it('reads acr, amr and auth_time (RFC 9068 §2.2.1)', async () => {
    const principal = await verified(authentication, issuer.mint({ acr: '1', amr: ['pwd'], auth_time: 5 }));
    assert.deepEqual([principal.acr, principal.amr, principal.authTime], ['1', ['pwd'], 5]);
  });

  it('reads groups and roles (RFC 9068 §2.2.3.1)', async () => {
    const principal = await verified(authentication, issuer.mint({ groups: ['g'], roles: ['r'] }));
    assert.deepEqual([[...principal.groups], [...principal.roles]], [['g'], ['r']]);
  });
});
