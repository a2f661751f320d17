import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AssertionSubject } from '../../../gateway/forward/assertion.ts';
import { KeptAssertions, nameOf } from '../../../gateway/forward/kept-assertions.ts';

const subjectOf = (caller: number): AssertionSubject => ({
  subject: `https://issuer.test ${caller}`,
  clientId: 'cli',
  roles: new Set(['LLM.User']),
  credential: 'access_token',
  service: 'model-server',
});

describe('assertions that are kept', () => {
  it('are renewed where more callers come than fit: each that has a place keeps it', () => {
    let now = 1_800_000_000_000;
    const kept = new KeptAssertions(() => now);
    const found = (caller: number): string | null => kept.find(nameOf(subjectOf(caller)), subjectOf(caller));
    const keep = (caller: number, assertion: string): void =>
      kept.keep(nameOf(subjectOf(caller)), subjectOf(caller), { assertion, issuedAt: now / 1000 });
    const callers = Array.from({ length: 6_000 }, (_, caller) => caller);
    for (const caller of callers) keep(caller, `first of ${caller}`);
    const served = callers.filter((caller) => found(caller) !== null);
    assert.ok(served.length > 1_000 && served.length < 6_000, `${served.length} of 6000`);

    // All of them are in use until the assertions are too old to be used.
    for (let second = 0; second < 40; second += 4) {
      assert.deepEqual(
        callers.filter((caller) => found(caller) !== null),
        served,
      );
      now += 4_000;
    }
    for (const caller of served) {
      assert.equal(found(caller), null);
      keep(caller, `next of ${caller}`);
      assert.equal(found(caller), `next of ${caller}`);
    }
  });

  it('are not kept for one more while all are in use', () => {
    const kept = new KeptAssertions(() => 1_800_000_000_000);
    for (let caller = 0; caller < 6_000; caller++)
      kept.keep(nameOf(subjectOf(caller)), subjectOf(caller), { assertion: 'x', issuedAt: 1_800_000_000 });
    assert.notEqual(kept.find(nameOf(subjectOf(0)), subjectOf(0)), null);
    assert.equal(kept.find(nameOf(subjectOf(5_999)), subjectOf(5_999)), null);
  });
});
