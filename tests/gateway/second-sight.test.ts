// Which texts came lately: each is new once, and however many come, the memory stays as it is.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { SecondSight } from '../../gateway/second-sight.ts';

describe('the second sight of a text', () => {
  it('is known, the first one is not', () => {
    const seen = new SecondSight();
    const texts = ['', 'a', 'b', 'https://issuer.example.test alice', 'https://issuer.example.test bob'];
    assert.deepEqual(
      texts.map((text) => seen.came(text)),
      texts.map(() => false),
    );
    assert.deepEqual(
      texts.map((text) => seen.came(text)),
      texts.map(() => true),
    );
  });

  it('is not taken for that of another text, but for one in thousands', () => {
    const seen = new SecondSight();
    const mistaken = Array.from({ length: 20_000 }, () => seen.came(`issuer ${randomUUID()}`)).filter(
      Boolean,
    );
    assert.ok(mistaken.length < 5, `${mistaken.length} mistaken`);
  });

  it('is forgotten when enough others came', () => {
    const seen = new SecondSight(2);
    seen.came('first');
    for (let other = 0; other < 64; other++) seen.came(`other ${other}`);
    assert.equal(seen.came('first'), false);
  });
});
