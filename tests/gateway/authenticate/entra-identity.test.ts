// Who is behind an Entra token, how its client authenticated, and which audience which client may use.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Authentication } from '../../../gateway/authenticate/index.ts';
import { startFakeIssuer, type FakeIssuer } from '../../support/fake-issuer.ts';
import { createSigningKey, signCompact, type Claims } from '../../support/mint-access-token.ts';
import { assertRefused, authenticationOf, verified } from './authentication-under-test.ts';

const tenantId = '3f6c0000-0000-4000-8000-00000000000a';
const clientId = '0d550000-0000-4000-8000-00000000000b';
const otherClient = '0d550000-0000-4000-8000-00000000000c';
const apiId = '9b1e0000-0000-4000-8000-00000000000c';
const oid = '0a0a0a0a-0000-4000-8000-00000000000d';
const key = createSigningKey('RS256', 'entra-key');
let issuer: FakeIssuer;
const opened: Authentication[] = [];

before(async () => {
  issuer = await startFakeIssuer({ path: `/${tenantId}/v2.0`, keys: [key] });
});
after(async () => {
  for (const each of opened) each.close();
  await issuer.close();
});

async function accepting(entra: Claims, entry: Claims = {}): Promise<Authentication> {
  const { authentication } = authenticationOf({
    it: {
      entra: { tenant_id: tenantId, authority: issuer.origin, ...entra },
      audiences: [apiId, 'api://sallyport'],
      client_ids: [clientId, otherClient],
      ...entry,
    },
  });
  opened.push(authentication);
  await authentication.start();
  return authentication;
}

const now = Math.floor(Date.now() / 1_000);
const mint = (changes: Claims = {}): string =>
  signCompact(
    { alg: 'RS256', typ: 'JWT', kid: key.kid },
    {
      iss: issuer.issuer,
      aud: apiId,
      ver: '2.0',
      tid: tenantId,
      oid,
      sub: 'pairwise',
      azp: clientId,
      iat: now,
      exp: now + 3_600,
      ...changes,
    },
    key,
  );
const person = { scp: 'LLM.Access' };
const application = { sub: oid, roles: ['LLM.User'] };

describe('the identity type of an Entra token', () => {
  const rows: [title: string, claims: Claims, type: 'user' | 'app' | 'unproven'][] = [
    ['idtyp user', { ...person, idtyp: 'user' }, 'user'],
    ['idtyp user without scopes', { idtyp: 'user' }, 'user'],
    ['idtyp app', { ...application, idtyp: 'app' }, 'app'],
    ['idtyp app, whatever the sub', { roles: ['x'], idtyp: 'app' }, 'app'],
    ['idtyp app with scopes, which contradict it', { ...application, ...person, idtyp: 'app' }, 'unproven'],
    ['an idtyp that we do not know', { ...application, idtyp: 'device' }, 'unproven'],
    ['idtyp in capitals', { ...application, idtyp: 'App' }, 'unproven'],
    ['idtyp as a list', { ...application, idtyp: ['app'] }, 'unproven'],
    ['idtyp null', { ...application, idtyp: null }, 'unproven'],
    ['no idtyp, scopes', person, 'user'],
    ['no idtyp, scopes, and the sub of an application', { ...application, ...person }, 'user'],
    ['no idtyp, no scopes, sub is oid', application, 'app'],
    ['no idtyp, no scopes, no roles, sub is oid', { sub: oid }, 'app'],
    ['no idtyp, no scopes, another sub', { roles: ['x'] }, 'unproven'],
    ['no idtyp, blank scopes, sub is oid', { ...application, scp: ' ' }, 'unproven'],
    ['no idtyp, an empty list of scopes', { ...application, scp: [] }, 'unproven'],
  ];
  for (const [title, claims, type] of rows) {
    it(`is ${type} for ${title}`, async () => {
      assert.equal((await verified(await accepting({}), mint(claims))).identityType, type);
      for (const demand of ['user', 'app'] as const) {
        const narrow = await accepting({ identity_type: demand });
        if (type === demand) await verified(narrow, mint(claims));
        else await assertRefused(() => narrow.verify(mint(claims)), 'invalid_token', 'identity_type');
      }
    });
  }

  it('is not told for other issuers', async () => {
    const other = await startFakeIssuer();
    const { authentication } = authenticationOf({
      it: { issuer: other.issuer, audiences: ['api://sallyport'], client_ids: { any: true } },
    });
    assert.equal((await verified(authentication, other.mint({ idtyp: 'app' }))).identityType, undefined);
    await other.close();
  });
});

describe('the least client authentication', () => {
  const rows: [demand: string, strength: unknown, accepted: boolean][] = [
    ['public', undefined, true],
    ['public', '0', true],
    ['secret', '0', false],
    ['secret', '1', true],
    ['secret', '2', true],
    ['secret', undefined, false],
    ['secret', 1, false],
    ['secret', '01', false],
    ['secret', '3', false],
    ['secret', ['1'], false],
    ['secret', null, false],
    ['certificate', '1', false],
    ['certificate', '2', true],
    ['certificate', '', false],
  ];
  for (const [demand, strength, accepted] of rows) {
    it(`${demand} ${accepted ? 'accepts' : 'refuses'} azpacr ${JSON.stringify(strength)}`, async () => {
      const narrow = await accepting({ client_authentication: demand });
      const verify = (): unknown => narrow.verify(mint({ ...person, azpacr: strength }));
      if (accepted) await verify();
      else await assertRefused(verify, 'invalid_token', 'client_authentication');
    });
  }

  it('does not read appidacr in a v2.0 token', async () => {
    const narrow = await accepting({ client_authentication: 'secret' });
    await assertRefused(
      () => narrow.verify(mint({ ...person, azpacr: '0', appidacr: '2' })),
      'invalid_token',
      'client_authentication',
    );
  });

  it('reads appidacr in a v1.0 token', async () => {
    const v1Issuer = `https://sts.windows.net/${tenantId}/`;
    const v1 = await startFakeIssuer({ path: `/${tenantId}`, issuer: v1Issuer, keys: [key] });
    const narrow = await accepting({
      client_authentication: 'certificate',
      versions: ['1.0'],
      authority: v1.origin,
    });
    const claims = { ...person, iss: v1Issuer, ver: '1.0', azp: undefined, appid: clientId };
    await verified(narrow, mint({ ...claims, appidacr: '2' }));
    await assertRefused(
      () => narrow.verify(mint({ ...claims, appidacr: '1', azpacr: '2' })),
      'invalid_token',
      'client_authentication',
    );
    await v1.close();
  });
});

describe('client_audiences', () => {
  const paired = { client_audiences: { [clientId]: ['api://sallyport'] } };
  const rows: [client: string, aud: unknown, reason: string | null][] = [
    [clientId, 'api://sallyport', null],
    [clientId, apiId, 'client_audience'],
    [clientId, [apiId], 'client_audience'],
    [clientId, [apiId, 'api://sallyport'], null],
    [clientId, 'api://Sallyport', 'aud'],
    [clientId, 'api://elsewhere', 'aud'],
    [otherClient, apiId, null],
    [otherClient, 'api://sallyport', null],
    ['stranger', 'api://sallyport', 'client_id'],
  ];
  for (const [client, aud, reason] of rows) {
    it(`${reason === null ? 'lets' : 'does not let'} ${client} use ${JSON.stringify(aud)}`, async () => {
      const authentication = await accepting({}, paired);
      const verify = (): unknown => authentication.verify(mint({ ...person, azp: client, aud }));
      if (reason === null) await verify();
      else await assertRefused(verify, 'invalid_token', reason);
    });
  }

  it('is not fooled by a client that is called like a member of every object', async () => {
    const authentication = await accepting({}, { client_ids: { any: true }, ...paired });
    for (const azp of ['constructor', '__proto__', 'toString'])
      await verified(authentication, mint({ ...person, azp }));
  });
});
