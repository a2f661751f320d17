// The cache of verified access tokens: what it saves and when it must forget.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { GatewayError } from '../../../core/errors.ts';
import type { IssuerKey } from '../../../gateway/authenticate/issuer-keys.ts';
import type { KeySet } from '../../../gateway/authenticate/key-set.ts';
import {
  keptBytes,
  VerifiedTokens,
  type VerifiedAccessToken,
} from '../../../gateway/authenticate/verified-tokens.ts';
import { anonymousPrincipal } from '../../../gateway/principal.ts';
import { SecondSight } from '../../../gateway/second-sight.ts';
import { startFakeIssuer, type FakeIssuer } from '../../support/fake-issuer.ts';
import { assertRefused, authenticationOf, entryFor, kept, verified } from './authentication-under-test.ts';

let issuer: FakeIssuer;
before(async () => {
  issuer = await startFakeIssuer();
});
after(() => issuer.close());

/** A cache before a verification that counts; the key counts as withdrawn once `held` is false. */
function cacheUnderTest(bounds?: { maxEntries: number; maxBytes: number }) {
  const state = { verifications: 0, held: true, nowMs: 0, fails: false, usableUntil: Infinity };
  // The cache asks a key set one question only.
  const keySet = { holds: () => state.held } as unknown as KeySet;
  const key = {} as IssuerKey;
  const verify = async (accessToken: string): Promise<VerifiedAccessToken> => {
    state.verifications++;
    await Promise.resolve();
    if (state.fails) throw new GatewayError('invalid_token', { reason: 'signature' });
    const principal = { ...anonymousPrincipal(accessToken), expiresAt: 100 };
    return { principal, key, keySet, usableUntil: state.usableUntil };
  };
  return {
    state,
    cache: new VerifiedTokens(verify, () => state.nowMs, bounds === undefined ? {} : { bounds }),
  };
}

describe('verified tokens', () => {
  it('verifies anew what was usable for a while only', async () => {
    const { cache, state } = cacheUnderTest();
    state.usableUntil = 500;
    await cache.principalOf('a');
    state.nowMs = 499;
    assert.ok(!(cache.principalOf('a') instanceof Promise));
    state.nowMs = 500;
    await cache.principalOf('a');
    assert.equal(state.verifications, 2);
  });

  it('answers at once, with the same principal, what it has seen before', async () => {
    const { cache, state } = cacheUnderTest();
    const first = await cache.principalOf('a');
    assert.equal(cache.principalOf('a'), first);
    assert.equal(state.verifications, 1);
  });

  it('verifies once for many first sights at the same time', async () => {
    const { cache, state } = cacheUnderTest();
    const principals = await Promise.all(Array.from({ length: 50 }, async () => cache.principalOf('a')));
    assert.equal(new Set(principals).size, 1);
    assert.equal(state.verifications, 1);
  });

  it('never keeps a refusal, and refuses all that waited for it', async () => {
    const { cache, state } = cacheUnderTest();
    state.fails = true;
    const waiting = [cache.principalOf('a'), cache.principalOf('a')];
    for (const answer of waiting) await assertRefused(() => answer, 'invalid_token');
    await assertRefused(() => cache.principalOf('a'), 'invalid_token');
    assert.equal(state.verifications, 2);
    state.fails = false;
    await cache.principalOf('a');
    assert.equal(cache.size, 1);
  });

  it('forgets at exp', async () => {
    const { cache, state } = cacheUnderTest();
    await cache.principalOf('a');
    state.nowMs = 99_999;
    assert.ok(!(cache.principalOf('a') instanceof Promise));
    state.nowMs = 100_000;
    assert.ok(cache.principalOf('a') instanceof Promise);
  });

  it('forgets when the key is withdrawn', async () => {
    const { cache, state } = cacheUnderTest();
    await cache.principalOf('a');
    state.held = false;
    assert.ok(cache.principalOf('a') instanceof Promise);
    assert.equal(state.verifications, 2);
  });

  it('holds no more than its number of entries', async () => {
    const { cache } = cacheUnderTest({ maxEntries: 10, maxBytes: 100_000 });
    for (let index = 0; index < 100; index++) await cache.principalOf(`token-${index}`);
    assert.equal(cache.size, 10);
    assert.ok(!(cache.principalOf('token-99') instanceof Promise));
    assert.ok(cache.principalOf('token-0') instanceof Promise);
  });

  it('holds no more than its number of bytes, and nothing that is larger than that alone', async () => {
    const { cache } = cacheUnderTest({ maxEntries: 10, maxBytes: 3 * keptBytes('x'.repeat(300)) });
    for (let index = 0; index < 9; index++) await cache.principalOf(`${index}${'x'.repeat(299)}`);
    assert.equal(cache.size, 3);
    await cache.principalOf('y'.repeat(16_000));
    assert.equal(cache.size, 3);
  });

  it('holds its default bound under 100,000 distinct access tokens', async () => {
    const { cache } = cacheUnderTest();
    for (let index = 0; index < 100_000; index++) await cache.principalOf(`${index}`.padEnd(900, 'x'));
    assert.ok(cache.size <= 8_192);
    assert.ok(cache.size * keptBytes('x'.repeat(900)) <= 8 * 1_048_576);
    assert.ok(cache.size > 1_000);
  });

  it('answers null for what it has not seen, and verifies nothing for it', async () => {
    const { cache, state } = cacheUnderTest();
    assert.equal(cache.seen('a'), null);
    assert.equal(state.verifications, 0);
    const principal = await cache.principalOf('a');
    assert.equal(cache.seen('a'), principal);
    state.held = false;
    assert.equal(cache.seen('a'), null);
  });
});

describe('the cache in front of real verification', () => {
  it('keeps a principal from the second sight of its token on, one signature for both', async () => {
    const { authentication } = authenticationOf({ embedded: entryFor(issuer.issuer) });
    await authentication.start();
    const accessToken = issuer.mint();
    const first = await verified(authentication, accessToken);
    assert.equal(first.isPassing, true);
    assert.equal(authentication.seen(accessToken), null);
    const second = authentication.verify(accessToken);
    assert.ok(!(second instanceof Promise));
    assert.notEqual(second.isPassing, true);
    assert.equal(authentication.seen(accessToken), second);
    assert.deepEqual({ ...second, isPassing: true }, { ...first });
    authentication.close();
  });

  it('keeps no principal of a token that comes again only after others: it would be pushed out each time', async () => {
    // Eight places: of nine in turn, each has been forgotten when it comes again.
    const lately = new SecondSight(8);
    const { authentication } = authenticationOf({ embedded: entryFor(issuer.issuer) }, { lately });
    await authentication.start();
    const accessTokens = Array.from({ length: 9 }, () => issuer.mint());
    for (const accessToken of [...accessTokens, ...accessTokens]) {
      assert.equal((await verified(authentication, accessToken)).isPassing, true);
      assert.equal(authentication.seen(accessToken), null);
    }
    const last = accessTokens.at(-1) ?? '';
    const again = await verified(authentication, last);
    assert.equal(authentication.seen(last), again);
    authentication.close();
  });

  it('keeps none where all that are kept are in use, and lets it pass judged as at first sight', async () => {
    const { authentication } = authenticationOf({ embedded: entryFor(issuer.issuer) });
    await authentication.start();
    // As many bytes as there are for principals, and many more.
    const accessTokens = Array.from({ length: 500 }, () => issuer.mint({ long: 'x'.repeat(9_000) }));
    for (const accessToken of [...accessTokens, ...accessTokens])
      assert.equal((await verified(authentication, accessToken)).claims['long'], 'x'.repeat(9_000));
    const passing = accessTokens.filter((accessToken) => authentication.seen(accessToken) === null);
    assert.ok(passing.length > 100 && passing.length < 300, `${passing.length} of 500`);
    for (const accessToken of passing)
      assert.equal((await verified(authentication, accessToken)).isPassing, true);
    assert.deepEqual(
      accessTokens.filter((accessToken) => authentication.seen(accessToken) === null),
      passing,
    );
    authentication.close();
  });

  it('refuses at first sight what is revoked, and at each later one', async () => {
    const revocations = {
      generation: 1,
      isFeedLost: () => false,
      isRevoked: () => true,
      judgeSigned: () => {
        throw new GatewayError('credential_revoked');
      },
    };
    const { authentication } = authenticationOf({ embedded: entryFor(issuer.issuer) }, { revocations });
    const accessToken = issuer.mint();
    for (let sight = 0; sight < 4; sight++)
      await assertRefused(() => authentication.verify(accessToken), 'credential_revoked');
    authentication.close();
  });

  it('refuses a header that it has read before as it did then, and accepts the others beside it', async () => {
    const { authentication } = authenticationOf({ embedded: entryFor(issuer.issuer) });
    await authentication.start();
    const headers = [
      { crit: ['b64'] },
      { jku: 'https://evil.test/keys' },
      { typ: 'JWT+other' },
      { cty: 'JWT' },
    ];
    for (let sight = 0; sight < 3; sight++) {
      for (const header of headers)
        await assertRefused(() => authentication.verify(issuer.mint({}, header)), 'invalid_token');
      await verified(authentication, issuer.mint());
    }
    authentication.close();
  });

  it('takes another spelling of a seen token for one that was never seen', async () => {
    const { authentication } = authenticationOf({ embedded: entryFor(issuer.issuer) });
    const accessToken = issuer.mint();
    await kept(authentication, accessToken);
    for (const spelling of [`${accessToken}=`, ` ${accessToken}`, `${accessToken.slice(0, -1)}!`]) {
      await assertRefused(() => authentication.verify(spelling), 'invalid_token');
    }
  });

  it('dies with its policy: a reload that drops an audience refuses tokens that were in the cache', async () => {
    const { authentication, clock } = authenticationOf({ embedded: entryFor(issuer.issuer) });
    const accessToken = issuer.mint();
    await kept(authentication, accessToken);
    const next = authenticationOf(
      { embedded: entryFor(issuer.issuer, { audiences: ['api://other'] }) },
      { previous: authentication, now: clock.now, monotonic: clock.monotonic },
    );
    await assertRefused(() => next.authentication.verify(accessToken), 'invalid_token', 'aud');
    await verified(authentication, accessToken);
  });

  it('passes key sets on to the next policy, so that a reload fetches nothing', async () => {
    const { authentication, clock } = authenticationOf({ embedded: entryFor(issuer.issuer) });
    await authentication.start();
    const asked = issuer.requests.jwks;
    const deps = { previous: authentication, now: clock.now, monotonic: clock.monotonic };
    const next = authenticationOf(
      { renamed: entryFor(issuer.issuer, { clock_skew: '5s' }) },
      deps,
    ).authentication;
    await next.start();
    authentication.close();
    const afterStart = issuer.requests.jwks;
    assert.equal((await verified(next, issuer.mint())).issuerName, 'renamed');
    assert.equal(issuer.requests.jwks, afterStart);
    assert.ok(afterStart - asked <= 1);
    next.close();
  });

  it('passes keys on where the key settings changed, so that a reload while the issuer is down loses nothing', async () => {
    const own = await startFakeIssuer({ keys: [issuer.key()] });
    const { authentication, clock } = authenticationOf({ embedded: entryFor(own.issuer) });
    await authentication.start();
    const accessToken = own.mint();
    own.fail('reset');
    const deps = { previous: authentication, now: clock.now, monotonic: clock.monotonic };
    const next = authenticationOf(
      { embedded: entryFor(own.issuer, { jwks: { cooldown: '5s' } }) },
      deps,
    ).authentication;
    await next.start();
    await verified(next, accessToken);
    next.close();
    authentication.close();
    await own.close();
  });

  it('starts from nothing where the issuer is new, or the predecessor is not one of ours', async () => {
    const stranger = {
      seen: () => null,
      verify: () => anonymousPrincipal('x'),
      issuers: [],
      accepted: [],
      scopesSupported: [],
      status: () => [],
      start: async () => undefined,
      refresh: async () => undefined,
      close: () => undefined,
    };
    const { authentication } = authenticationOf(
      { embedded: entryFor(issuer.issuer) },
      { previous: stranger },
    );
    assert.equal(authentication.status()[0]?.ready, false);
    const empty = authenticationOf({ embedded: entryFor(issuer.issuer) }, { previous: authentication });
    assert.equal(empty.authentication.status()[0]?.keyCount, 0);
    const policyWithOther = authenticationOf(
      { other: entryFor('https://login.example') },
      { previous: authentication },
    );
    assert.equal(policyWithOther.authentication.status()[0]?.ready, false);
  });
});
