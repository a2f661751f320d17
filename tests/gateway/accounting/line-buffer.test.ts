// Lines keep their order and their bytes, whatever is written meanwhile, and memory is used again and given back after a rush.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bytesOf, LineBuffer } from '../../../gateway/accounting/line-buffer.ts';

const textOf = (pieces: readonly Buffer[]): string => Buffer.concat(pieces).toString('latin1');

describe('lines that wait for the disk', () => {
  it('are taken in their order, once', () => {
    const lines = new LineBuffer();
    lines.add('one\n');
    lines.add('two\n');
    assert.equal(lines.length, 8);
    assert.equal(textOf(lines.take()), 'one\ntwo\n');
    assert.equal(lines.length, 0);
    assert.deepEqual(lines.take(), []);
  });

  it('do not touch what was taken before it is given back', () => {
    const lines = new LineBuffer();
    lines.add('a'.repeat(1_000));
    const taken = lines.take();
    for (let more = 0; more < 400; more++) lines.add('b'.repeat(1_000));
    assert.equal(textOf(taken), 'a'.repeat(1_000));
    lines.giveBack(taken);
    assert.equal(textOf(lines.take()), 'b'.repeat(400_000));
    lines.add('c');
    assert.equal(textOf(lines.take()), 'c');
  });

  it('of two logs never share a piece', () => {
    const [one, other] = [new LineBuffer(), new LineBuffer()];
    for (let turn = 0; turn < 50; turn++) {
      one.add(`one ${turn}`.repeat(20_000));
      other.add(`other ${turn}`.repeat(20_000));
      const [mine, theirs] = [one.take(), other.take()];
      one.add('next');
      assert.equal(textOf(mine), `one ${turn}`.repeat(20_000));
      one.giveBack(mine);
      other.add('x'.repeat(300_000));
      assert.equal(textOf(theirs), `other ${turn}`.repeat(20_000));
      other.giveBack(theirs);
      one.giveBack(one.take());
      other.giveBack(other.take());
    }
  });

  it('may be of any length, and are counted by their bytes', () => {
    for (const length of [131_071, 131_072, 131_073, 262_144, 3_000_000]) {
      const lines = new LineBuffer();
      const long = 'x'.repeat(length);
      lines.add('y');
      lines.add(long);
      assert.equal(lines.length, length + 1);
      const taken = lines.take();
      assert.equal(bytesOf(taken), length + 1);
      assert.equal(textOf(taken), `y${long}`);
    }
  });

  it('use the same memory again, and give up after a rush what nobody needed for a while', () => {
    const clock = { ms: 1e9 };
    const lines = new LineBuffer(() => clock.ms);
    const memories = new Set<ArrayBufferLike>();
    const turn = (bytes: number): void => {
      lines.add('x'.repeat(bytes));
      const taken = lines.take();
      for (const { buffer } of taken) memories.add(buffer);
      lines.giveBack(taken);
    };
    turn(5_000_000);
    const rush = memories.size;
    for (let again = 0; again < 20; again++) turn(5_000_000);
    assert.equal(memories.size, rush);
    for (let seconds = 0; seconds < 20; seconds++) {
      clock.ms += 1_000;
      turn(100);
    }
    turn(5_000_000);
    assert.ok(memories.size > rush + 30, 'the rush is still kept');
  });
});
