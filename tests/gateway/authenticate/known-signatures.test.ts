// What is remembered of signatures: exactly the text and the key that were good, within a fixed size.
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import type { IssuerKey } from '../../../gateway/authenticate/issuer-keys.ts';
import { KnownSignatures } from '../../../gateway/authenticate/known-signatures.ts';
import { startFakeIssuer, type FakeIssuer } from '../../support/fake-issuer.ts';
import { assertRefused, authenticationOf, entryFor, verified } from './authentication-under-test.ts';

const digestOf = (text: string): string => hash('sha256', text, 'binary');
// Only its identity counts.
const someKey = (): IssuerKey => ({}) as IssuerKey;

describe('known signatures', () => {
  it('are known for the same text and the same key alone', () => {
    const signatures = new KnownSignatures(16);
    const key = someKey();
    signatures.add(digestOf('a'), key);
    assert.equal(signatures.has(digestOf('a'), key), true);
    assert.equal(signatures.has(digestOf('b'), key), false);
    assert.equal(signatures.has(digestOf('a'), someKey()), false);
    const other = someKey();
    signatures.add(digestOf('b'), other);
    assert.equal(signatures.has(digestOf('a'), other), false);
    assert.equal(signatures.has(digestOf('b'), other), true);
  });

  it('differ by any byte of the digest', () => {
    const signatures = new KnownSignatures(1);
    const key = someKey();
    const digest = digestOf('a');
    signatures.add(digest, key);
    for (let at = 0; at < 32; at++) {
      const changed = Buffer.from(digest, 'latin1');
      changed[at] = (changed[at] ?? 0) ^ 0x80;
      assert.equal(signatures.has(changed.toString('latin1'), key), false, `byte ${at}`);
    }
    assert.equal(signatures.has(digest, key), true);
  });

  it('know nothing at first, a digest of zeros included', () => {
    const signatures = new KnownSignatures(1);
    const key = someKey();
    signatures.add(digestOf('a'), key);
    assert.equal(signatures.has('\0'.repeat(32), key), false);
  });

  it('forget the oldest of a full set, and take a text only once', () => {
    const signatures = new KnownSignatures(1);
    const key = someKey();
    for (let again = 0; again < 100; again++) signatures.add(digestOf('same'), key);
    for (let index = 0; index < 7; index++) signatures.add(digestOf(`${index}`), key);
    assert.equal(signatures.has(digestOf('same'), key), true);
    signatures.add(digestOf('one more'), key);
    assert.equal(signatures.has(digestOf('same'), key), false);
    assert.equal(signatures.has(digestOf('0'), key), true);
  });

  it('take a fixed size under 300,000 texts, and hold most of 100,000', () => {
    const signatures = new KnownSignatures();
    const key = someKey();
    const { maxBytes } = signatures;
    assert.ok(maxBytes < 5 * 1_048_576);
    for (let index = 0; index < 100_000; index++) signatures.add(digestOf(`${index}`), key);
    let held = 0;
    for (let index = 0; index < 100_000; index++) if (signatures.has(digestOf(`${index}`), key)) held++;
    assert.ok(held > 90_000, `${held}`);
    for (let index = 100_000; index < 300_000; index++) signatures.add(digestOf(`${index}`), key);
    assert.equal(signatures.maxBytes, maxBytes);
    assert.equal(signatures.has(digestOf('299999'), key), true);
  });
});

describe('an access token whose signature is known', () => {
  let issuer: FakeIssuer;
  before(async () => {
    issuer = await startFakeIssuer();
  });
  after(() => issuer.close());

  it('outlives a reload, and is judged anew by every rule of the new policies', async () => {
    const { authentication, clock } = authenticationOf({ embedded: entryFor(issuer.issuer) });
    const accessToken = issuer.mint();
    await verified(authentication, accessToken);
    const next = (extra: Record<string, unknown>, previous = authentication) =>
      authenticationOf(
        { embedded: entryFor(issuer.issuer, extra) },
        { previous, now: clock.now, monotonic: clock.monotonic },
      ).authentication;
    const same = next({});
    assert.ok(!(same.verify(accessToken) instanceof Promise), 'no signature is checked a second time');
    for (const [extra, reason] of [
      [{ audiences: ['api://other'] }, 'aud'],
      [{ client_ids: ['other'] }, 'client_id'],
      [{ token_types: ['JWT'] }, 'typ'],
      [{ algorithms: ['ES256'] }, 'alg'],
    ] as const)
      await assertRefused(() => next(extra).verify(accessToken), 'invalid_token', reason);
    clock.advance(100_000_000);
    await assertRefused(() => same.verify(accessToken), 'invalid_token', 'exp');
  });

  it('is refused once its key is withdrawn', async () => {
    const { authentication, clock } = authenticationOf({ embedded: entryFor(issuer.issuer) });
    const accessToken = issuer.mint();
    await verified(authentication, accessToken);
    issuer.rotate({ keepOld: false });
    await authentication.refresh();
    clock.advance(60_000);
    assert.equal(authentication.seen(accessToken), null);
    await assertRefused(() => authentication.verify(accessToken), 'invalid_token', 'kid_unknown');
  });
});
