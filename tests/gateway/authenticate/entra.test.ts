// Entra ID access tokens of both versions, with a fake authority that answers at Entra's paths.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startFakeIssuer, type FakeIssuer } from '../../support/fake-issuer.ts';
import {
  createSigningKey,
  signCompact,
  type Claims,
  type SigningKey,
} from '../../support/mint-access-token.ts';
import type { Authentication } from '../../../gateway/authenticate/index.ts';
import { assertRefused, authenticationOf, verified } from './authentication-under-test.ts';

const tenantId = '3f6c0000-0000-4000-8000-00000000000a';
const otherTenant = '9188040d-6c67-4c5b-b112-36a304b66dad';
const clientId = '0d550000-0000-4000-8000-00000000000b';
const apiId = '9b1e0000-0000-4000-8000-00000000000c';
const oid = '0a0a0a0a-0000-4000-8000-00000000000d';
const v1Issuer = `https://sts.windows.net/${tenantId}/`;

let key: SigningKey;
let v2: FakeIssuer;
let v1: FakeIssuer;
let both: Authentication;
let onlyV2: Authentication;

// One authority serves both documents in real life; here the two paths live on two ports, so v1.0 has its own entry.
before(async () => {
  key = createSigningKey('RS256', 'entra-key');
  v2 = await startFakeIssuer({ path: `/${tenantId}/v2.0`, keys: [key] });
  v1 = await startFakeIssuer({ path: `/${tenantId}`, issuer: v1Issuer, keys: [key] });
  v2.publish([{ ...key.jwk, alg: undefined, issuer: `${v2.origin}/{tenantid}/v2.0` }]);
  const entry = (authority: string, versions: string[]): Claims => ({
    entra: { tenant_id: tenantId, versions, authority },
    audiences: [apiId, 'api://sallyport'],
    client_ids: [clientId],
    required_claims: { scp: { any: ['LLM.Access', 'LLM.Admin'] } },
  });
  both = authenticationOf({ two: entry(v2.origin, ['2.0']), one: entry(v1.origin, ['1.0']) }).authentication;
  onlyV2 = authenticationOf({ two: entry(v2.origin, ['2.0']) }).authentication;
  await both.start();
  await onlyV2.start();
});

after(async () => {
  both.close();
  onlyV2.close();
  await Promise.all([v1.close(), v2.close()]);
});

const now = Math.floor(Date.now() / 1000);
const common = {
  tid: tenantId,
  oid,
  sub: 'pairwise',
  scp: 'LLM.Access',
  iat: now,
  nbf: now,
  exp: now + 3600,
  uti: 'u',
  aio: 'x',
};
const mintV2 = (changes: Claims = {}, header: Claims = {}): string =>
  signCompact(
    { alg: 'RS256', typ: 'JWT', kid: key.kid, ...header },
    {
      ...common,
      iss: v2.issuer,
      aud: apiId,
      ver: '2.0',
      azp: clientId,
      azpacr: '0',
      preferred_username: 'ada',
      ...changes,
    },
    key,
  );
const mintV1 = (changes: Claims = {}, header: Claims = {}): string =>
  signCompact(
    { alg: 'RS256', typ: 'JWT', kid: key.kid, x5t: key.kid, ...header },
    {
      ...common,
      iss: v1Issuer,
      aud: 'api://sallyport',
      ver: '1.0',
      appid: clientId,
      appidacr: '0',
      unique_name: 'ada',
      ...changes,
    },
    key,
  );

describe('an Entra access token', () => {
  it('of v2.0 yields a principal keyed by tenant and object id', async () => {
    const principal = await verified(both, mintV2());
    assert.equal(principal.key, `entra:${tenantId} ${oid}`);
    assert.equal(principal.subject, 'pairwise');
    assert.equal(principal.tenantId, tenantId);
    assert.equal(principal.clientId, clientId);
    assert.equal(principal.issuerName, 'two');
  });

  it('of v1.0 yields the same key for the same person', async () => {
    const principal = await verified(both, mintV1({ oid: oid.toUpperCase(), amr: ['pwd', 'mfa'] }));
    assert.equal(principal.key, `entra:${tenantId} ${oid}`);
    assert.equal(principal.issuer, v1Issuer);
    assert.deepEqual(principal.amr, ['pwd', 'mfa']);
  });

  it('with a tid in capitals is the same tenant', async () => {
    assert.equal(
      (await verified(both, mintV2({ tid: tenantId.toUpperCase() }))).key,
      `entra:${tenantId} ${oid}`,
    );
  });

  it('with too many groups has none, and the address for them is not followed', async () => {
    const overage = {
      _claim_names: { groups: 'src1' },
      _claim_sources: { src1: { endpoint: `${v2.origin}/graph` } },
    };
    assert.equal((await verified(both, mintV2({ ...overage, groups: ['partial'] }))).groups.size, 0);
    assert.equal((await verified(both, mintV2({ hasgroups: true, groups: ['partial'] }))).groups.size, 0);
    assert.equal((await verified(both, mintV2({ _claim_names: {}, groups: ['g'] }))).groups.size, 1);
    assert.equal((await verified(both, mintV2({ _claim_names: 'x', groups: ['g'] }))).groups.size, 1);
    assert.equal((await verified(both, mintV2({ _claim_names: null, groups: ['g'] }))).groups.size, 1);
    assert.equal(v2.requests.other, 0);
  });

  const refusals: [string, () => string, string][] = [
    ['ver 1.0 in the v2.0 form', () => mintV2({ ver: '1.0' }), 'ver'],
    ['ver 2.0 in the v1.0 form', () => mintV1({ ver: '2.0' }), 'ver'],
    ['no ver', () => mintV2({ ver: undefined }), 'ver'],
    ['ver as a number', () => mintV2({ ver: 2.0 }), 'ver'],
    ['no tid', () => mintV2({ tid: undefined }), 'tid'],
    ['the tid of another tenant', () => mintV2({ tid: otherTenant }), 'tid'],
    ['a tid that is no GUID', () => mintV2({ tid: 'contoso.onmicrosoft.com' }), 'tid'],
    ['a tid that is a list', () => mintV2({ tid: [tenantId] }), 'tid'],
    ['no oid', () => mintV2({ oid: undefined }), 'oid'],
    ['an oid that is no GUID', () => mintV2({ oid: 'ada' }), 'oid'],
    ['an oid with a blank', () => mintV2({ oid: `${oid} ` }), 'oid'],
    ['the issuer of another tenant', () => mintV2({ iss: v2.issuer.replace(tenantId, otherTenant) }), 'iss'],
    [
      'the v1.0 issuer of another tenant',
      () => mintV1({ iss: v1Issuer.replace(tenantId, otherTenant) }),
      'iss',
    ],
    ['the v1.0 issuer without its slash', () => mintV1({ iss: v1Issuer.slice(0, -1) }), 'iss'],
    ['the v2.0 issuer with a slash', () => mintV2({ iss: `${v2.issuer}/` }), 'iss'],
    [
      'the template instead of the tenant',
      () => mintV2({ iss: v2.issuer.replace(tenantId, '{tenantid}') }),
      'iss',
    ],
    ['the issuer of all tenants', () => mintV2({ iss: v2.issuer.replace(tenantId, 'common') }), 'iss'],
    ['an ID token: the client as audience, no azp', () => mintV2({ aud: clientId, azp: undefined }), 'aud'],
    ['an ID token of an application that is its own API', () => mintV2({ azp: undefined }), 'client_id'],
    ['azp in a v1.0 token without appid', () => mintV1({ appid: undefined, azp: clientId }), 'client_id'],
    ['appid in a v2.0 token without azp', () => mintV2({ azp: undefined, appid: clientId }), 'client_id'],
    ['azp and appid that disagree', () => mintV2({ appid: apiId }), 'client_id_conflict'],
    ['another client', () => mintV2({ azp: apiId }), 'client_id'],
    ['a token for Graph', () => mintV2({ aud: '00000003-0000-0000-c000-000000000000' }), 'aud'],
    ['an audience with a slash more', () => mintV1({ aud: 'api://sallyport/' }), 'aud'],
    ['typ at+jwt, which Entra does not use', () => mintV2({}, { typ: 'at+jwt' }), 'typ'],
    [
      'a nonce in the header, as Graph tokens have, hence another signature',
      () => mintV2({}, { kid: 'x' }),
      'kid_unknown',
    ],
  ];
  for (const [title, make, reason] of refusals) {
    it(`is refused for ${title}`, () => assertRefused(() => both.verify(make()), 'invalid_token', reason));
  }

  it('of v1.0 is refused where only v2.0 is listed', () =>
    assertRefused(() => onlyV2.verify(mintV1()), 'invalid_token', 'iss'));

  it('without any of the listed scopes is 403, not 401', async () => {
    await assertRefused(
      () => both.verify(mintV2({ scp: 'openid' })),
      'insufficient_scope',
      'required_claim_scp',
    );
    await assertRefused(
      () => both.verify(mintV2({ scp: undefined, roles: ['LLM.User'] })),
      'insufficient_scope',
    );
    await verified(both, mintV2({ scp: 'openid LLM.Admin' }));
  });

  it('signed by a key that serves only another tenant is refused', async () => {
    const personal = createSigningKey('RS256', 'personal');
    const issuer = await startFakeIssuer({ path: `/${tenantId}/v2.0`, keys: [personal] });
    const cases: [unknown, number][] = [
      [`${issuer.origin}/${otherTenant}/v2.0`, 0],
      [`${issuer.origin}/{tenantid}/v2.0/`, 0],
      [7, 0],
      [`${issuer.origin}/${tenantId}/v2.0`, 1],
      [undefined, 1],
    ];
    for (const [keyIssuer, expected] of cases) {
      issuer.publish([{ ...personal.jwk, issuer: keyIssuer }]);
      const entry = {
        entra: { tenant_id: tenantId, authority: issuer.origin },
        audiences: [apiId],
        client_ids: [clientId],
      };
      const { authentication } = authenticationOf({ it: entry });
      await authentication.refresh();
      assert.equal(authentication.status()[0]?.keyCount, expected, String(keyIssuer));
    }
    await issuer.close();
  });
});

describe('an issuer with claims of its own', () => {
  const mint = (issuer: FakeIssuer, changes: Claims): string =>
    issuer.mint({ azp: undefined, client_id: undefined, scp: undefined, ...changes }, { typ: 'JWT' });
  const entryOf = (issuer: FakeIssuer, extra: Claims): Claims => ({
    issuer: issuer.issuer,
    audiences: ['api://sallyport'],
    client_ids: { any: true },
    token_types: ['application/JWT'],
    ...extra,
  });

  it('reads roles, groups, scopes and subject where the policy says', async () => {
    const claims = {
      subject: 'uid',
      roles: ['realm_access', 'roles'],
      groups: ['memberOf'],
      scopes: 'permissions',
    };
    const { authentication } = authenticationOf({ keycloak: entryOf(v2, { claims }) });
    const principal = await verified(
      authentication,
      mint(v2, {
        uid: 'u-1',
        realm_access: { roles: ['a'] },
        memberOf: 'g',
        permissions: ['p q', 'r'],
        roles: { odd: 1 },
        tid: undefined,
      }),
    );
    assert.equal(principal.subject, 'u-1');
    assert.equal(principal.key, `${v2.issuer} u-1`);
    assert.deepEqual([...principal.roles], ['a']);
    assert.deepEqual([...principal.groups], ['g']);
    assert.deepEqual([...principal.scopes], ['p q', 'r']);
    assert.equal(principal.clientId, null);
    assert.equal(principal.tenantId, null);
    await assertRefused(() => authentication.verify(mint(v2, {})), 'invalid_token', 'sub');
  });

  it('has unknown groups when the claim for them lies elsewhere, and known ones otherwise', async () => {
    const { authentication } = authenticationOf({ it: entryOf(v2, { claims: { groups: ['memberOf'] } }) });
    const unknownFor = async (claims: Claims): Promise<boolean | undefined> =>
      (await verified(authentication, mint(v2, claims))).groupsUnknown;
    assert.equal(await unknownFor({ _claim_names: { memberOf: 's' }, memberOf: ['part'] }), true);
    assert.equal(await unknownFor({ hasgroups: 'true' }), true);
    assert.equal(await unknownFor({ _claim_names: { address: 's' }, memberOf: ['g'] }), false);
  });

  it('reads scope where there is no scp', async () => {
    const { authentication } = authenticationOf({ it: entryOf(v2, {}) });
    assert.deepEqual(
      [...(await verified(authentication, mint(v2, { scope: 'openid a' }))).scopes],
      ['openid', 'a'],
    );
    assert.deepEqual(
      [...(await verified(authentication, mint(v2, { roles: ['', 'x'], realm: [] }))).scopes],
      [],
    );
  });

  it('without iat, jti and client is accepted as plain JWT where the policy asks for no more', async () => {
    const { authentication } = authenticationOf({ it: entryOf(v2, {}) });
    await verified(authentication, mint(v2, { iat: undefined, jti: undefined, nbf: undefined }));
  });

  const required: [string, Claims, Claims, boolean][] = [
    ['all of two, both there', { p: { all: ['a', 'b'] } }, { p: ['b', 'a', 'c'] }, true],
    ['all of two, one there', { p: { all: ['a', 'b'] } }, { p: ['a'] }, false],
    ['any of two, one there', { p: { any: ['a', 'b'] } }, { p: 'b' }, true],
    ['any of two, none there', { p: { any: ['a', 'b'] } }, { p: ['c'] }, false],
    ['a separator', { p: { all: ['a', 'b'], separator: ',' } }, { p: 'b,a' }, true],
    ['no separator by default', { p: { all: ['a'] } }, { p: 'a b' }, false],
    ['a boolean', { v: { all: [true] } }, { v: true }, true],
    ['a boolean against text', { v: { all: [true] } }, { v: 'true' }, false],
    ['a number', { v: { all: [2] } }, { v: 2 }, true],
    ['a number against text', { v: { all: [2] } }, { v: '2' }, false],
    ['two claims, one missing', { v: { all: ['x'] }, w: { all: ['x'] } }, { v: 'x' }, false],
    ['a claim that is an object', { v: { any: ['x'] } }, { v: { x: 'x' } }, false],
    ['a claim of the prototype', { toString: { any: ['x'] } }, {}, false],
    ['scope split at blanks', { scope: { all: ['a'] } }, { scope: 'b a' }, true],
  ];
  for (const [title, rule, claims, isMet] of required) {
    it(`${isMet ? 'accepts' : 'refuses'} by required claims: ${title}`, async () => {
      const { authentication } = authenticationOf({ it: entryOf(v2, { required_claims: rule }) });
      const verify = (): unknown => authentication.verify(mint(v2, claims));
      if (isMet) await verify();
      else await assertRefused(verify, 'insufficient_scope');
    });
  }
});
