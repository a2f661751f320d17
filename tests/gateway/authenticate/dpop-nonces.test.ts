// The key of the nonces on disk: made once, shared, never readable by others.
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { openDpopNonces } from '../../../gateway/authenticate/dpop-nonces.ts';

const base = mkdtempSync(join(tmpdir(), 'sallyport-nonces-'));
after(() => rmSync(base, { recursive: true, force: true }));
const folder = (): string => mkdtempSync(join(base, 'f-'));
const now = 1_800_000_000_000;

describe('the key of the nonces', () => {
  it('is made for its owner alone, and leaves no draft behind', () => {
    const where = folder();
    openDpopNonces(where);
    assert.deepEqual(readdirSync(where), ['dpop-nonce-key']);
    assert.equal(statSync(join(where, 'dpop-nonce-key')).mode & 0o777, 0o600);
    assert.equal(readFileSync(join(where, 'dpop-nonce-key')).length, 32);
  });

  it('is kept: after a restart and in another process the nonces are the same', () => {
    const where = folder();
    const nonce = openDpopNonces(where).current(now);
    assert.equal(openDpopNonces(where).judge(nonce, now), 'current');
    assert.equal(openDpopNonces(where).judge(nonce, now + 60_000), 'previous');
    assert.equal(openDpopNonces(folder()).judge(nonce, now), 'unknown');
  });

  it('changes the nonce with each step, in characters that a header may hold (RFC 9449 §8.1)', () => {
    const nonces = openDpopNonces(folder());
    assert.notEqual(nonces.current(now), nonces.current(now + 60_000));
    assert.match(nonces.current(now), /^[\w-]{24}$/);
  });

  it('is refused when others can read it', () => {
    const where = folder();
    openDpopNonces(where);
    chmodSync(join(where, 'dpop-nonce-key'), 0o640);
    assert.throws(() => openDpopNonces(where), /dpop-nonce-key is readable by others; run: chmod 600/);
  });

  it('is refused when it is no key', () => {
    const where = folder();
    writeFileSync(join(where, 'dpop-nonce-key'), 'short', { mode: 0o600 });
    assert.throws(() => openDpopNonces(where), /dpop-nonce-key is not a key; delete it/);
  });

  it('cannot be made in a folder that is not there', () => {
    assert.throws(() => openDpopNonces(join(base, 'absent')), { code: 'ENOENT' });
  });
});
