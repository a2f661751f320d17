// Which errors of a query mean that the database is away, and not that we have a bug.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isDatabaseOutage } from '../../identity/storage/outage.ts';

const errorOf = (code: string | undefined, message = 'x', more: object = {}): Error =>
  Object.assign(new Error(message), code === undefined ? more : { code, ...more });

describe('an outage of the database', () => {
  for (const error of [
    errorOf('ECONNREFUSED'),
    Object.assign(new AggregateError([errorOf('ECONNREFUSED')]), { code: 'ECONNREFUSED' }),
    errorOf('ECONNRESET'),
    errorOf('ENOENT', 'no socket', { syscall: 'connect' }),
    errorOf('57P01'),
    errorOf('57P03'),
    errorOf('08006'),
    errorOf('53300'),
    errorOf(undefined, 'Connection terminated unexpectedly'),
    errorOf(undefined, 'timeout exceeded when trying to connect'),
  ])
    it(`is ${'code' in error ? String(error.code) : error.message}`, () =>
      assert.ok(isDatabaseOutage(error)));

  for (const error of [
    errorOf('23505', 'duplicate key value violates unique constraint'),
    errorOf('42P01', 'relation does not exist'),
    errorOf('57014', 'canceling statement due to statement timeout'),
    errorOf('ENOENT', 'no file', { syscall: 'open' }),
    errorOf('ERR_SQLITE_ERROR', 'database is locked'),
    errorOf(undefined, 'Cannot read properties of undefined'),
    'ECONNREFUSED',
    null,
  ])
    it(`is not ${error instanceof Error ? error.message : String(error)}`, () =>
      assert.ok(!isDatabaseOutage(error)));
});
