import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInThisContext } from 'node:vm';
import { restoreFastStrings } from '../../core/fast-strings.ts';

/** Asks V8 itself, so that nothing depends on time. */
function stringMethodsAreFast(): boolean {
  setFlagsFromString('--allow-natives-syntax');
  return runInThisContext('%HasFastProperties(String.prototype)') === true;
}

it('string methods are fast again after a library has derived a class from String', () => {
  class Derived extends String {}
  assert.equal(new Derived('a').length, 1);
  restoreFastStrings();
  assert.equal(stringMethodsAreFast(), true);
});

it('string methods are fast once everything that the gateway needs is imported', async () => {
  await import('../../gateway/server.ts');
  restoreFastStrings();
  assert.equal(stringMethodsAreFast(), true);
});
