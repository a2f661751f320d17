// The memory of accepted proofs: how long, how much, and what filling it does (P7 of the security reference).
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SeenProofs, type SeenProof } from '../../../gateway/authenticate/seen-proofs.ts';

const windowMs = 90_000;
const startMs = 100 * windowMs;

/** A memory with a clock in seconds from its start; `use` admits a proof of a holder, issued now unless told otherwise. */
function memory(maxEntries?: number) {
  const seen = new SeenProofs({ windowMs, ...(maxEntries === undefined ? {} : { maxEntries }) });
  let second = 0;
  const use = (holder: string, jti: string, issuedAt = second): string => {
    const proof: SeenProof = { holder, jkt: 'key', jti, issuedAt: startMs / 1000 + issuedAt };
    return seen.admit(proof, startMs + second * 1000);
  };
  return { seen, use, at: (to: number) => (second = to), size: () => seen.size };
}

describe('the memory of proofs', () => {
  it('knows a proof again for as long as it could be accepted, wherever in a window it came', () => {
    for (const first of [0, 45, 89.9]) {
      const { use, at } = memory();
      at(first);
      assert.equal(use('ada', 'a'), 'fresh');
      for (const later of [0, 30, 60, 89.9]) {
        at(first + later);
        assert.equal(use('ada', 'a', first), 'replayed', `${first} + ${later}`);
      }
    }
  });

  it('tells keys apart, and proofs', () => {
    const { seen } = memory();
    const proof = { holder: 'ada', jkt: 'one', jti: 'a', issuedAt: startMs / 1000 };
    assert.equal(seen.admit(proof, startMs), 'fresh');
    assert.equal(seen.admit({ ...proof, jkt: 'two' }, startMs), 'fresh');
    assert.equal(seen.admit({ ...proof, jti: 'b' }, startMs), 'fresh');
    assert.equal(seen.admit(proof, startMs), 'replayed');
  });

  it('forgets everything when nobody comes for two windows', () => {
    for (const pauses of [[100, 200, 300], [300]]) {
      const { size, use, at } = memory();
      for (let index = 0; index < 50; index++) use(`holder ${index % 5}`, String(index));
      assert.equal(size(), 55);
      for (const pause of pauses) {
        at(pause);
        use('late', String(pause));
      }
      assert.ok(size() <= 3, String(size()));
    }
  });

  it('forgets nothing early when the clock is set back', () => {
    const { use, at } = memory();
    at(200);
    use('ada', 'a');
    at(10);
    assert.equal(use('ada', 'a', 200), 'replayed');
    assert.equal(use('ada', 'b'), 'fresh');
  });

  it('P7 stays bounded however much one principal sends, who is still refused every replay', () => {
    const { seen, use, at } = memory(100);
    let fresh = 0;
    for (let index = 0; index < 1_000; index++) {
      at(index / 100);
      if (use('mallory', String(index), Math.floor(index / 100)) === 'fresh') fresh++;
      assert.ok(seen.size <= 101);
    }
    assert.ok(fresh >= 100);
    for (let index = 0; index < 1_000; index++) {
      const outcome = use('mallory', String(index), Math.floor(index / 100));
      assert.ok(outcome === 'replayed' || outcome === 'too_many', `${index}: ${outcome}`);
    }
  });

  it('P7 lets everybody else in while one principal fills it, and still refuses their replays', () => {
    const { use, at } = memory(100);
    for (let index = 0; index < 500; index++) {
      at(index / 100);
      // From the future as far as it goes, so as to outlive the others.
      use('mallory', String(index), index / 100 + 30);
      if (index % 50 === 0) assert.equal(use('ada', String(index)), 'fresh', String(index));
    }
    for (let index = 0; index < 500; index += 50)
      assert.equal(use('ada', String(index), index / 100), 'replayed');
    assert.equal(use('grace', 'g'), 'fresh');
  });

  it('P7 takes fresh proofs of whoever filled it again as soon as they are newer', () => {
    const { use, at } = memory(20);
    for (let index = 0; index < 19; index++) assert.equal(use('service', String(index)), 'fresh');
    assert.equal(use('service', 'one more'), 'too_many');
    at(1);
    assert.equal(use('service', 'next second'), 'fresh');
  });

  it('P7 does not forget what it gave up while its proofs could be used', () => {
    const { use, at } = memory(10);
    for (let index = 0; index < 10; index++) use('mallory', String(index), 30);
    for (const later of [10, 60, 89.9]) {
      at(later);
      assert.notEqual(use('mallory', '0', 30), 'fresh', String(later));
    }
  });

  it('P7 refuses newcomers rather than forget, when there is nothing left to give up', () => {
    const { seen, use } = memory(4);
    const outcomes = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((holder) => use(holder, 'x'));
    assert.ok(outcomes.includes('too_many'));
    assert.ok(seen.size <= 5);
    for (const holder of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].filter(
      (_, index) => outcomes[index] === 'fresh',
    ))
      assert.notEqual(use(holder, 'x'), 'fresh');
  });
});
