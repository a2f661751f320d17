// What stages remember of a principal: nothing of one that passes by, and never what was said of another.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { anonymousPrincipal } from '../../gateway/principal.ts';
import { PrincipalMemo } from '../../gateway/principal-memo.ts';

describe('what is remembered of a principal', () => {
  it('is found for that very principal, not for one that is equal or made from him', () => {
    const memo = new PrincipalMemo<object>();
    const principal = Object.freeze(anonymousPrincipal('192.0.2.1'));
    const value = {};
    memo.set(principal, value);
    assert.equal(memo.get(principal), value);
    assert.equal(memo.get(anonymousPrincipal('192.0.2.1')), undefined);
    assert.equal(memo.get({ ...principal, roles: new Set(['LLM.Admin']) }), undefined);
  });

  it('is nothing where he passes by', () => {
    const memo = new PrincipalMemo<object>();
    const passing = { ...anonymousPrincipal('192.0.2.1'), isPassing: true };
    memo.set(passing, {});
    assert.equal(memo.get(passing), undefined);
  });
});
