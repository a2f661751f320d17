import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { describe, it } from 'node:test';
import { createCallerAddress } from '../../gateway/caller-address.ts';

/** The two members that the reader looks at. */
function request(remoteAddress: string, forwarded?: string): IncomingMessage {
  return {
    socket: { remoteAddress },
    headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
  } as unknown as IncomingMessage;
}

describe('the caller address', () => {
  it('is the peer, whatever X-Forwarded-For says, when no proxy is trusted', () => {
    assert.equal(createCallerAddress([])(request('198.51.100.7', '203.0.113.9')), '198.51.100.7');
  });

  it('does not believe a peer that is not listed', () => {
    assert.equal(createCallerAddress(['10.0.0.0/8'])(request('198.51.100.7', '203.0.113.9')), '198.51.100.7');
  });

  it('is the rightmost hop that is not itself a trusted proxy', () => {
    const read = createCallerAddress(['10.0.0.0/8']);
    assert.equal(read(request('10.0.0.1', '1.1.1.1, 203.0.113.9, 10.2.3.4')), '203.0.113.9');
  });

  it('stops at anything that is no address', () => {
    assert.equal(
      createCallerAddress(['10.0.0.0/8'])(request('10.0.0.1', '203.0.113.9, unknown')),
      '10.0.0.1',
    );
  });

  it('reads an IPv4 caller on a dual-stack socket as IPv4', () => {
    assert.equal(createCallerAddress([])(request('::ffff:198.51.100.7')), '198.51.100.7');
  });

  for (const entry of [
    'proxy.internal',
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0.0/-1',
    '::/129',
    '',
  ]) {
    it(`refuses ${JSON.stringify(entry)} as trusted proxy`, () => {
      assert.throws(() => createCallerAddress([entry]), /neither an address nor a CIDR block/);
    });
  }
});
