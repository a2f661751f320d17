import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { createLog } from '../../../../core/log.ts';
import {
  followIdentityTuples,
  tuplesIn,
  type FetchTuples,
  type IdentityTuples,
} from '../../../../gateway/authorize/relations/identity-tuples.ts';
import { eventually } from '../../../support/serve.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** Identity as the border sees it: a document with a tag, which can be away. */
class FakeIdentity {
  tuples: readonly string[] = [];
  isAway = false;
  asked: (string | null)[] = [];
  hold: Promise<void> = Promise.resolve();
  readonly fetch: FetchTuples = async (etag) => {
    this.asked.push(etag);
    const { tuples } = this;
    await this.hold;
    if (this.isAway) throw new Error('nothing listens there');
    const now = JSON.stringify(tuples);
    return etag === now ? null : { etag: now, tuples };
  };
}

function follow(
  identity: FakeIdentity,
  options: Partial<Parameters<typeof followIdentityTuples>[0]> = {},
): IdentityTuples {
  const followed = followIdentityTuples({
    fetch: identity.fetch,
    toleranceMs: 3_600_000,
    pollMs: 3_600_000,
    retryMs: 5,
    log: createLog('test', 'silent'),
    ...options,
  });
  followed.wanted();
  closing.push(() => followed.close());
  return followed;
}

describe('the relations of identity', () => {
  it('are not known until they were read, and then are', async () => {
    const identity = new FakeIdentity();
    identity.tuples = ['team:t#member@user:a'];
    const followed = follow(identity);
    assert.equal(followed.current(), null);
    assert.ok(followed.problem());
    await eventually('they are read', () => followed.current() !== null);
    assert.deepEqual(followed.current(), ['team:t#member@user:a']);
    assert.equal(followed.problem(), null);
  });

  it('are read when identity says that they changed, also while a reading is under way', async () => {
    const identity = new FakeIdentity();
    const followed = follow(identity);
    await eventually('they are read', () => followed.current() !== null);
    let release = (): void => undefined;
    identity.hold = new Promise((resolve) => (release = resolve));
    followed.changed();
    identity.tuples = ['team:t#member@user:b']; // After the reading began: it answers the old ones.
    followed.changed();
    release();
    await eventually('the change is seen', () => followed.current()?.length === 1);
  });

  it('are read again after a while without a word, and keep their identity while the tag does', async () => {
    const identity = new FakeIdentity();
    const followed = follow(identity, { pollMs: 5 });
    await eventually('they are read twice', () => identity.asked.length > 2);
    const first = followed.current();
    await eventually('they are read again', () => identity.asked.length > 4);
    assert.equal(followed.current(), first);
    assert.deepEqual(identity.asked.slice(0, 2), [null, '[]']);
    identity.tuples = ['team:t#member@user:c'];
    await eventually('the change is seen', () => followed.current()?.length === 1);
  });

  it('are believed for a while when identity is away, then are not known, and come back', async () => {
    const identity = new FakeIdentity();
    let now = 0;
    const followed = follow(identity, { toleranceMs: 1_000, pollMs: 5, clock: () => now });
    await eventually('they are read', () => followed.current() !== null);
    identity.isAway = true;
    await eventually('the outage is seen', () => followed.problem() === 'nothing listens there');
    assert.deepEqual(followed.current(), []);
    now = 10_000;
    assert.equal(followed.current(), null);
    identity.isAway = false;
    await eventually('they are back', () => followed.current() !== null);
    assert.equal(followed.problem(), null);
  });

  it('are read no more after the end', async () => {
    const identity = new FakeIdentity();
    const followed = follow(identity, { pollMs: 1 });
    await eventually('they are read', () => followed.current() !== null);
    followed.close();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const { length } = identity.asked;
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(identity.asked.length, length);
  });

  for (const document of [null, {}, { tuples: 'x' }, { tuples: ['a', 7] }, { tuples: { 0: 'a' } }])
    it(`are none in ${JSON.stringify(document)}`, () => assert.throws(() => tuplesIn(document)));
});
