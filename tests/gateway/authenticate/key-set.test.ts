// The keys of an issuer over time, against a real HTTP issuer. A1–A9 are the protocols of the threat model
// (docs/reference/token-validation.md).
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Authentication, AuthenticationDeps } from '../../../gateway/authenticate/index.ts';
import type { KeySource } from '../../../gateway/authenticate/issuer-url.ts';
import { KeySet, type KeySetOptions } from '../../../gateway/authenticate/key-set.ts';
import { documentFetcher } from '../../../gateway/authenticate/fetch-document.ts';
import { createLog } from '../../../core/log.ts';
import { failureModes, startFakeIssuer, type FakeIssuer } from '../../support/fake-issuer.ts';
import { createSigningKey, mintAccessToken, type SigningKey } from '../../support/mint-access-token.ts';
import {
  assertRefused,
  authenticationOf,
  entryFor,
  refusalOf,
  kept,
  verified,
  type UnderTest,
} from './authentication-under-test.ts';

let issuer: FakeIssuer;
let started: Authentication[] = [];
/** Key pairs are dear; these are shared. */
let spare: SigningKey[] = [];

before(() => {
  spare = [createSigningKey(), createSigningKey()];
});
beforeEach(async () => {
  issuer = await startFakeIssuer({ keys: spare.slice(0, 1) });
});
afterEach(async () => {
  for (const authentication of started) authentication.close();
  started = [];
  await issuer.close();
});

function compile(extra: Record<string, unknown> = {}, deps: Partial<AuthenticationDeps> = {}): UnderTest {
  const underTest = authenticationOf({ embedded: entryFor(issuer.issuer, extra) }, deps);
  started.push(underTest.authentication);
  return underTest;
}

async function start(
  extra: Record<string, unknown> = {},
  deps: Partial<AuthenticationDeps> = {},
): Promise<UnderTest> {
  const underTest = compile(extra, deps);
  await underTest.authentication.start();
  return underTest;
}

const withKid = (kid: string): string => issuer.mint({}, { kid });
const publishNext = (keepOld = true): SigningKey => {
  const [first, second] = spare;
  assert.ok(first !== undefined && second !== undefined);
  issuer.publish(keepOld ? [first.jwk, second.jwk] : [second.jwk]);
  return second;
};
const mintWith = (key: SigningKey): string => mintAccessToken({ issuer: issuer.issuer, key });

describe('rotation', () => {
  it('A1 accepts the first token of a new kid at once, however short ago a scheduled fetch was', async () => {
    const { authentication } = await start();
    const next = publishNext();
    assert.equal((await verified(authentication, mintWith(next))).subject, 'account-1');
    assert.deepEqual(issuer.requests, { metadata: 1, jwks: 2, other: 0 });
  });

  it('A1 accepts it at the end of the cool-down when another unknown kid had it fetched before, without restart', async () => {
    const { authentication, clock } = await start();
    await assertRefused(() => authentication.verify(withKid('random')), 'invalid_token', 'kid_unknown');
    const next = publishNext();
    await assertRefused(() => authentication.verify(mintWith(next)), 'invalid_token', 'kid_unknown');
    clock.advance(29_000);
    await assertRefused(() => authentication.verify(mintWith(next)), 'invalid_token', 'kid_unknown');
    clock.advance(1_000);
    assert.equal((await verified(authentication, mintWith(next))).subject, 'account-1');
    assert.equal(issuer.requests.jwks, 3);
    assert.equal(issuer.requests.metadata, 1, 'an unknown kid costs one request, not two');
  });

  it('A2 accepts old and new keys while both are published', async () => {
    const { authentication } = await start();
    const old = issuer.mint();
    const next = publishNext();
    await authentication.refresh();
    await verified(authentication, old);
    await verified(authentication, mintWith(next));
  });

  it('A3 refuses a withdrawn key after the next fetch, also for tokens in the cache', async () => {
    const { authentication, logLines } = await start();
    const old = issuer.mint();
    await kept(authentication, old);
    publishNext(false);
    await authentication.refresh();
    await assertRefused(() => authentication.verify(old), 'invalid_token', 'kid_unknown');
    await assertRefused(() => authentication.verify(issuer.mint()), 'invalid_token', 'kid_unknown');
    assert.equal(logLines.length, 2);
    assert.deepEqual(logLines[1]?.['withdrawn'], [spare[0]?.kid]);
  });

  it('A3 fetches on schedule by itself, so that nobody has to ask', async () => {
    const keySet = new KeySet(optionsFor({ refreshMs: 20 }));
    await keySet.start();
    publishNext(false);
    await until(async () => (await keySet.keyFor(spare[1]?.kid ?? '').catch(() => null)) !== null);
    await assertRefused(() => keySet.keyFor(spare[0]?.kid ?? ''), 'invalid_token', 'kid_unknown');
    keySet.close();
  });

  it('keeps cached tokens when a refresh brings the same key again', async () => {
    const { authentication } = await start();
    const accessToken = issuer.mint();
    const principal = await kept(authentication, accessToken);
    await authentication.refresh();
    assert.equal(authentication.verify(accessToken), principal);
  });

  it('drops cached tokens when a kid stays and its key changes', async () => {
    const { authentication } = await start();
    const accessToken = issuer.mint();
    await kept(authentication, accessToken);
    issuer.publish([{ ...spare[1]?.jwk, kid: issuer.key().kid }]);
    await authentication.refresh();
    await assertRefused(() => authentication.verify(accessToken), 'invalid_token', 'signature');
  });
});

describe('A4 an issuer that answers badly', () => {
  for (const document of ['jwks', 'metadata'] as const) {
    for (const mode of failureModes) {
      // The metadata document has no keys to lack.
      if (document === 'metadata' && mode === 'no-keys') continue;
      it(`${document} ${mode}: known keys go on, an unknown kid gets 503, one fetch per cool-down, one log line`, async () => {
        const keySet = new KeySet(optionsFor({ timeoutMs: 300 }));
        await keySet.start();
        const known = issuer.key().kid;
        issuer.fail(mode, document);
        await keySet.refresh();
        const asked = { ...issuer.requests };
        await keySet.keyFor(known);
        for (let attempt = 0; attempt < 5; attempt++) {
          const refusal = await refusalOf(() => keySet.keyFor('new'), 'issuer_unavailable');
          assert.ok(refusal.retryAfterSeconds !== undefined && refusal.retryAfterSeconds >= 1);
        }
        assert.deepEqual(issuer.requests, asked);
        assert.equal(issuer.requests.other, 0, 'the redirect was followed');
        assert.equal(keySet.isUsable, true);
        assert.match(keySet.problem ?? '', /^http:\/\/127\.0\.0\.1:\d+\/.+: .+/);
        issuer.fail(null);
        await keySet.refresh();
        assert.equal(keySet.problem, null);
        await assertRefused(() => keySet.keyFor('new'), 'invalid_token', 'kid_unknown');
        keySet.close();
      });
    }
  }

  it('answers within the time limit although it never answers', async () => {
    const keySet = new KeySet(optionsFor({ timeoutMs: 50 }));
    issuer.fail('hang');
    await assertRefused(() => keySet.keyFor('any'), 'issuer_unavailable');
    assert.match(keySet.problem ?? '', /no complete answer in time/);
  });

  it('logs an outage once and its end once, whatever is asked meanwhile', async () => {
    const { authentication, clock, logLines } = await start();
    logLines.length = 0;
    issuer.fail('500');
    for (let attempt = 0; attempt < 4; attempt++) {
      clock.advance(30_000);
      await assertRefused(() => authentication.verify(withKid(`k${attempt}`)), 'issuer_unavailable');
    }
    assert.equal(issuer.requests.jwks + issuer.requests.metadata, 2 + 4);
    assert.equal(logLines.length, 1);
    issuer.fail(null);
    clock.advance(30_000);
    await assertRefused(() => authentication.verify(withKid('k9')), 'invalid_token', 'kid_unknown');
    assert.equal(logLines.length, 2);
  });

  it('stops using the last good keys when they are older than max_age', async () => {
    const { authentication, clock } = await start({ jwks: { max_age: '10m' } });
    const accessToken = issuer.mint({ exp: 9_999_999_999 });
    await verified(authentication, accessToken);
    issuer.fail('reset');
    clock.advance(599_000);
    await verified(authentication, accessToken);
    clock.advance(1_000);
    await assertRefused(() => authentication.verify(accessToken), 'issuer_unavailable', 'issuer_unavailable');
    assert.equal(authentication.status()[0]?.ready, false);
    assert.equal(authentication.status()[0]?.keyCount, 0);
  });
});

describe('A5 a flood of unknown kids', () => {
  const flood = (authentication: Authentication): Promise<unknown[]> =>
    Promise.all(
      Array.from({ length: 60 }, async (_, index) => {
        try {
          return await authentication.verify(withKid(`random-${index}`));
        } catch (error) {
          return error;
        }
      }),
    );

  it('60 in parallel cause one fetch, and none more before the cool-down is over', async () => {
    const { authentication, clock } = await start();
    await flood(authentication);
    await flood(authentication);
    assert.equal(issuer.requests.jwks, 2);
    clock.advance(29_999);
    await flood(authentication);
    assert.equal(issuer.requests.jwks, 2);
    clock.advance(1);
    await flood(authentication);
    await flood(authentication);
    assert.deepEqual(issuer.requests, { metadata: 1, jwks: 3, other: 0 });
  });

  it('60 in parallel cause one fetch at most while the issuer is down', async () => {
    const { authentication, clock } = await start();
    issuer.fail('500', 'jwks');
    clock.advance(30_000);
    await flood(authentication);
    await flood(authentication);
    assert.equal(issuer.requests.jwks, 2);
  });

  it('60 in parallel cause one fetch at most when there never were any keys', async () => {
    issuer.fail('500');
    const { authentication } = compile();
    const answers = await flood(authentication);
    await flood(authentication);
    assert.equal(issuer.requests.metadata, 1);
    assert.ok(
      answers.every(
        (answer) => answer instanceof Error && 'code' in answer && answer.code === 'issuer_unavailable',
      ),
    );
  });

  it('never starves the scheduled fetch', async () => {
    const keySet = new KeySet(optionsFor({ refreshMs: 60, cooldownMs: 1 }));
    await keySet.start();
    const attackUntil = issuer.requests.metadata + 3;
    // Only the scheduled fetch reads the metadata again.
    await until(async () => {
      await keySet.keyFor('random').catch(() => null);
      return issuer.requests.metadata >= attackUntil;
    });
    keySet.close();
  });
});

describe('A6 overlapping fetches', () => {
  it('share one flight, so that a late answer of an older one never replaces newer keys', async () => {
    const keySet = new KeySet(optionsFor({ timeoutMs: 100 }));
    await keySet.start();
    const release = issuer.hold();
    const slow = keySet.refresh();
    const joined = keySet.refresh();
    await Promise.all([slow, joined]);
    assert.equal(issuer.requests.metadata, 2, 'the second joined the first');
    assert.match(keySet.problem ?? '', /in time/);
    const heldBack = publishNext(false);
    release();
    await keySet.refresh();
    assert.equal((await keySet.keyFor(heldBack.kid)).keyId, heldBack.kid);
    await sleep(20);
    await assertRefused(() => keySet.keyFor(spare[0]?.kid ?? ''), 'invalid_token', 'kid_unknown');
    keySet.close();
  });

  it('are followed by one of its own for a key that was published while they were under way', async () => {
    const keySet = new KeySet(optionsFor({}));
    await keySet.start();
    const release = issuer.hold();
    const late = keySet.refresh();
    await until(async () => issuer.requests.metadata === 2);
    const [next] = [publishNext()];
    const asked = Promise.all([keySet.keyFor(next.kid), keySet.keyFor(next.kid)]);
    release();
    await late;
    for (const key of await asked) assert.equal(key.keyId, next.kid);
    keySet.close();
  });

  it('ignores an answer that comes after the time limit even if the fetch cannot be broken off', async () => {
    const answers: ((document: Record<string, unknown>) => void)[] = [];
    const keySet = new KeySet(
      optionsFor({
        timeoutMs: 20,
        fetchDocument: () => new Promise((resolve) => answers.push(resolve)),
      }),
    );
    await keySet.start();
    answers[0]?.({ issuer: issuer.issuer, jwks_uri: `${issuer.issuer}/keys` });
    await sleep(5);
    answers[1]?.({ keys: [spare[0]?.jwk] });
    await sleep(5);
    assert.equal(keySet.isUsable, false);
    keySet.close();
  });
});

describe('A7 odd entries in a key set', () => {
  const rsa = (bits: number): SigningKey => createSigningKey('RS256', `rsa-${bits}`, bits);
  const odd: [string, () => unknown][] = [
    ['null', () => null],
    ['a text', () => 'key'],
    ['a list', () => []],
    ['an empty object', () => ({})],
    ['an encryption key', () => ({ ...spare[1]?.jwk, use: 'enc' })],
    ['a key for signing only', () => ({ ...spare[1]?.jwk, key_ops: ['sign'] })],
    ['key_ops that is no list', () => ({ ...spare[1]?.jwk, key_ops: 'verify' })],
    ['a symmetric key', () => ({ kty: 'oct', kid: spare[1]?.kid, k: 'c2VjcmV0', alg: 'HS256' })],
    [
      'a symmetric key that says RS256',
      () => ({ kty: 'oct', kid: spare[1]?.kid, k: 'c2VjcmV0', alg: 'RS256' }),
    ],
    ['a private key', () => ({ ...spare[1]?.privateKey.export({ format: 'jwk' }), kid: spare[1]?.kid })],
    ['an EC key', () => createSigningKey('ES256', spare[1]?.kid).jwk],
    ['another algorithm', () => ({ ...spare[1]?.jwk, alg: 'PS256' })],
    ['alg none', () => ({ ...spare[1]?.jwk, alg: 'none' })],
    ['no kid', () => ({ ...spare[1]?.jwk, kid: undefined })],
    ['a kid that is a number', () => ({ ...spare[1]?.jwk, kid: 7 })],
    ['an empty kid', () => ({ ...spare[1]?.jwk, kid: '' })],
    ['no modulus', () => ({ ...spare[1]?.jwk, n: undefined })],
    ['a modulus that is no base64url', () => ({ ...spare[1]?.jwk, n: 7 })],
    ['an RSA key of 1024 bits', () => ({ ...rsa(1024).jwk, kid: spare[1]?.kid })],
    ['an RSA exponent of 1', () => ({ ...spare[1]?.jwk, e: 'AQ' })],
    ['an even RSA exponent', () => ({ ...spare[1]?.jwk, e: 'AgAA' })],
  ];
  for (const [title, entry] of odd) {
    it(`ignores ${title} without breaking the good one`, async () => {
      issuer.publish([entry(), spare[0]?.jwk, entry()]);
      const { authentication } = await start();
      await verified(authentication, issuer.mint());
      assert.equal(authentication.status()[0]?.keyCount, 1);
      const refusal = mintAccessToken({ issuer: issuer.issuer, key: spare[1] as SigningKey });
      await assertRefused(() => authentication.verify(refusal), 'invalid_token', 'kid_unknown');
    });
  }

  it('of two keys with one kid the first counts', async () => {
    const { kid } = issuer.key();
    issuer.publish([spare[0]?.jwk, { ...spare[1]?.jwk, kid }, spare[0]?.jwk]);
    const { authentication } = await start();
    await verified(authentication, issuer.mint());
    const second = mintAccessToken({ issuer: issuer.issuer, key: spare[1] as SigningKey, header: { kid } });
    await assertRefused(() => authentication.verify(second), 'invalid_token', 'signature');
  });

  it('of two keys with one kid the one already known stays, whatever the order', async () => {
    const { authentication } = await start();
    issuer.publish([{ ...spare[1]?.jwk, kid: issuer.key().kid }, spare[0]?.jwk]);
    await authentication.refresh();
    await verified(authentication, issuer.mint());
  });

  it('a key without alg serves the first listed algorithm of its kind, and no other', async () => {
    issuer.publish([{ ...spare[0]?.jwk, alg: undefined, use: undefined }]);
    const { authentication } = await start({ algorithms: ['ES256', 'PS256', 'RS256'] });
    await assertRefused(() => authentication.verify(issuer.mint()), 'invalid_token', 'alg');
    const key = { ...(spare[0] as SigningKey), alg: 'PS256' };
    await verified(authentication, mintAccessToken({ issuer: issuer.issuer, key }));
  });

  for (const alg of ['PS256', 'ES256', 'ES384', 'EdDSA', 'RS512']) {
    it(`verifies ${alg} where the policy lists it`, async () => {
      const key = createSigningKey(alg);
      issuer.publish([key.jwk]);
      const { authentication } = await start({ algorithms: [alg] });
      await verified(authentication, mintAccessToken({ issuer: issuer.issuer, key }));
      await assertRefused(() => authentication.verify(issuer.mint()), 'invalid_token', 'alg');
    });
  }

  it('refuses an all-zero ES256 signature', async () => {
    const key = createSigningKey('ES256');
    issuer.publish([key.jwk]);
    const { authentication } = await start({ algorithms: ['ES256'] });
    const unsigned = mintAccessToken({ issuer: issuer.issuer, key }).replace(/[^.]+$/, '');
    await assertRefused(
      () => authentication.verify(unsigned + Buffer.alloc(64).toString('base64url')),
      'invalid_token',
      'signature',
    );
  });

  it('reads at most 200 entries', async () => {
    issuer.publish([...Array.from({ length: 200 }, () => ({})), spare[0]?.jwk]);
    const { authentication } = await start();
    assert.equal(authentication.status()[0]?.ready, false);
  });

  it('takes a keys member that is no list for a bad answer', async () => {
    const keySet = new KeySet(
      optionsFor({ fetchDocument: async (url) => (url.endsWith('/keys') ? { keys: 'none' } : metadata()) }),
    );
    await keySet.start();
    assert.match(keySet.problem ?? '', /no usable key/);
    keySet.close();
  });
});

describe('A8 a restart while the issuer is down', () => {
  let dataDir: string;
  before(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'sallyport-keys-'));
  });
  after(() => rm(dataDir, { recursive: true }));

  it('goes on with the last good keys from disk, which are private', async () => {
    const first = await start({}, { dataDir });
    const accessToken = issuer.mint();
    await verified(first.authentication, accessToken);
    const folder = join(dataDir, 'issuer-keys');
    const [file, ...more] = await readdir(folder);
    assert.ok(file !== undefined && more.length === 0);
    assert.equal((await stat(join(folder, file))).mode & 0o777, 0o600);
    assert.equal((await stat(folder)).mode & 0o777, 0o700);

    issuer.fail('reset');
    const second = await start({}, { dataDir });
    const principal = await verified(second.authentication, accessToken);
    assert.equal(principal.subject, 'account-1');
    const [status] = second.authentication.status();
    assert.equal(status?.ready, true);
    assert.match(status.problem ?? '', /reset|broke/);

    // A key that was withdrawn before the restart does not come back with the file's next reading.
    await assertRefused(() => second.authentication.verify(withKid('other')), 'issuer_unavailable');
  });

  it('does not use keys from disk that are older than max_age', async () => {
    await start({}, { dataDir });
    issuer.fail('reset');
    const { authentication, clock } = compile({}, { dataDir });
    clock.wallMs += 86_400_000;
    await authentication.start();
    await assertRefused(() => authentication.verify(issuer.mint()), 'issuer_unavailable');
  });

  it('does not use keys from disk that were written in the future', async () => {
    await start({}, { dataDir });
    issuer.fail('reset');
    const { authentication, clock } = compile({}, { dataDir });
    clock.wallMs -= 3_600_000;
    await authentication.start();
    await assertRefused(() => authentication.verify(issuer.mint()), 'issuer_unavailable');
  });

  for (const [title, content] of [
    ['half a file', (text: string) => text.slice(0, 20)],
    ['another issuer', (text: string) => text.replace(/"issuer":"[^"]+"/, '"issuer":"https://evil.example"')],
    ['an unknown member', (text: string) => text.replace('{', '{"x":1,')],
    ['nothing', () => ''],
  ] as const) {
    it(`does not use a file with ${title}`, async () => {
      await start({}, { dataDir });
      const folder = join(dataDir, 'issuer-keys');
      for (const name of await readdir(folder)) {
        const path = join(folder, name);
        const text = await readFile(path, 'utf8');
        if (text.includes(issuer.issuer)) await writeFile(path, content(text));
      }
      issuer.fail('reset');
      const { authentication } = await start({}, { dataDir });
      await assertRefused(() => authentication.verify(issuer.mint()), 'issuer_unavailable');
    });
  }

  it('without any file answers 503, says why, and recovers by itself', async () => {
    issuer.fail('500');
    const keySet = new KeySet(optionsFor({}));
    await keySet.start();
    const refusal = await refusalOf(() => keySet.keyFor(issuer.key().kid), 'issuer_unavailable');
    assert.equal(refusal.retryAfterSeconds, 1);
    assert.match(keySet.problem ?? '', /the answer is 500/);
    issuer.fail(null);
    await until(() => keySet.isUsable);
    await keySet.keyFor(issuer.key().kid);
    keySet.close();
  });

  it('goes on without a disk that can be written, and says so', async () => {
    const file = join(dataDir, 'not-a-folder');
    await writeFile(file, '');
    const { authentication, logLines } = await start({}, { dataDir: file });
    await verified(authentication, issuer.mint());
    assert.ok(logLines.some((line) => String(line['msg']).includes('could not be kept')));
  });

  it('keeps no private member of a published key on disk', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sallyport-keys-'));
    issuer.publish([spare[0]?.jwk, { ...spare[1]?.privateKey.export({ format: 'jwk' }), kid: 'leaked' }, 7]);
    await start({}, { dataDir: folder });
    const [file = ''] = await readdir(join(folder, 'issuer-keys'));
    const text = await readFile(join(folder, 'issuer-keys', file), 'utf8');
    assert.ok(!text.includes('"d"') && !text.includes('leaked'));
    await rm(folder, { recursive: true });
  });
});

describe('A9 the metadata', () => {
  const bad: [string, () => Record<string, unknown>, RegExp][] = [
    ['an issuer that differs by a slash', () => ({ issuer: `${issuer.issuer}/` }), /another issuer/],
    ['another issuer', () => ({ issuer: 'https://evil.example' }), /another issuer/],
    ['no issuer', () => ({ issuer: undefined }), /another issuer/],
    ['no jwks_uri', () => ({ jwks_uri: undefined }), /no jwks_uri/],
    ['a jwks_uri that is a list', () => ({ jwks_uri: [`${issuer.issuer}/keys`] }), /no jwks_uri/],
    ['a jwks_uri that is no address', () => ({ jwks_uri: '/keys' }), /no jwks_uri/],
    ['a jwks_uri in plain HTTP elsewhere', () => ({ jwks_uri: 'http://keys.example/keys' }), /not https/],
    [
      'a jwks_uri of the cloud metadata service',
      () => ({ jwks_uri: 'http://169.254.169.254/keys' }),
      /not https/,
    ],
    ['a jwks_uri that is a file', () => ({ jwks_uri: 'file:///etc/passwd' }), /not https/],
    ['a jwks_uri with inline data', () => ({ jwks_uri: 'data:application/json,{"keys":[]}' }), /not https/],
  ];
  for (const [title, members, problem] of bad) {
    it(`with ${title} is refused`, async () => {
      issuer.setMetadata(members());
      const { authentication } = await start();
      await assertRefused(() => authentication.verify(issuer.mint()), 'issuer_unavailable');
      assert.match(authentication.status()[0]?.problem ?? '', problem);
      assert.equal(issuer.requests.jwks, 0);
    });
  }

  it('of an https issuer may not point at plain HTTP, not even on loopback', async () => {
    const form: KeySource = {
      issuer: 'https://login.example',
      metadataUrl: 'https://login.example/m',
      jwksUrl: null,
    };
    const fetchDocument = async (): Promise<Record<string, unknown>> => ({
      issuer: form.issuer,
      jwks_uri: 'http://127.0.0.1/keys',
    });
    const keySet = new KeySet(optionsFor({ form, fetchDocument }));
    await keySet.start();
    assert.match(keySet.problem ?? '', /not https/);
    keySet.close();
  });

  it('of a plain HTTP issuer may point at plain HTTP elsewhere where the policy accepts that', async () => {
    const fetchDocument = async (url: string): Promise<Record<string, unknown>> =>
      url.startsWith('http://keys.internal/')
        ? { keys: [spare[0]?.jwk] }
        : { ...metadata(), jwks_uri: 'http://keys.internal/keys' };
    const keySet = new KeySet(optionsFor({ fetchDocument, allowsPlainHttp: true }));
    await keySet.start();
    assert.equal(keySet.keyCount, 1);
    keySet.close();
  });

  it('is read again after a failure, since the keys may have moved', async () => {
    const { authentication, clock } = await start();
    issuer.fail('500', 'jwks');
    clock.advance(30_000);
    await assertRefused(() => authentication.verify(withKid('a')), 'issuer_unavailable');
    issuer.fail(null);
    clock.advance(30_000);
    await assertRefused(() => authentication.verify(withKid('a')), 'invalid_token', 'kid_unknown');
    assert.equal(issuer.requests.metadata, 2);
  });
});

describe('an issuer that cannot be reached', () => {
  it('is named with its problem when nothing listens there', async () => {
    const keySet = new KeySet(optionsFor({}));
    await issuer.close();
    await keySet.start();
    assert.match(keySet.problem ?? '', /nothing listens there/);
    keySet.close();
    issuer = await startFakeIssuer({ keys: spare.slice(0, 1) });
  });

  it('is told apart by name from other faults', async () => {
    const fetchDocument = documentFetcher();
    const cases: [string, RegExp][] = [
      ['http://nobody.invalid/x', /host name/],
      [`https://127.0.0.1:${issuer.port}/x?secret=1`, /x: .+/],
    ];
    for (const [url, problem] of cases) {
      await assert.rejects(fetchDocument(url, AbortSignal.timeout(3_000)), (error: Error) => {
        assert.match(error.message, problem);
        assert.ok(!error.message.includes('secret'));
        return true;
      });
    }
  });

  it('says something also when a fetch fails in an odd way', async () => {
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- The point.
    const keySet = new KeySet(optionsFor({ fetchDocument: () => Promise.reject('odd') }));
    await keySet.start();
    assert.equal(keySet.problem, 'the fetch failed');
    keySet.close();
  });
});

describe('start and close', () => {
  it('a set shared by two holders goes on until both have closed it', async () => {
    const keySet = new KeySet(optionsFor({ refreshMs: 20 }));
    await keySet.start();
    await keySet.start();
    keySet.close();
    const asked = issuer.requests.metadata;
    await until(() => issuer.requests.metadata >= asked + 2);
    keySet.close();
    keySet.close();
    await keySet.refresh();
    await keySet.keyFor(issuer.key().kid);
  });

  it('a close in mid-fetch breaks it off without calling it an outage, and a start fetches afresh', async () => {
    const { authentication, logLines } = compile();
    const release = issuer.hold();
    const starting = authentication.start();
    authentication.close();
    await starting;
    assert.equal(authentication.status()[0]?.ready, false);
    assert.equal(logLines.length, 0);
    const again = authentication.start();
    release();
    await again;
    assert.equal(authentication.status()[0]?.ready, true);
  });

  it('a start right after a close in mid-fetch does not take the broken fetch for its own', async () => {
    const keySet = new KeySet(optionsFor({}));
    const release = issuer.hold();
    const first = keySet.start();
    keySet.close();
    const second = keySet.start();
    release();
    await Promise.all([first, second]);
    assert.equal(keySet.isUsable, true);
    keySet.close();
  });

  it('before any start says that nothing was fetched', () => {
    const { authentication } = compile();
    const [status] = authentication.status();
    assert.deepEqual(
      [status?.ready, status?.problem, status?.keysFetchedAt],
      [false, 'the keys have not been fetched yet', null],
    );
    authentication.close();
  });

  it('a second start of the same Authentication does nothing', async () => {
    const { authentication } = await start();
    await authentication.start();
    assert.equal(issuer.requests.jwks, 1);
  });
});

describe('documents that are read elsewhere than at the issuer', () => {
  /** Its tokens name an address that nothing here can reach. */
  const elsewhere = 'https://login.example/x';
  let reachable: FakeIssuer;
  beforeEach(async () => {
    reachable = await startFakeIssuer({ keys: spare.slice(0, 1), issuer: elsewhere, path: '/in' });
  });
  afterEach(() => reachable.close());

  const documents = (): { metadata_url: string; jwks_url: string } => ({
    metadata_url: `${reachable.origin}/in/.well-known/openid-configuration`,
    jwks_url: `${reachable.origin}/in/keys`,
  });
  async function startElsewhere(
    settings: Record<string, unknown>,
    deps: Partial<AuthenticationDeps> = {},
  ): Promise<UnderTest> {
    const underTest = authenticationOf({ it: entryFor(elsewhere, settings) }, deps);
    started.push(underTest.authentication);
    await underTest.authentication.start();
    return underTest;
  }

  it('metadata_url is read instead of the well-known address, and its jwks_uri followed', async () => {
    const { authentication } = await startElsewhere({ metadata_url: documents().metadata_url });
    assert.equal((await verified(authentication, reachable.mint())).issuer, elsewhere);
    assert.deepEqual(reachable.requests, { metadata: 1, jwks: 1, other: 0 });
    assert.equal(authentication.status()[0]?.metadataUrl, documents().metadata_url);
  });

  it('metadata_url is refused when the document names another issuer, its own address included', async () => {
    for (const other of [reachable.origin, `${elsewhere}/`, 'https://login.example/y']) {
      reachable.setMetadata({ issuer: other });
      const { authentication } = await startElsewhere({ metadata_url: documents().metadata_url });
      await assertRefused(() => authentication.verify(reachable.mint()), 'issuer_unavailable');
      assert.match(authentication.status()[0]?.problem ?? '', /names another issuer/);
    }
    assert.equal(reachable.requests.jwks, 0);
  });

  it('jwks_url is read without any metadata', async () => {
    reachable.fail('500', 'metadata');
    const { authentication } = await startElsewhere({ jwks_url: documents().jwks_url });
    await verified(authentication, reachable.mint());
    assert.deepEqual(reachable.requests, { metadata: 0, jwks: 1, other: 0 });
  });

  it('jwks_url wins over the jwks_uri of the metadata', async () => {
    reachable.setMetadata({ jwks_uri: 'https://keys.example/keys' });
    const { authentication } = await startElsewhere(documents());
    await verified(authentication, reachable.mint());
    assert.equal(reachable.requests.metadata, 0);
  });

  it('jwks_url keeps to rotation: a withdrawn key stops, an unknown one costs one request', async () => {
    const { authentication, clock } = await startElsewhere({ jwks_url: documents().jwks_url });
    const old = reachable.mint();
    await verified(authentication, old);
    const next = reachable.rotate({ keepOld: false });
    clock.advance(30_000);
    await verified(authentication, mintAccessToken({ issuer: elsewhere, key: next }));
    await assertRefused(() => authentication.verify(old), 'invalid_token', 'kid_unknown');
    assert.deepEqual(reachable.requests, { metadata: 0, jwks: 2, other: 0 });
  });

  it('does not accept a token that names the address of the documents as its issuer', async () => {
    const { authentication } = await startElsewhere(documents());
    const forged = mintAccessToken({ issuer: `${reachable.origin}/in`, key: reachable.key() });
    await assertRefused(() => authentication.verify(forged), 'invalid_token', 'iss');
  });

  it('says which document cannot be read', async () => {
    reachable.fail('500', 'jwks');
    const { authentication } = await startElsewhere(documents());
    assert.match(authentication.status()[0]?.problem ?? '', /\/in\/keys: the answer is 500/);
  });

  it('starts from the last good keys while the documents cannot be read', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'sallyport-keys-'));
    await startElsewhere(documents(), { dataDir });
    reachable.fail('reset');
    const { authentication } = await startElsewhere(documents(), { dataDir });
    await verified(authentication, reachable.mint());
    await rm(dataDir, { recursive: true });
  });
});

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 2_000; attempt++) {
    if (await condition()) return;
    await sleep(5);
  }
  assert.fail('it never came true');
}

function metadata(): Record<string, unknown> {
  return { issuer: issuer.issuer, jwks_uri: `${issuer.issuer}/keys` };
}

function optionsFor(changes: Partial<KeySetOptions>): KeySetOptions {
  return {
    form: {
      issuer: issuer.issuer,
      metadataUrl: `${issuer.issuer}/.well-known/openid-configuration`,
      jwksUrl: null,
    },
    requirements: { algorithms: ['RS256'], keyIssuers: null },
    maxAgeMs: 60_000,
    cooldownMs: 30_000,
    refreshMs: 60_000,
    timeoutMs: 4_000,
    allowsPlainHttp: false,
    fetchDocument: documentFetcher(),
    lastGood: null,
    log: createLog('gateway', 'silent'),
    now: Date.now,
    monotonic: () => performance.now(),
    ...changes,
  };
}
