// Applications for several tenants of Entra: one document with `{tenantid}` for all of them, an allow-list, keys that serve
// one tenant alone; and the named clouds.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { issuersSchema, type Authentication } from '../../../gateway/authenticate/index.ts';
import { startFakeIssuer, type FakeIssuer } from '../../support/fake-issuer.ts';
import {
  createSigningKey,
  signCompact,
  type Claims,
  type SigningKey,
} from '../../support/mint-access-token.ts';
import { assertRefused, authenticationOf, verified, type FrozenClock } from './authentication-under-test.ts';

const ours = '3f6c0000-0000-4000-8000-00000000000a';
const partner = '4e5d0000-0000-4000-8000-00000000000b';
const stranger = '5d4e0000-0000-4000-8000-00000000000c';
const personalAccounts = '9188040d-6c67-4c5b-b112-36a304b66dad';
const clientId = '0d550000-0000-4000-8000-00000000000b';
const apiId = '9b1e0000-0000-4000-8000-00000000000c';
const oid = '0a0a0a0a-0000-4000-8000-00000000000d';

const shared = createSigningKey('RS256', 'shared');
const partnerOnly = createSigningKey('RS256', 'partner-only');
const personal = createSigningKey('RS256', 'personal');
const unmarked = createSigningKey('RS256', 'unmarked');

let v2: FakeIssuer;
let v1: FakeIssuer;
let authentication: Authentication;
let clock: FrozenClock;

const entryOf = (authority: string, extra: Claims = {}): Claims => ({
  entra: { tenants: [ours, partner], authority, ...extra },
  audiences: [apiId],
  client_ids: [clientId],
});

before(async () => {
  v2 = await startFakeIssuer({ path: '/organizations/v2.0', keys: [shared] });
  v2.setMetadata({ issuer: `${v2.origin}/{tenantid}/v2.0` });
  v2.publish([
    { ...shared.jwk, issuer: `${v2.origin}/{tenantid}/v2.0` },
    { ...partnerOnly.jwk, issuer: `${v2.origin}/${partner}/v2.0` },
    { ...personal.jwk, issuer: `${v2.origin}/${personalAccounts}/v2.0` },
    unmarked.jwk,
  ]);
  v1 = await startFakeIssuer({ path: '/organizations', keys: [shared] });
  v1.setMetadata({ issuer: 'https://sts.windows.net/{tenantid}/' });
  ({ authentication, clock } = authenticationOf({
    two: entryOf(v2.origin),
    one: entryOf(v1.origin, { versions: ['1.0'] }),
  }));
  await authentication.start();
});
after(async () => {
  authentication.close();
  assert.equal(v2.requests.other + v1.requests.other, 0);
  await Promise.all([v1.close(), v2.close()]);
});

const mint = (tenantId: string, key: SigningKey = shared, changes: Claims = {}): string => {
  const now = Math.floor(clock.wallMs / 1_000);
  return signCompact(
    { alg: 'RS256', typ: 'JWT', kid: key.kid },
    {
      iss: `${v2.origin}/${tenantId}/v2.0`,
      aud: apiId,
      ver: '2.0',
      tid: tenantId,
      oid,
      sub: 'pairwise',
      azp: clientId,
      scp: 'LLM.Access',
      iat: now,
      exp: now + 3_600,
      ...changes,
    },
    key,
  );
};
const mintV1 = (tenantId: string): string =>
  mint(tenantId, shared, {
    iss: `https://sts.windows.net/${tenantId}/`,
    ver: '1.0',
    azp: undefined,
    appid: clientId,
  });

describe('an application for several tenants', () => {
  it('accepts the listed ones, each person keyed by tenant and object', async () => {
    for (const tenantId of [ours, partner]) {
      const principal = await verified(authentication, mint(tenantId));
      assert.equal(principal.key, `entra:${tenantId} ${oid}`);
      assert.equal(principal.tenantId, tenantId);
      assert.equal(principal.issuer, `${v2.origin}/${tenantId}/v2.0`);
      assert.equal((await verified(authentication, mintV1(tenantId))).key, `entra:${tenantId} ${oid}`);
    }
  });

  it('reads the document of all tenants once, and shows one issuer for them', () => {
    assert.deepEqual([v2.requests.metadata, v2.requests.jwks], [1, 1]);
    assert.deepEqual(
      authentication.status().map(({ name, issuer }) => [name, issuer]),
      [
        ['two', `${v2.origin}/{tenantid}/v2.0`],
        ['one', 'https://sts.windows.net/{tenantid}/'],
      ],
    );
    assert.deepEqual(authentication.issuers, [
      `${v2.origin}/${ours}/v2.0`,
      `${v2.origin}/${partner}/v2.0`,
      `https://sts.windows.net/${ours}/`,
      `https://sts.windows.net/${partner}/`,
    ]);
  });

  it('accepts a key of one tenant for that tenant', async () => {
    await verified(authentication, mint(partner, partnerOnly));
  });

  it('accepts a key that names no tenant for each listed one, as the v1.0 document has them', async () => {
    await verified(authentication, mint(ours, unmarked));
  });

  const refusals: [title: string, make: () => string, reason: string][] = [
    ['a tenant that is not listed', () => mint(stranger), 'iss'],
    ['personal accounts', () => mint(personalAccounts, personal), 'iss'],
    ['the key of another listed tenant', () => mint(ours, partnerOnly), 'key_issuer'],
    ['the key of personal accounts', () => mint(ours, personal), 'kid_unknown'],
    ['the tid of another listed tenant', () => mint(ours, shared, { tid: partner }), 'tid'],
    ['no tid', () => mint(ours, shared, { tid: undefined }), 'tid'],
    ['the placeholder as tenant', () => mint('{tenantid}'), 'iss'],
    ['organizations as tenant', () => mint('organizations'), 'iss'],
    ['common as tenant', () => mint('common'), 'iss'],
    ['a tenant in capitals, which no issuer writes', () => mint(ours.toUpperCase()), 'iss'],
    ['a v1.0 token of a tenant that is not listed', () => mintV1(stranger), 'iss'],
    ['a v2.0 token that says ver 1.0', () => mint(ours, shared, { ver: '1.0' }), 'ver'],
  ];
  for (const [title, make, reason] of refusals) {
    it(`refuses ${title}`, () => assertRefused(() => authentication.verify(make()), 'invalid_token', reason));
  }

  it('refuses a document that names one tenant, or another template', async () => {
    for (const issuer of [
      `${v2.origin}/${ours}/v2.0`,
      `${v2.origin}/organizations/v2.0`,
      `${v2.origin}/{tenantid}/`,
    ]) {
      const odd = await startFakeIssuer({ path: '/organizations/v2.0', keys: [shared] });
      odd.setMetadata({ issuer: issuer.replace(v2.origin, odd.origin) });
      const { authentication: refusing } = authenticationOf({ it: entryOf(odd.origin) });
      await refusing.refresh();
      assert.match(refusing.status()[0]?.problem ?? '', /names another issuer/, issuer);
      await odd.close();
    }
  });

  it('causes one fetch for unknown key ids, however many tenants they name', async () => {
    const before = v2.requests.jwks;
    clock.advance(31_000);
    await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        const key = { ...shared, kid: `random-${index}` };
        await assertRefused(
          () => authentication.verify(mint([ours, partner][index % 2] ?? ours, key)),
          'invalid_token',
        );
      }),
    );
    assert.equal(v2.requests.jwks, before + 1);
  });

  it('goes on with its keys when a reload adds a tenant or renames the entry', async () => {
    const next = authenticationOf(
      { renamed: entryOf(v2.origin, { tenants: [ours, partner, stranger] }) },
      { previous: authentication, now: clock.now, monotonic: clock.monotonic },
    ).authentication;
    const before = v2.requests.jwks;
    assert.equal((await verified(next, mint(stranger))).tenantId, stranger);
    assert.equal((await verified(next, mint(partner, partnerOnly))).tenantId, partner);
    assert.equal(v2.requests.jwks, before);
    const fewer = authenticationOf(
      { renamed: entryOf(v2.origin, { tenants: [ours] }) },
      { previous: next, now: clock.now, monotonic: clock.monotonic },
    ).authentication;
    await assertRefused(() => fewer.verify(mint(partner)), 'invalid_token', 'iss');
    await verified(fewer, mint(ours));
  });

  it('lets two entries have different tenants, each with audiences of its own', async () => {
    const { authentication: split } = authenticationOf(
      {
        ours: { ...entryOf(v2.origin, { tenants: [ours] }) },
        partners: { ...entryOf(v2.origin, { tenants: [partner] }), audiences: ['api://partners'] },
      },
      { now: clock.now, monotonic: clock.monotonic },
    );
    await split.refresh();
    assert.equal((await verified(split, mint(ours))).issuerName, 'ours');
    await assertRefused(() => split.verify(mint(partner)), 'invalid_token', 'aud');
    const principal = await verified(split, mint(partner, partnerOnly, { aud: 'api://partners' }));
    assert.equal(principal.issuerName, 'partners');
  });
});

describe('entra in issuers.yaml', () => {
  const issuersOf = (entra: Claims): readonly string[] =>
    authenticationOf({ it: { entra, audiences: [apiId], client_ids: [clientId] } }).authentication.issuers;
  const problems = (entra: Claims): string => {
    const parsed = issuersSchema.safeParse({
      issuers: { it: { entra, audiences: [apiId], client_ids: [clientId] } },
    });
    return parsed.success
      ? 'accepted'
      : parsed.error.issues.map(({ path, message }) => `${path.slice(2).join('.')}: ${message}`).join('\n');
  };
  const versions = ['1.0', '2.0'];

  const clouds: [entra: Claims, expected: string[]][] = [
    [{}, [`https://sts.windows.net/${ours}/`, `https://login.microsoftonline.com/${ours}/v2.0`]],
    [
      { cloud: 'global' },
      [`https://sts.windows.net/${ours}/`, `https://login.microsoftonline.com/${ours}/v2.0`],
    ],
    [
      { cloud: 'us_government' },
      [`https://sts.windows.net/${ours}/`, `https://login.microsoftonline.us/${ours}/v2.0`],
    ],
    [
      { cloud: 'china' },
      [`https://sts.chinacloudapi.cn/${ours}/`, `https://login.partner.microsoftonline.cn/${ours}/v2.0`],
    ],
    [
      { authority: 'https://login.chinacloudapi.cn' },
      [`https://sts.chinacloudapi.cn/${ours}/`, `https://login.chinacloudapi.cn/${ours}/v2.0`],
    ],
    [
      { authority: 'https://login.microsoftonline.us' },
      [`https://sts.windows.net/${ours}/`, `https://login.microsoftonline.us/${ours}/v2.0`],
    ],
  ];
  for (const [entra, expected] of clouds) {
    it(`${JSON.stringify(entra)} has the issuers of its cloud`, () => {
      assert.deepEqual(issuersOf({ tenant_id: ours, versions, ...entra }), expected);
      assert.deepEqual(issuersOf({ tenants: [ours], versions, ...entra }), expected);
    });
  }

  const refusals: [entra: Claims, expected: RegExp][] = [
    [{}, /state either tenant_id/],
    [{ tenant_id: ours, tenants: [partner] }, /state either tenant_id/],
    [{ tenants: [] }, /^entra\.tenants/],
    [{ tenants: ['organizations'] }, /^entra\.tenants\.0: a tenant id is a GUID/],
    [{ tenants: ['common'] }, /a tenant id is a GUID/],
    [{ tenants: ['*'] }, /a tenant id is a GUID/],
    [{ tenants: ['{tenantid}'] }, /a tenant id is a GUID/],
    [{ tenants: ours }, /^entra\.tenants/],
    [{ tenant_id: 'organizations' }, /a tenant id is a GUID/],
    [{ tenant_id: ours, cloud: 'germany' }, /^entra\.cloud/],
    [
      { tenant_id: ours, cloud: 'china', authority: 'https://login.microsoftonline.us' },
      /state either cloud or authority/,
    ],
    [{ tenant_id: ours, identity_type: 'person' }, /^entra\.identity_type/],
    [{ tenant_id: ours, client_authentication: '1' }, /^entra\.client_authentication/],
    [{ tenant_id: ours, groups_overage: 'permit' }, /^entra\.groups_overage/],
    [{ tenant_id: ours, groups_overage: 'resolve' }, /^entra\.groups_overage: .*go together/],
    [
      { tenant_id: ours, directory: { client_id: 'x', client_secret: 'env:X' } },
      /^entra\.directory: .*go together/,
    ],
    [
      { tenant_id: ours, groups_overage: 'resolve', directory: { client_id: 'x', client_secret: 'hunter2' } },
      /env:NAME or file/,
    ],
    [
      {
        tenant_id: ours,
        groups_overage: 'resolve',
        directory: { client_id: 'x', client_secret: 'env:X', endpoint: 'http://graph.example' },
      },
      /^entra\.directory\.endpoint: http:/,
    ],
    [
      {
        tenant_id: ours,
        groups_overage: 'resolve',
        directory: { client_id: 'x', client_secret: 'env:X', endpoint: 'https://graph.example/v1.0' },
      },
      /without a path/,
    ],
  ];
  for (const [entra, expected] of refusals) {
    it(`is refused as ${JSON.stringify(entra)}`, () => {
      assert.match(problems(entra), expected);
    });
  }

  it('is refused when two entries list one tenant', () => {
    const entry = { entra: { tenants: [ours] }, audiences: [apiId], client_ids: [clientId] };
    const single = { ...entry, entra: { tenant_id: ours } };
    assert.throws(() => authenticationOf({ a: entry, b: entry }), /already judged by a/);
    assert.throws(() => authenticationOf({ a: entry, b: single }), /already judged by a/);
    assert.throws(
      () => authenticationOf({ a: { ...entry, entra: { tenants: [ours, ours] } } }),
      /already judged by a/,
    );
  });
});
