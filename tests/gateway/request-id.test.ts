import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { newRequestId } from '../../gateway/request-id.ts';

describe('newRequestId', () => {
  it('is req_ and 26 characters of Crockford base32', () => {
    assert.match(newRequestId(Date.now()), /^req_[0-9A-HJKMNP-TV-Z]{26}$/);
  });

  it('never repeats, also across refills of the random pool', () => {
    const ids = new Set(Array.from({ length: 5_000 }, () => newRequestId(1_700_000_000_000)));
    assert.equal(ids.size, 5_000);
  });

  it('sorts by time', () => {
    assert.ok(newRequestId(1_700_000_000_000) < newRequestId(1_700_000_000_001));
    assert.ok(newRequestId(1_700_000_000_001) < newRequestId(1_900_000_000_000));
  });
});
