// The share of the event loop's time that work in place may take: a burst, then half of what passes.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { InPlaceTime } from '../../gateway/in-place-time.ts';

/** A budget under a clock that only work and the test move. */
function budget() {
  const clock = { ms: 1_000 };
  const time = new InPlaceTime(() => clock.ms);
  const work = (ms: number) => (): string => {
    clock.ms += ms;
    return 'done';
  };
  return { clock, time, work };
}

describe('work in place', () => {
  it('is done while a burst is short, and refused from then on', () => {
    const { time, work } = budget();
    assert.equal(time.spend(work(0.1)), 'done');
    assert.equal(time.spend(work(0.1)), 'done');
    let done = 2;
    while (time.spend(work(0.1)) !== null) assert.ok(++done < 10, 'it never ends');
    assert.equal(time.spend(work(0.1)), null);
  });

  it('is never more than half of the time that passes, but for the burst and one piece', () => {
    const { clock, time, work } = budget();
    let spent = 0;
    const start = clock.ms;
    for (let step = 0; step < 10_000; step++) {
      if (time.spend(work(0.07)) !== null) spent += 0.07;
      if (step % 3 === 0) clock.ms += 0.05;
      assert.ok(spent <= (clock.ms - start) / 2 + 0.2 + 0.07 + 1e-9);
    }
    assert.ok(spent > (clock.ms - start) / 3, 'it is used at all');
  });

  it('that took long by itself is paid for before the next', () => {
    const { clock, time, work } = budget();
    assert.equal(time.spend(work(5)), 'done');
    assert.equal(time.spend(work(0)), null);
    clock.ms += 4;
    assert.equal(time.spend(work(0)), null);
    clock.ms += 6;
    assert.equal(time.spend(work(0)), 'done');
  });

  it('is paid for when it throws', () => {
    const { clock, time } = budget();
    const fail = (): never => {
      clock.ms += 1;
      throw new Error('broken');
    };
    assert.throws(() => time.spend(fail), /broken/);
    assert.equal(
      time.spend(() => 'done'),
      null,
    );
  });

  it('is refused, not done for nothing, when the clock was set back', () => {
    const { clock, time, work } = budget();
    time.spend(work(1));
    clock.ms -= 100;
    assert.equal(time.spend(work(0)), null);
  });
});
