// `groups_overage: resolve`: who is in too many groups for a token is looked up in a directory, over real HTTP; whatever it
// does wrong is a refusal, never a guess.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import type { Authentication } from '../../../gateway/authenticate/index.ts';
import {
  directoryClient,
  directorySecret,
  startFakeEntra,
  type DirectoryFault,
  type FakeEntra,
} from '../../support/fake-entra.ts';
import { createSigningKey, signCompact, type Claims } from '../../support/mint-access-token.ts';
import {
  assertRefused,
  authenticationOf,
  refusalOf,
  verified,
  type UnderTest,
} from './authentication-under-test.ts';

const ours = '3f6c0000-0000-4000-8000-00000000000a';
const partner = '4e5d0000-0000-4000-8000-00000000000b';
const clientId = '0d550000-0000-4000-8000-00000000000b';
const apiId = '9b1e0000-0000-4000-8000-00000000000c';
const ada = '0a0a0a0a-0000-4000-8000-00000000000d';
const key = createSigningKey('RS256', 'entra-key');
const groups = Array.from({ length: 8 }, (_, index) => `group-${index}`);

let entra: FakeEntra;
let folder: string;
const opened: Authentication[] = [];

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-directory-'));
  writeFileSync(join(folder, 'secret'), `${directorySecret}\n`);
});
afterEach(async () => {
  for (const each of opened.splice(0)) each.close();
  await entra.close();
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** An Entra of its own, and a gateway's authentication that resolves groups there. */
async function resolving(directory: Claims = {}, expiresIn?: number): Promise<UnderTest> {
  entra = await startFakeEntra([{ ...key.jwk }], expiresIn);
  entra.groups.set(ada, groups);
  const underTest = authenticationOf({ it: entryWith(directory) });
  opened.push(underTest.authentication);
  await underTest.authentication.start();
  return underTest;
}

const entryWith = (directory: Claims = {}): Claims => ({
  entra: {
    tenants: [ours, partner],
    authority: entra.origin,
    groups_overage: 'resolve',
    directory: {
      endpoint: entra.origin,
      client_id: directoryClient,
      client_secret: `file:${folder}/secret`,
      timeout: '700ms',
      ...directory,
    },
  },
  audiences: [apiId],
  client_ids: [clientId],
});

const mint = ({ clock }: Pick<UnderTest, 'clock'>, changes: Claims = {}): string => {
  const now = Math.floor(clock.wallMs / 1_000);
  const tenantId = typeof changes['tid'] === 'string' ? changes['tid'] : ours;
  return signCompact(
    { alg: 'RS256', typ: 'JWT', kid: key.kid },
    {
      iss: `${entra.origin}/${tenantId}/v2.0`,
      aud: apiId,
      ver: '2.0',
      tid: tenantId,
      oid: ada,
      sub: 'pairwise',
      azp: clientId,
      scp: 'LLM.Access',
      iat: now,
      exp: now + 36_000,
      _claim_names: { groups: 'src1' },
      _claim_sources: { src1: { endpoint: 'http://127.0.0.1:9/evil/getMemberObjects' } },
      ...changes,
    },
    key,
  );
};

describe('a token of somebody in too many groups', () => {
  it('gets the groups from the directory, all pages of them', async () => {
    const underTest = await resolving();
    const principal = await verified(underTest.authentication, mint(underTest));
    assert.deepEqual([...principal.groups], groups);
    assert.equal(principal.groupsUnknown, false);
    assert.deepEqual(principal.claims['groups'], groups, 'expressions over the claim see them too');
    assert.ok(Object.isFrozen(principal) && Object.isFrozen(principal.claims));
    assert.deepEqual(entra.requests, { token: 1, members: 1, pages: 2, other: 0 });
    assert.ok(entra.paths.includes(`/v1.0/users/${ada}/getMemberObjects`));
  });

  it('of an application is looked up as one', async () => {
    const underTest = await resolving();
    await verified(underTest.authentication, mint(underTest, { idtyp: 'app', scp: undefined }));
    assert.ok(entra.paths.includes(`/v1.0/servicePrincipals/${ada}/getMemberObjects`));
  });

  it('signs in at the tenant of the token', async () => {
    const underTest = await resolving();
    await verified(underTest.authentication, mint(underTest, { tid: partner }));
    assert.ok(entra.paths.includes(`/${partner}/oauth2/v2.0/token`));
    assert.ok(!entra.paths.includes(`/${ours}/oauth2/v2.0/token`));
  });

  it('with a partial list has what the directory says alone', async () => {
    const underTest = await resolving();
    const principal = await verified(
      underTest.authentication,
      mint(underTest, { groups: ['stale', 'group-1'] }),
    );
    assert.deepEqual([...principal.groups], groups);
  });

  it('that lists all its groups asks nobody', async () => {
    const underTest = await resolving();
    const whole = { _claim_names: undefined, groups: ['g'] };
    assert.deepEqual([...(await verified(underTest.authentication, mint(underTest, whole))).groups], ['g']);
    assert.deepEqual(entra.requests, { token: 0, members: 0, pages: 0, other: 0 });
  });

  it('that is bad asks nobody', async () => {
    const underTest = await resolving();
    await assertRefused(
      () => underTest.authentication.verify(mint(underTest, { aud: 'x' })),
      'invalid_token',
      'aud',
    );
    const tampered = mint(underTest).replace(/\.[^.]+$/, `.${'A'.repeat(342)}`);
    await assertRefused(() => underTest.authentication.verify(tampered), 'invalid_token', 'signature');
    assert.equal(entra.requests.token + entra.requests.members, 0);
  });

  it('is looked up once for many requests and many tokens, and again when the answer is old', async () => {
    const underTest = await resolving({ cache: '1m' });
    const tokens = Array.from({ length: 20 }, (_, index) => mint(underTest, { uti: `u${index}` }));
    await Promise.all(tokens.map((accessToken) => verified(underTest.authentication, accessToken)));
    await Promise.all(tokens.map((accessToken) => verified(underTest.authentication, accessToken)));
    assert.equal(entra.requests.members, 1);
    entra.groups.set(ada, ['only-this']);
    underTest.clock.advance(61_000);
    const [accessToken = ''] = tokens;
    assert.deepEqual([...(await verified(underTest.authentication, accessToken)).groups], ['only-this']);
    assert.deepEqual([entra.requests.token, entra.requests.members], [1, 2]);
    // A token seen before answers at once.
    assert.ok(!(underTest.authentication.verify(accessToken) instanceof Promise));
  });

  it('fetches a new access token of its own before the old one expires, or when it was withdrawn', async () => {
    const underTest = await resolving({ cache: '1s' }, 120);
    const ask = async (): Promise<void> => {
      underTest.clock.advance(10_000);
      await verified(underTest.authentication, mint(underTest, { uti: String(underTest.clock.wallMs) }));
    };
    await ask();
    await ask();
    assert.equal(entra.requests.token, 1);
    underTest.clock.advance(60_000);
    await ask();
    assert.equal(entra.requests.token, 2);
    entra.withdrawTokens();
    await assert.rejects(ask());
    await ask();
    assert.equal(entra.requests.token, 3);
  });

  it('goes on with what is known after a reload', async () => {
    const underTest = await resolving();
    await verified(underTest.authentication, mint(underTest));
    const next = authenticationOf(
      { it: { ...entryWith(), required_claims: { scp: { all: ['LLM.Access'] } } } },
      { previous: underTest.authentication, now: underTest.clock.now, monotonic: underTest.clock.monotonic },
    ).authentication;
    await verified(next, mint(underTest));
    assert.equal(entra.requests.members, 1);
  });

  const faults: DirectoryFault[] = [
    'token-refused',
    'token-odd',
    'forbidden',
    'error',
    'throttled',
    'html',
    'not-a-list',
    'not-texts',
    'redirect',
    'elsewhere',
    'endless',
    'huge',
    'hang',
    'hang-in-body',
    'reset',
  ];
  for (const fault of faults) {
    it(`is 503 while the directory answers ${fault}, once in a while, and good again afterwards`, async () => {
      const underTest = await resolving({ timeout: fault.startsWith('hang') ? '300ms' : '10s' });
      entra.fail(fault);
      const refusal = await refusalOf(
        () => underTest.authentication.verify(mint(underTest)),
        'directory_unavailable',
        'groups_not_resolved',
      );
      assert.equal(refusal.retryAfterSeconds, 5);
      assert.equal(refusal.definition.status, 503);
      const asked = { ...entra.requests };
      for (let count = 0; count < 10; count++)
        await assertRefused(
          () => underTest.authentication.verify(mint(underTest, { uti: `u${count}` })),
          'directory_unavailable',
        );
      assert.deepEqual(entra.requests, asked, 'one question in five seconds');
      const lines = underTest.logLines.filter(({ msg }) => String(msg).includes('directory'));
      assert.equal(lines.length, 1);
      assert.ok(!JSON.stringify(lines).includes(directorySecret));
      entra.fail(null);
      underTest.clock.advance(5_000);
      assert.equal((await verified(underTest.authentication, mint(underTest))).groups.size, 8);
      assert.equal(underTest.logLines.filter(({ msg }) => msg === 'the directory answers again').length, 1);
    });
  }

  it('of somebody whom the directory does not know is 503, not somebody without groups', async () => {
    const underTest = await resolving();
    const stranger = { oid: '0c0c0c0c-0000-4000-8000-00000000000f' };
    await assertRefused(
      () => underTest.authentication.verify(mint(underTest, stranger)),
      'directory_unavailable',
    );
    await verified(underTest.authentication, mint(underTest));
  });

  it('is 503 when the secret cannot be read, and does not say it', async () => {
    const underTest = await resolving({ client_secret: 'env:NO_SUCH_SECRET_HERE' });
    await assertRefused(() => underTest.authentication.verify(mint(underTest)), 'directory_unavailable');
    assert.equal(entra.requests.token, 0);
    assert.match(String(underTest.logLines.at(-1)?.['problem']), /NO_SUCH_SECRET_HERE is not set/);
  });

  it('is 503 when nothing listens at the directory', async () => {
    const underTest = await resolving({ endpoint: 'http://127.0.0.1:9' });
    await assertRefused(() => underTest.authentication.verify(mint(underTest)), 'directory_unavailable');
  });

  it('is refused once an answer in use is old and the directory is gone', async () => {
    const underTest = await resolving({ cache: '1m' });
    const accessToken = mint(underTest);
    await verified(underTest.authentication, accessToken);
    entra.fail('error');
    underTest.clock.advance(59_000);
    await verified(underTest.authentication, accessToken);
    underTest.clock.advance(2_000);
    await assertRefused(() => underTest.authentication.verify(accessToken), 'directory_unavailable');
  });
});
