// Lines keep their order and their bytes, whatever is written meanwhile, and memory is given back after a rush.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LineBuffer } from '../../../gateway/accounting/line-buffer.ts';

describe('lines that wait for the disk', () => {
  it('are taken in their order, once', () => {
    const lines = new LineBuffer();
    lines.add('one\n');
    lines.add('two\n');
    assert.equal(lines.length, 8);
    assert.equal(lines.take().toString('latin1'), 'one\ntwo\n');
    assert.equal(lines.length, 0);
    assert.equal(lines.take().length, 0);
  });

  it('do not touch what was taken before it is given back', () => {
    const lines = new LineBuffer();
    lines.add('a'.repeat(1_000));
    const taken = lines.take();
    for (let more = 0; more < 200; more++) lines.add('b'.repeat(1_000));
    assert.equal(taken.toString('latin1'), 'a'.repeat(1_000));
    lines.giveBack(taken);
    assert.equal(lines.take().toString('latin1'), 'b'.repeat(200_000));
    lines.add('c');
    assert.equal(lines.take().toString('latin1'), 'c');
  });

  it('may be longer than anything before', () => {
    const lines = new LineBuffer();
    const long = 'x'.repeat(3_000_000);
    lines.add('y');
    lines.add(long);
    assert.equal(lines.take().toString('latin1'), `y${long}`);
  });

  it('use two memories in turn, and none that grew beyond a mebibyte', () => {
    const lines = new LineBuffer();
    const memories = new Set<ArrayBufferLike>();
    for (let turn = 0; turn < 100; turn++) {
      lines.add('line\n');
      const taken = lines.take();
      memories.add(taken.buffer);
      lines.giveBack(taken);
    }
    assert.equal(memories.size, 2);
    lines.add('x'.repeat(5_000_000));
    lines.giveBack(lines.take());
    for (let turn = 0; turn < 4; turn++) {
      lines.add('line\n');
      const taken = lines.take();
      assert.ok(taken.buffer.byteLength <= 65_536);
      lines.giveBack(taken);
    }
  });
});
