import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { addressKey } from '../../../gateway/limit/address-key.ts';

describe('the counter key of an address', () => {
  for (const [address, key] of [
    ['203.0.113.9', '203.0.113.9'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2:ffff::1', '2001:db8:1:2::/64'],
    ['2001:0db8:0001:0002::', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['64:ff9b::203.0.113.9', '64:ff9b:0:0::/64'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['1:2:3:4:5:6:7::', '1:2:3:4::/64'],
    ['unknown', 'unknown'],
    ['not:an:address', 'not:an:address'],
  ] as const) {
    it(`counts ${address} as ${key}`, () => assert.equal(addressKey(address), key));
  }

  it('does not count neighbouring networks as one', () => {
    assert.notEqual(addressKey('2001:db8:1:2::1'), addressKey('2001:db8:1:3::1'));
    assert.notEqual(addressKey('203.0.113.9'), addressKey('203.0.113.10'));
  });
});
