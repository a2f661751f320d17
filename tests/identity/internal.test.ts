import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { SignJWT, generateKeyPair } from 'jose';
import {
  createAccount,
  disableAccount,
  grantRole,
  openForAdministration,
  resetPassword,
  revokeRole,
  signOutEverywhere,
} from '../../identity/administration.ts';
import { insertApiKey, revokeApiKey } from '../../identity/api-keys/api-keys.ts';
import { changeRelations } from '../../identity/relations/relations.ts';
import {
  formatTuple,
  parseTuple,
  RelationTupleError,
  type RelationTuple,
} from '../../identity/relations/tuple.ts';
import { createEventLog, purgeEvents, type RevocationEvent } from '../../identity/revocation/event-log.ts';
import { openDatabase, type Database } from '../../identity/storage/database.ts';
import { skipWithoutPostgres, startPostgres } from '../support/postgres.ts';
import { eventually } from '../support/serve.ts';
import { onEachDatabase } from './databases.ts';
import { gatewayOf, listen, type TestGateway } from './gateway-assertion.ts';
import {
  claimsOf,
  clientId,
  postForm,
  postJson,
  redeemDevice,
  approveDevice,
  refresh,
  signInWithDevice,
  startDevice,
  startTestIdentity,
  tenant,
  type TestIdentity,
} from './support.ts';

const password = 'correct horse battery staple';
const day = 86_400;

onEachDatabase('what gateways ask of identity', (fresh) => {
  let identity: TestIdentity;
  let gateway: TestGateway;
  let database: Database;
  before(async () => {
    identity = await startTestIdentity(await fresh());
    gateway = await gatewayOf(identity);
    database = await openForAdministration(identity.config);
  });
  after(async () => {
    await database.destroy();
    await identity.close();
  });

  let count = 0;
  async function person(): Promise<{ id: string; username: string; password: string }> {
    const username = `person-${count++}`;
    // Not over HTTP: registrations of one address are throttled.
    const { account } = await createAccount(database, { username, password });
    return { id: account.id, username, password };
  }
  async function keyOf(owner: string, roles: readonly string[] = ['LLM.User'], lifetimeSeconds = day) {
    const made = await insertApiKey(database, { owner, name: 'test', roles, lifetimeSeconds, atMost: 50 });
    assert.ok(typeof made !== 'string');
    return { id: made.key.id, text: made.text };
  }
  const inactive = async (presented: string, why: string): Promise<void> => {
    const { status, body } = await gateway.introspect(presented);
    assert.equal(status, 200, why);
    assert.deepEqual(body, { active: false }, why);
  };

  describe('the door of /internal', () => {
    const asks = [
      ['POST', '/internal/introspect'],
      ['POST', '/internal/verify-password'],
      ['GET', '/internal/events'],
      ['GET', '/internal/events?after=0'],
      ['GET', '/internal/relations'],
      ['GET', '/internal/anything'],
      ['GET', '/internal'],
    ] as const;
    const status = async (method: string, path: string, headers: Record<string, string>) => {
      const response = await fetch(`${identity.base}${path}`, { method, headers });
      await response.body?.cancel();
      return response.status;
    };

    it('stays shut without an assertion, and with one that is not good', async () => {
      const [header, body] = (await gateway.assertion()).split('.');
      const bad = [
        {},
        { 'sallyport-assertion': '' },
        { 'sallyport-assertion': 'x' },
        { 'sallyport-assertion': `${header}.${body}.` },
        { 'sallyport-assertion': await gateway.assertion({ audience: 'urn:sallyport:model-server' }) },
        { 'sallyport-assertion': await gateway.assertion({ expires: '-20s' }) },
        { authorization: `Bearer ${await gateway.assertion()}` },
        { 'x-forwarded-for': '127.0.0.1' },
      ];
      for (const [method, path] of asks)
        for (const headers of bad)
          assert.equal(await status(method, path, headers), 401, `${path} ${JSON.stringify(headers)}`);
    });

    it('stays shut for a principal whom a gateway vouches for, administrator or not', async () => {
      for (const [method, path] of asks) {
        for (const headers of [
          await gateway.on('someone'),
          await gateway.on('someone', { roles: ['LLM.Admin'] }),
          await gateway.on('someone', { roles: [], client: null }),
          await gateway.on('', { subject: 'urn:sallyport:gateway', roles: ['LLM.Admin'], client: null }),
          await gateway.on('', { subject: 'urn:sallyport:gateway', roles: [], client: clientId(1) }),
          await gateway.on('', { subject: 'anonymous 127.0.0.1', roles: [], client: null }),
        ])
          assert.equal(await status(method, path, headers), 403, path);
      }
    });
  });

  describe('introspection of API keys', () => {
    it('says of a good key what an access token of its owner would say', async () => {
      const owner = await person();
      const key = await keyOf(owner.id);
      const { status, headers, body } = await gateway.introspect(key.text);
      assert.equal(status, 200);
      assert.equal(headers.get('cache-control'), 'no-store');
      const { iat, exp, ...said } = body;
      assert.deepEqual(said, {
        active: true,
        token_type: 'api_key',
        iss: identity.issuer,
        sub: owner.id,
        oid: owner.id,
        client_id: '5a11b0a7-0000-4000-8000-000000000005',
        azp: '5a11b0a7-0000-4000-8000-000000000005',
        azpacr: '0',
        idtyp: 'user',
        aud: 'api://sallyport',
        scope: 'LLM.Access',
        scp: 'LLM.Access',
        roles: ['LLM.User'],
        groups: [],
        jti: key.id,
        tid: tenant,
        ver: '2.0',
        username: owner.username,
        preferred_username: owner.username,
        name: owner.username,
      });
      assert.equal(exp - iat, day);
    });

    it('says nothing of keys that are wrong in any way', async () => {
      const key = await keyOf((await person()).id);
      const other = await keyOf((await person()).id);
      const secret = key.text.slice('sp_'.length + 13);
      const flipped = (secret.startsWith('a') ? 'b' : 'a') + secret.slice(1);
      for (const wrong of [
        `sp_${key.id}_${flipped}`,
        `sp_${key.id}_${secret.slice(0, -1)}`,
        `sp_${key.id}_${secret}x`,
        `sp_${key.id}_${secret.toUpperCase()}`,
        `sp_${other.id}_${secret}`,
        `sp_zzzzzzzzzzzz_${secret}`,
        `sp_${key.id}`,
        `sp_${key.id}_`,
        `SP_${key.id}_${secret}`,
        ` ${key.text}`,
        `${key.text} `,
        `${key.text}\0`,
        `sp_' or 1=1 --_${secret}`,
        `sp_%_${secret}`,
        key.id,
        secret,
        'sp_',
        'x',
        '../../internal',
        '\u0000',
        '🦊',
      ])
        await inactive(wrong, wrong);
      assert.equal((await gateway.introspect(key.text)).body.active, true, 'none of it did any harm');
    });

    it('ends at its expiry, at its revocation, and with its owner', async () => {
      const [owner, disabled, gone] = [await person(), await person(), await person()];
      const [expired, revoked] = [await keyOf(owner.id, ['LLM.User'], -1), await keyOf(owner.id)];
      await inactive(expired.text, 'expired');
      await revokeApiKey(createEventLog(database), revoked.id, owner.id);
      await inactive(revoked.text, 'revoked');
      const ofDisabled = await keyOf(disabled.id);
      await disableAccount(database, disabled.username);
      await inactive(ofDisabled.text, 'the owner is disabled');
      await disableAccount(database, disabled.username, false);
      await inactive(ofDisabled.text, 'it stays dead when the owner is enabled again');
      const ofGone = await keyOf(gone.id);
      await database.deleteFrom('accounts').where('id', '=', gone.id).execute();
      await inactive(ofGone.text, 'the owner is gone');
    });

    it('refuses a key of an owner disabled in the database by hand, though the key is untouched', async () => {
      const owner = await person();
      const key = await keyOf(owner.id);
      await database.updateTable('accounts').set({ disabled: 1 }).where('id', '=', owner.id).execute();
      await inactive(key.text, 'disabled');
    });

    it('never carries more than its owner has now', async () => {
      const owner = await person();
      await grantRole(database, owner.username, 'LLM.Admin');
      const key = await keyOf(owner.id, ['LLM.Admin', 'LLM.User', 'LLM.Other']);
      assert.deepEqual((await gateway.introspect(key.text)).body.roles, ['LLM.Admin', 'LLM.User']);
      await revokeRole(database, owner.username, 'LLM.Admin');
      assert.deepEqual((await gateway.introspect(key.text)).body.roles, ['LLM.User']);
      const narrow = await keyOf(owner.id, ['LLM.User']);
      await grantRole(database, owner.username, 'LLM.Admin');
      assert.deepEqual((await gateway.introspect(narrow.text)).body.roles, ['LLM.User']);
    });

    it('stores no secret, and notes the use of a key once in ten minutes', async () => {
      const owner = await person();
      const key = await keyOf(owner.id);
      const row = () =>
        database.selectFrom('api_keys').selectAll().where('id', '=', key.id).executeTakeFirstOrThrow();
      assert.equal((await row()).last_used_at, null);
      await inactive(`${key.text}x`, 'a wrong one leaves no trace');
      assert.equal((await row()).last_used_at, null);
      await gateway.introspect(key.text);
      const first = (await row()).last_used_at;
      assert.ok(first !== null);
      await database
        .updateTable('api_keys')
        .set({ last_used_at: first - 300 })
        .where('id', '=', key.id)
        .execute();
      await gateway.introspect(key.text);
      assert.equal((await row()).last_used_at, first - 300);
      assert.doesNotMatch(JSON.stringify(await row()), new RegExp(key.text.slice(16)));
      assert.doesNotMatch(identity.log.join('\n'), new RegExp(key.text.slice(16)));
    });

    it('refuses questions that are none: no token, two, another content type, a huge one', async () => {
      const headers = await gateway.itself();
      const url = `${identity.base}/internal/introspect`;
      assert.equal((await postForm(url, {}, headers)).status, 400);
      assert.equal((await postForm(url, new URLSearchParams('token=a&token=b'), headers)).status, 400);
      assert.equal((await postForm(url, new URLSearchParams('token='), headers)).status, 400);
      assert.equal((await postJson(url, { token: 'x' }, headers)).status, 400);
      assert.equal((await postForm(url, { token: 'x'.repeat(40_000) }, headers)).status, 413);
    });
  });

  describe('introspection of access tokens', () => {
    it('says of a good one what it says itself', async () => {
      const owner = await person();
      const { access_token: accessToken } = (await postForm(`${identity.base}/token`, owner)).body;
      const { active, token_type: type, ...claims } = (await gateway.introspect(accessToken)).body;
      assert.equal(active, true);
      assert.equal(type, 'Bearer');
      assert.deepEqual(claims, claimsOf(accessToken));
    });

    it('says nothing of ID tokens, refresh tokens, forged ones and those of nobody', async () => {
      const owner = await person();
      const signedIn = await signInWithDevice(identity, owner);
      await inactive(signedIn.id_token, 'an ID token');
      await inactive(signedIn.refresh_token, 'a refresh token');
      const [header, , signature] = signedIn.access_token.split('.');
      const claims = { ...claimsOf(signedIn.access_token), roles: ['LLM.Admin'] };
      const forged = Buffer.from(JSON.stringify(claims)).toString('base64url');
      await inactive(`${header}.${forged}.${signature}`, 'changed');
      const none = Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url');
      await inactive(`${none}.${forged}.`, 'unsigned');
      const { privateKey } = await generateKeyPair('RS256');
      const foreign = await new SignJWT(claims)
        .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt' })
        .sign(privateKey);
      await inactive(foreign, 'signed by somebody else');
      await disableAccount(database, owner.username);
      await inactive(signedIn.access_token, 'the account is disabled');
    });
  });

  describe('verifying a password', () => {
    it('says who it is, with no credential id', async () => {
      const owner = await person();
      const { status, body } = await gateway.verifyPassword(owner.username, password);
      assert.equal(status, 200);
      assert.equal(body.active, true);
      assert.equal(body.token_type, 'password');
      assert.equal(body.sub, owner.id);
      assert.deepEqual(body.roles, ['LLM.User']);
      assert.equal(body.scope, 'LLM.Access');
      assert.equal(body.jti, undefined);
    });

    it('answers a wrong password, an unknown and a disabled account alike', async () => {
      const [owner, disabled] = [await person(), await person()];
      await disableAccount(database, disabled.username);
      for (const [username, guess] of [
        [owner.username, 'wrong'],
        [owner.username, ''],
        ['nobody-at-all', password],
        [disabled.username, password],
        ["' or 1=1 --", password],
        ['a\0b', password],
      ] as const) {
        const { status, body } = await gateway.verifyPassword(username, guess);
        assert.equal(status, 200, username);
        assert.deepEqual(body, { active: false }, username);
      }
    });

    it('counts guesses per account and per forwarded address, and the right password waits too', async () => {
      const owner = await person();
      const from = { 'x-forwarded-for': '203.0.113.77' };
      for (let n = 0; n < 5; n++)
        assert.equal((await gateway.verifyPassword(owner.username, 'wrong', from)).status, 200);
      const { status, headers, body } = await gateway.verifyPassword(owner.username, password, from);
      assert.equal(status, 429);
      assert.ok(Number(headers.get('retry-after')) > 0);
      assert.deepEqual(body, { active: false });
      assert.equal(
        (await postForm(`${identity.base}/token`, owner)).status,
        429,
        'the lock is one for all ways',
      );
      const other = await person();
      assert.equal((await gateway.verifyPassword(other.username, password, from)).body.active, true);
    });

    it('refuses questions that are none', async () => {
      const headers = await gateway.itself();
      const url = `${identity.base}/internal/verify-password`;
      for (const body of [
        {},
        { username: 'x' },
        { username: ['x'], password },
        { username: 'x', password, roles: ['LLM.Admin'] },
        '{"username":"x","username":"y","password":"z"}',
        { username: 'x'.repeat(200), password },
        [],
        'null',
      ])
        assert.equal((await postJson(url, body, headers)).status, 400, JSON.stringify(body));
      assert.equal((await postForm(url, { username: 'x', password }, headers)).status, 400);
      assert.equal(
        (await postJson(url, { username: 'x', password: 'y'.repeat(20_000) }, headers)).status,
        413,
      );
    });
  });

  describe('the feed of events', () => {
    const emit = (...events: RevocationEvent[]) =>
      createEventLog(database).record((_transaction, add) => {
        for (const event of events) add(event);
        return Promise.resolve();
      });
    const revoked = (credential: string): RevocationEvent => ({ type: 'revoked', credential, at: 1 });
    const latest = () => createEventLog(database).latest();

    it('greets, sends what another process wrote, and goes on', async () => {
      const start = await latest();
      const listener = await listen(identity, gateway, start);
      assert.equal(listener.response.headers.get('content-type'), 'text/event-stream');
      await listener.until(0);
      assert.deepEqual(listener.heard[0], { id: null, event: { type: 'hello', latest: start } });
      await emit(revoked('one'));
      await emit({ type: 'revoked_before', subject: 'sub', at: 7 }, { type: 'relations_changed' });
      assert.deepEqual(await listener.until(3), [
        { id: start + 1, event: { type: 'revoked', credential: 'one', at: 1 } },
        { id: start + 2, event: { type: 'revoked_before', subject: 'sub', at: 7 } },
        { id: start + 3, event: { type: 'relations_changed' } },
      ]);
      listener.stop();
    });

    it('lets a gateway that was away catch up from where it was', async () => {
      const start = await latest();
      await emit(revoked('a'), revoked('b'), revoked('c'));
      const listener = await listen(identity, gateway, start + 1);
      const events = await listener.until(2);
      assert.deepEqual(
        events.map(({ id, event }) => [id, event['credential']]),
        [
          [start + 2, 'b'],
          [start + 3, 'c'],
        ],
      );
      listener.stop();
    });

    it('sends many events in order, each once, while they are being written', async () => {
      const start = await latest();
      const listener = await listen(identity, gateway, start);
      const names = Array.from({ length: 2400 }, (_, n) => `many-${n}`);
      const half = emit(...names.slice(0, 1200).map(revoked));
      for (let n = 1200; n < 2400; n += 300) await emit(...names.slice(n, n + 300).map(revoked));
      await half;
      const events = await listener.until(2400);
      assert.deepEqual(
        events.map(({ id }) => id),
        names.map((_, n) => start + 1 + n),
      );
      assert.deepEqual(events.map(({ event }) => String(event['credential'])).sort(), [...names].sort());
      listener.stop();
    });

    it('gives ids without gaps, in the order in which they become visible, to many writers at once', async () => {
      const start = await latest();
      // Two connections of one process to a SQLite file wait for each other with the event loop stopped.
      const second = identity.config.database_url === undefined ? [] : [await openDatabase(identity.config)];
      const writers = [database, ...second];
      const listener = await listen(identity, gateway, start);
      await Promise.all(
        Array.from({ length: 40 }, (_, n) =>
          createEventLog(writers[n % writers.length] ?? database).record((_transaction, add) => {
            add(revoked(`w-${n}`));
            return Promise.resolve();
          }),
        ),
      );
      const events = await listener.until(40);
      assert.deepEqual(
        events.map(({ id }) => id),
        Array.from({ length: 40 }, (_, n) => start + 1 + n),
      );
      listener.stop();
      for (const writer of second) await writer.destroy();
    });

    it('skips what was purged, and gives all it has to a gateway that knows another database', async () => {
      await emit(revoked('old'), revoked('older'));
      const start = await latest();
      await database.deleteFrom('events').where('id', '=', start).execute();
      const behind = await listen(identity, gateway, start - 1);
      await behind.until(0);
      await emit(revoked('new'));
      assert.deepEqual(
        (await behind.until(1)).map(({ event }) => event['credential']),
        ['new'],
      );
      behind.stop();
      const confused = await listen(identity, gateway, 999_999_999);
      await eventually('it has everything', () =>
        confused.heard.some(({ event }) => event['credential'] === 'new'),
      );
      confused.stop();
    });

    it('refuses a place in the log that is none', async () => {
      const headers = await gateway.itself();
      for (const after of ['-1', 'x', '1e3', '1;drop table events', '9'.repeat(20), '1&after=2', '%00']) {
        const response = await fetch(`${identity.base}/internal/events?after=${after}`, { headers });
        assert.equal(response.status, 400, after);
      }
    });

    it('forgets a gateway that has gone', async () => {
      const before = identity.log.length;
      const listener = await listen(identity, gateway, await latest());
      await listener.until(0);
      listener.stop();
      await emit(revoked('after it left'));
      const next = await listen(identity, gateway, await latest());
      await emit(revoked('for the next'));
      await next.until(1);
      next.stop();
      assert.doesNotMatch(identity.log.slice(before).join('\n'), /feed_failed/);
    });

    it('is cut when the server closes, without waiting', async () => {
      const listener = await listen(identity, gateway, await latest());
      await listener.until(0);
      await identity.restart();
      await eventually('the stream ends', () => listener.ended());
    });
  });

  describe('events of accounts and grants', () => {
    const since = async (start: number): Promise<readonly RevocationEvent[]> =>
      (await createEventLog(database).after(start, 1000)).map(({ event }) => event);
    const latest = () => createEventLog(database).latest();

    it('disabling, resetting the password and signing out everywhere name the subject and each key', async () => {
      for (const act of [
        (name: string) => disableAccount(database, name),
        (name: string) => resetPassword(database, name, 'another horse battery staple'),
        (name: string) => signOutEverywhere(database, name),
      ]) {
        const owner = await person();
        const signedIn = await signInWithDevice(identity, owner);
        const [key, expired] = [await keyOf(owner.id), await keyOf(owner.id, [], -5)];
        const start = await latest();
        await act(owner.username);
        const events = await since(start);
        const before = events.find((event) => event.type === 'revoked_before');
        assert.ok(before !== undefined);
        assert.equal(before.subject, owner.id);
        assert.ok(before.at >= claimsOf(signedIn.access_token).iat);
        const named = events.flatMap((event) => (event.type === 'revoked' ? [event.credential] : []));
        assert.ok(named.includes(key.id));
        assert.ok(!named.includes(expired.id), 'what was over is not named');
        await inactive(key.text, 'the key');
        await inactive(signedIn.access_token, 'the access token');
        assert.equal((await refresh(identity, signedIn.refresh_token)).status, 400);
      }
    });

    it('after a reset or a sign-out, what is issued from then on is good', async () => {
      const owner = await person();
      await signOutEverywhere(database, owner.username);
      const again = await signInWithDevice(identity, owner);
      assert.equal((await gateway.introspect(again.access_token)).body.active, true);
      await resetPassword(database, owner.username, 'a third horse battery staple');
      const { body } = await postForm(`${identity.base}/token`, {
        username: owner.username,
        password: 'a third horse battery staple',
      });
      assert.equal((await gateway.introspect(body.access_token)).body.active, true);
    });

    it('a device approved before signing out everywhere gets nothing afterwards', async () => {
      const owner = await person();
      const device = await startDevice(identity);
      await approveDevice(identity, device.user_code, owner);
      await signOutEverywhere(database, owner.username);
      assert.equal((await redeemDevice(identity, device.device_code)).body.error, 'access_denied');
    });

    it('a change that fails makes no event', async () => {
      const start = await latest();
      await assert.rejects(disableAccount(database, 'nobody-here'));
      await assert.rejects(
        createEventLog(database).record((_transaction, emit) => {
          emit({ type: 'relations_changed' });
          return Promise.reject(new Error('changed my mind'));
        }),
      );
      assert.equal(await latest(), start);
    });

    it('revoking a refresh token names the access tokens that came of it (RFC 7009 §2.1)', async () => {
      const owner = await person();
      const signedIn = await signInWithDevice(identity, owner);
      const renewed = (await refresh(identity, signedIn.refresh_token)).body;
      const elsewhere = await signInWithDevice(identity, owner);
      const start = await latest();
      const answer = await revoke(renewed.refresh_token);
      assert.equal(answer.status, 200);
      const named = (await since(start)).map((event) => event.type === 'revoked' && event.credential).sort();
      assert.deepEqual(
        named,
        [claimsOf(signedIn.access_token).jti, claimsOf(renewed.access_token).jti].sort(),
      );
      await inactive(renewed.access_token, 'renewed');
      await inactive(signedIn.access_token, 'the first');
      assert.equal((await gateway.introspect(elsewhere.access_token)).body.active, true, 'another sign-in');
    });

    it('the reuse of a refresh token names the access tokens of the family', async () => {
      const owner = await person();
      const signedIn = await signInWithDevice(identity, owner);
      const renewed = (await refresh(identity, signedIn.refresh_token)).body;
      assert.equal((await refresh(identity, signedIn.refresh_token)).status, 400);
      await inactive(renewed.access_token, 'renewed');
    });

    it('an access token is revoked by the client that has it (RFC 7009), and by no other', async () => {
      const owner = await person();
      const signedIn = await signInWithDevice(identity, owner);
      const start = await latest();
      const byAnother = await revoke(signedIn.access_token, clientId(3));
      assert.equal(byAnother.status, 200);
      assert.deepEqual(await since(start), []);
      assert.equal((await gateway.introspect(signedIn.access_token)).body.active, true);
      const [header, body] = signedIn.access_token.split('.');
      assert.equal((await revoke(`${header}.${body}.AAAA`)).status, 200, 'RFC 7009 §2.2');
      assert.deepEqual(await since(start), []);
      const answer = await revoke(signedIn.access_token);
      assert.equal(answer.status, 200);
      assert.equal(await answer.text(), '');
      const [event] = await since(start);
      assert.equal(event?.type === 'revoked' && event.credential, claimsOf(signedIn.access_token).jti);
      await inactive(signedIn.access_token, 'revoked');
      for (let n = 0; n < 3; n++) assert.equal((await revoke(signedIn.access_token)).status, 200);
      assert.equal((await since(start)).length, 1, 'asked for again, it is one event');
      assert.equal((await refresh(identity, signedIn.refresh_token)).status, 200, 'the sign-in goes on');
      assert.equal((await revoke(signedIn.access_token, 'nobody')).status, 401);
    });

    it('keeps an event for a day at least, and forgets it in the end', async () => {
      const now = Math.floor(Date.now() / 1000);
      await createEventLog(database).record((_transaction, emit) => {
        emit({ type: 'revoked', credential: 'a-day-old', at: now - day - 3600 });
        emit({ type: 'revoked', credential: 'three-days-old', at: now - 3 * day });
        return Promise.resolve();
      });
      await purgeEvents(database);
      const kept = (await createEventLog(database).after(0, 100_000)).map(({ event }) =>
        event.type === 'revoked' ? event.credential : '',
      );
      assert.ok(kept.includes('a-day-old'));
      assert.ok(!kept.includes('three-days-old'));
    });

    function revoke(presented: string, client = clientId(1)): Promise<Response> {
      return fetch(`${identity.base}/${tenant}/oauth2/v2.0/revoke`, {
        method: 'POST',
        body: new URLSearchParams({ token: presented, client_id: client }),
      });
    }
  });

  describe('relations', () => {
    const tuples = (...texts: string[]): RelationTuple[] => texts.map(parseTuple);
    const ask = async (headers: Record<string, string> = {}) =>
      fetch(`${identity.base}/internal/relations`, {
        headers: { ...(await gateway.itself()), ...headers },
      });

    it('are served whole, sorted, with a tag that tells whether anything changed', async () => {
      const events = createEventLog(database);
      const start = await events.latest();
      const wanted = tuples(
        'team:x#member@user:bob',
        'model:gpt2#viewer@team:x#member',
        'model:gpt2#viewer@user:*',
      );
      assert.deepEqual(await changeRelations(events, { add: wanted, remove: [] }), { added: 3, removed: 0 });
      const first = await ask();
      assert.deepEqual(await first.json(), {
        tuples: ['model:gpt2#viewer@team:x#member', 'model:gpt2#viewer@user:*', 'team:x#member@user:bob'],
      });
      const etag = first.headers.get('etag') ?? '';
      assert.equal((await ask({ 'if-none-match': etag })).status, 304);
      assert.deepEqual(await changeRelations(events, { add: wanted, remove: [] }), { added: 0, removed: 0 });
      assert.equal(await events.latest(), start + 1, 'a change that changes nothing is no event');
      await changeRelations(events, { add: [], remove: tuples('team:x#member@user:bob') });
      const second = await ask({ 'if-none-match': etag });
      assert.equal(second.status, 200);
      assert.notEqual(second.headers.get('etag'), etag);
      assert.equal(((await second.json()) as { tuples: string[] }).tuples.length, 2);
      assert.equal(await events.latest(), start + 2);
    });

    it('refuses texts that are no relation', () => {
      for (const text of [
        '',
        'model:gpt2',
        'model:gpt2#viewer',
        'gpt2#viewer@user:bob',
        'model:gpt2#viewer@bob',
        'model:gpt2#view er@user:bob',
        'model:gpt2#@user:bob',
        'model:#viewer@user:bob',
        'model:gpt2#viewer@user:',
        'model:gpt2#viewer@team:x#',
        'model:gpt2#viewer@team:x#member#member',
        'model:gpt2#viewer@*',
        'model:gpt2#viewer@*:*',
        'model:gpt2%zz#viewer@user:bob',
        'model:gpt2#viewer@user:%ff',
        'model:gpt2#viewer@user:\ud800',
        `model:${'x'.repeat(257)}#viewer@user:bob`,
        `model:${'%20'.repeat(100)}#viewer@user:bob`,
        `${'m'.repeat(51)}:gpt2#viewer@user:bob`,
        ' model:gpt2#viewer@user:bob',
      ])
        assert.throws(() => parseTuple(text), RelationTupleError, JSON.stringify(text));
    });

    it('have one canonical form, in which no id passes for everybody or a userset', () => {
      for (const [written, canonical] of [
        ['document:a@b/c#viewer@user:d@e.example', 'document:a@b/c#viewer@user:d@e.example'],
        ['model:llama3:8b#viewer@user:bob', 'model:llama3%3A8b#viewer@user:bob'],
        ['model:llama3%3a8b#viewer@user:bob', 'model:llama3%3A8b#viewer@user:bob'],
        ['model:*#viewer@user:bob', 'model:%2A#viewer@user:bob'],
        ['model:gpt2#viewer@user:*', 'model:gpt2#viewer@user:*'],
        ['model:gpt2#viewer@user:%2a', 'model:gpt2#viewer@user:%2A'],
        ['model:gpt2#viewer@user:**', 'model:gpt2#viewer@user:%2A%2A'],
        ['model:gpt2#viewer@team:*#member', 'model:gpt2#viewer@team:%2A#member'],
        ['model:gpt2#viewer@user:b ob\n', 'model:gpt2#viewer@user:b%20ob%0A'],
        ['model:gpt2#viewer@user:x%23member', 'model:gpt2#viewer@user:x%23member'],
      ] as const) {
        assert.equal(formatTuple(parseTuple(written)), canonical, written);
        assert.equal(formatTuple(parseTuple(canonical)), canonical, canonical);
      }
    });
  });
});

describe('a feed whose database is gone', { skip: skipWithoutPostgres() }, () => {
  it('is cut, so that no gateway takes silence for safety', async () => {
    const postgres = await startPostgres();
    const name = `SALLYPORT_TEST_DATABASE_${process.pid}_GONE`;
    process.env[name] = postgres.url;
    const identity = await startTestIdentity({ database_url: `env:${name}` });
    const gateway = await gatewayOf(identity);
    const listener = await listen(identity, gateway);
    await listener.until(0);
    await postgres.kill();
    await eventually('the stream is cut', () => listener.ended());
    await postgres.restart();
    await eventually('it comes again', async () => {
      const again = await listen(identity, gateway).catch(() => null);
      again?.stop();
      return again?.response.status === 200;
    });
    await identity.close();
    await postgres.stop();
    Reflect.deleteProperty(process.env, name);
  });
});
