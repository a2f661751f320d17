// Which texts came lately: each is new once, and however many come, the memory stays as it is.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { KeptTexts, SecondSight } from '../../gateway/second-sight.ts';

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

  it('is known of each of two thousand that come in turn: none pushes out another for ever', () => {
    const seen = new SecondSight();
    const texts = Array.from(
      { length: 2_000 },
      (_, number) => `https://issuer.example.test caller ${number}`,
    );
    for (const text of texts) seen.came(text);
    assert.deepEqual(
      texts.filter((text) => !seen.came(text)),
      [],
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

describe('what is kept of texts', () => {
  it('is kept from the second sight on, or from a later one where that is asked for', () => {
    for (const sights of [2, 4]) {
      const kept = new KeptTexts<number>({ most: 64, sights });
      for (let sight = 1; sight <= sights; sight++) {
        assert.equal(kept.find('alice'), undefined, `after ${sight - 1} of ${sights}`);
        kept.offer('alice', sight);
      }
      assert.equal(kept.find('alice'), sights);
    }
  });

  it('is kept of each of two thousand that are offered in turn', () => {
    const kept = new KeptTexts<number>({ most: 4_096, sights: 4 });
    const texts = Array.from({ length: 2_000 }, (_, number) => `rate alice-${number}`);
    for (let sight = 0; sight < 4; sight++) for (const text of texts) kept.offer(text, sight);
    assert.deepEqual(
      texts.filter((text) => kept.find(text) === undefined),
      [],
    );
  });

  it('is that of the very text, also where others have its fingerprint', () => {
    const kept = new KeptTexts<string>({ most: 8 });
    // The last characters are alike.
    const [first, second] = ['a', 'b'].map((start) => `${start}${'x'.repeat(40)}`) as [string, string];
    for (const text of [first, first]) kept.offer(text, text);
    assert.equal(kept.find(first), first);
    assert.equal(kept.find(second), undefined);
    kept.offer(second, second);
    assert.equal(kept.find(second), second);
    assert.equal(kept.find(first), first);
  });

  it('is not pushed out by texts that come once', () => {
    const kept = new KeptTexts<true>({ most: 1 });
    for (let sight = 0; sight < 2; sight++) kept.offer('alice', true);
    for (let other = 0; other < 100; other++) kept.offer(`other ${other}`, true);
    assert.equal(kept.find('alice'), true);
  });

  it('goes when too many come again', () => {
    const kept = new KeptTexts<number>({ most: 4 });
    for (let text = 0; text < 5; text++)
      for (let sight = 0; sight < 2; sight++) kept.offer(`text ${text}`, text);
    const found = Array.from({ length: 5 }, (_, text) => kept.find(`text ${text}`));
    assert.deepEqual(found, [undefined, undefined, undefined, undefined, 4]);
  });

  it('stays when too many have just come again: all in use would go, and none be found', () => {
    const kept = new KeptTexts<number>({ most: 4 });
    for (let text = 0; text < 40; text++)
      for (let sight = 0; sight < 2; sight++) kept.offer(`text ${text}`, text);
    const found = Array.from({ length: 40 }, (_, text) => text).filter(
      (text) => kept.find(`text ${text}`) === text,
    );
    assert.deepEqual(found, [4, 5, 6, 7]);
  });

  it('is never that of a text that only looks empty', () => {
    const kept = new KeptTexts<true>({ most: 64 });
    assert.equal(kept.find(''), undefined);
    kept.offer('', true);
    assert.equal(kept.find(''), undefined);
  });
});
