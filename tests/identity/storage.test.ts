import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { findAccountByUsername, insertAccount } from '../../identity/accounts/accounts.ts';
import { recordAdapter } from '../../identity/openid/adapter.ts';
import {
  beginAttempt,
  clearAttempts,
  forgiveAttempt,
  type AttemptRule,
} from '../../identity/storage/attempts.ts';
import { openDatabase, type Database } from '../../identity/storage/database.ts';
import { persistentSecret } from '../../identity/storage/secrets.ts';
import { loadSigningKeys, rotateSigningKeys } from '../../identity/storage/signing-keys.ts';
import { onEachDatabase } from './databases.ts';

onEachDatabase('the identity database', (fresh) => {
  let folder: string;
  let database: Database;
  let settings: { database_url?: string };
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-storage-'));
    settings = await fresh();
    database = await openDatabase({ data: folder, ...settings });
  });
  after(async () => {
    await database.destroy();
    rmSync(folder, { recursive: true, force: true });
  });

  it('lets exactly one of 20 simultaneous redemptions consume a code', async () => {
    const codes = recordAdapter(database)('AuthorizationCode');
    await codes.upsert('code-1', { grantId: 'g' }, 60);
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => codes.consume('code-1')));
    assert.equal(outcomes.filter((outcome) => outcome.status === 'fulfilled').length, 1);
    const found = await codes.find('code-1');
    assert.ok(found?.consumed);
  });

  it('refuses to consume what is not there', async () => {
    await assert.rejects(recordAdapter(database)('RefreshToken').consume('never-issued'), {
      error: 'invalid_grant',
    });
  });

  it('never stores what a bearer presents', async () => {
    const adapter = recordAdapter(database);
    await adapter('RefreshToken').upsert('bearer-secret-1', { jti: 'bearer-secret-1', grantId: 'g' }, 60);
    await adapter('Interaction').upsert(
      'bearer-secret-2',
      { jti: 'bearer-secret-2', session: { cookie: 'bearer-secret-3', uid: 'u' } },
      60,
    );
    const rows = JSON.stringify(await database.selectFrom('records').selectAll().execute());
    assert.doesNotMatch(rows, /bearer-secret/);
  });

  it('settles a device code once: of an approval and a denial at the same moment one wins', async () => {
    const codes = recordAdapter(database)('DeviceCode');
    await codes.upsert('device-1', { userCode: 'BCDFGHJK' }, 60);
    const outcomes = await Promise.allSettled([
      codes.upsert('device-1', { userCode: 'BCDFGHJK', accountId: 'a' }, 60),
      codes.upsert('device-1', { userCode: 'BCDFGHJK', error: 'access_denied' }, 60),
      codes.upsert('device-1', { userCode: 'BCDFGHJK', accountId: 'b' }, 60),
    ]);
    assert.equal(outcomes.filter((outcome) => outcome.status === 'fulfilled').length, 1);
  });

  it('finds a device code by its user code under a handle that works only inside', async () => {
    const codes = recordAdapter(database)('DeviceCode');
    await codes.upsert('device-2', { jti: 'device-2', userCode: 'LMNPQRST', clientId: 'c' }, 60);
    const found = await codes.findByUserCode('LMNPQRST');
    assert.notEqual(found?.jti, 'device-2');
    assert.equal((await codes.find(found?.jti ?? ''))?.clientId, 'c');
    assert.equal(await codes.findByUserCode('LMNPQRSX'), undefined);
  });

  it('keeps models apart and revokes a grant model by model', async () => {
    const adapter = recordAdapter(database);
    await adapter('RefreshToken').upsert('same-id', { grantId: 'grant-9' }, 60);
    await adapter('AccessToken').upsert('same-id', { grantId: 'grant-9' }, 60);
    await adapter('RefreshToken').revokeByGrantId('grant-9');
    assert.equal(await adapter('RefreshToken').find('same-id'), undefined);
    assert.ok(await adapter('AccessToken').find('same-id'));
    await adapter('AccessToken').destroy('same-id');
    assert.equal(await adapter('AccessToken').find('same-id'), undefined);
  });

  it('registers one of 10 simultaneous accounts with the same name in any spelling', async () => {
    const names = ['Zoe', 'zoe', 'ZOE', 'Ｚoe', 'zoE', 'Zoe', 'zOe', 'zoe', 'ZoE', 'zOE'];
    const made = await Promise.all(
      names.map((username) =>
        insertAccount(database, { username, password: 'a fine long password', roles: [] }),
      ),
    );
    assert.equal(made.filter((account) => account !== null).length, 1);
    assert.ok(await findAccountByUsername(database, 'zoe'));
  });

  it('agrees on one secret when several ask for the first time', async () => {
    const secrets = await Promise.all(
      Array.from({ length: 8 }, () => persistentSecret(database, 'contested')),
    );
    assert.equal(new Set(secrets).size, 1);
    assert.ok(Buffer.from(secrets[0] ?? '', 'base64url').length >= 32);
  });

  it('signs with the new key after a rotation and keeps the old one published for the life of its tokens', async () => {
    const [first] = await loadSigningKeys(database, 3600);
    assert.deepEqual(
      (await loadSigningKeys(database, 3600)).map((key) => key.kid),
      [first?.kid],
    );
    const rotated = await rotateSigningKeys(database, 3600);
    assert.equal(rotated.length, 2);
    assert.notEqual(rotated[0]?.kid, first?.kid);
    assert.equal(rotated[1]?.kid, first?.kid);
    assert.equal(
      (await rotateSigningKeys(database, 0)).length,
      1,
      'with nothing left to verify the old ones go',
    );
  });

  it('opens an existing database without losing anything', async () => {
    const again = await openDatabase({ data: folder, ...settings });
    assert.ok(await findAccountByUsername(again, 'zoe'));
    await again.destroy();
  });

  describe('throttling', () => {
    const rule: AttemptRule = {
      free: 5,
      firstWaitSeconds: 60,
      longestWaitSeconds: 600,
      forgetAfterSeconds: 3600,
    };
    let subject: readonly ['user-code', string];
    beforeEach(() => {
      subject = ['user-code', `subject ${Math.random()}`];
    });
    afterEach(() => clearAttempts(database, subject));

    it('lets five attempts through and then asks to wait', async () => {
      for (let n = 0; n < 5; n++) assert.equal(await beginAttempt(database, subject, rule), 0);
      const wait = await beginAttempt(database, subject, rule);
      assert.ok(wait > 0 && wait <= 60, String(wait));
    });

    it('lets no more than five of 100 simultaneous attempts through', async () => {
      const waits = await Promise.all(
        Array.from({ length: 100 }, () => beginAttempt(database, subject, rule)),
      );
      assert.equal(waits.filter((wait) => wait === 0).length, 5);
    });

    it('doubles the wait with each further failure and stops at the ceiling', async () => {
      const waits: number[] = [];
      for (let n = 0; n < 25; n++) {
        await beginAttempt(database, subject, rule);
        const wait = await beginAttempt(database, subject, rule);
        if (wait > 0) waits.push(wait);
        await database.updateTable('attempts').set({ blocked_until: 0 }).execute();
      }
      assert.ok(waits.every((wait) => wait <= 600));
      assert.ok(
        waits.some((wait) => wait > 500),
        waits.join(),
      );
      assert.ok((waits[0] ?? 0) <= 60);
    });

    it('forgets after a success, and only the one attempt after a forgiveness', async () => {
      for (let n = 0; n < 4; n++) await beginAttempt(database, subject, rule);
      await forgiveAttempt(database, subject);
      assert.equal(await beginAttempt(database, subject, rule), 0);
      assert.equal(await beginAttempt(database, subject, rule), 0);
      assert.ok((await beginAttempt(database, subject, rule)) > 0);
      await clearAttempts(database, subject);
      assert.equal(await beginAttempt(database, subject, rule), 0);
    });

    it('forgets a counter that nobody touched for its time', async () => {
      for (let n = 0; n < 6; n++) await beginAttempt(database, subject, rule);
      await database.updateTable('attempts').set({ expires_at: 1, blocked_until: 0 }).execute();
      for (let n = 0; n < 5; n++) assert.equal(await beginAttempt(database, subject, rule), 0);
      assert.ok((await beginAttempt(database, subject, rule)) > 0);
    });

    it('writes no name into the table: a mistyped user name is often a password', async () => {
      await beginAttempt(database, ['password-account', 'hunter2 in the wrong field'], rule);
      const rows = JSON.stringify(await database.selectFrom('attempts').selectAll().execute());
      assert.doesNotMatch(rows, /hunter2/);
    });
  });
});

describe('the SQLite file', () => {
  it('is readable by its owner alone, with its write-ahead log', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-storage-'));
    const data = join(folder, 'deep', 'identity');
    const database = await openDatabase({ data });
    await persistentSecret(database, 'x');
    assert.equal(statSync(data).mode & 0o777, 0o700);
    for (const name of ['identity.sqlite', 'identity.sqlite-wal'])
      assert.equal(statSync(join(data, name)).mode & 0o777, 0o600, name);
    await database.destroy();
    assert.ok(readFileSync(join(data, 'identity.sqlite')).length > 0);
    rmSync(folder, { recursive: true });
  });
});

describe('a database that cannot be opened', () => {
  it('names the setting and never the URL', async () => {
    process.env['SALLYPORT_TEST_NOWHERE'] = 'postgres://someone:hunter2@127.0.0.1:1/nothing';
    await assert.rejects(
      openDatabase({ data: '/nonexistent', database_url: 'env:SALLYPORT_TEST_NOWHERE' }),
      (error: Error) => {
        assert.match(error.message, /identity\.database_url/);
        assert.doesNotMatch(error.message, /hunter2/);
        return true;
      },
    );
  });
});
