import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { disableAccount, openForAdministration } from '../../identity/administration.ts';
import { createPollJudge } from '../../identity/openid/polling.ts';
import { onEachDatabase } from './databases.ts';
import {
  accessScope,
  approveDevice,
  Browser,
  claimsOf,
  clientId,
  openConfirmation,
  postForm,
  postJson,
  redeemDevice,
  refresh,
  signInWithDevice,
  startDevice,
  startTestIdentity,
  tenant,
  type TestIdentity,
} from './support.ts';

const password = 'correct horse battery staple';

async function register(
  identity: TestIdentity,
  username: string,
): Promise<{ username: string; password: string }> {
  const answer = await postJson(`${identity.base}/users`, { username, password });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return { username, password };
}

describe('device authorization (RFC 8628)', () => {
  let identity: TestIdentity;
  before(async () => {
    identity = await startTestIdentity();
  });
  after(() => identity.close());

  it('answers with a short address, a code of consonants, an interval and a sentence for a person', async () => {
    const device = await startDevice(identity);
    assert.match(device.user_code, /^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/);
    assert.equal(device.verification_uri, `${identity.base}/device`);
    assert.equal(device.interval, 2);
    assert.ok(device.message.includes(device.user_code) && device.message.includes(device.verification_uri));
    assert.ok(device.device_code.length >= 22, 'at least 128 bits');
  });

  it('gives an Entra-shaped access token after the person pressed "It matches"', async () => {
    const { access_token, scope, expires_in } = await signInWithDevice(identity, identity.administrator);
    const header = JSON.parse(Buffer.from(access_token.split('.')[0] ?? '', 'base64url').toString());
    assert.equal(header.typ, 'at+jwt');
    assert.equal(header.alg, 'RS256');
    const claims = claimsOf(access_token);
    assert.equal(claims.iss, identity.issuer);
    assert.equal(claims.aud, 'api://sallyport');
    assert.equal(claims.tid, tenant);
    assert.equal(claims.oid, claims.sub);
    assert.equal(claims.azp, clientId(1));
    assert.equal(claims.client_id, clientId(1));
    assert.equal(claims.scp, 'LLM.Access');
    assert.deepEqual(claims.roles, ['LLM.Admin']);
    assert.deepEqual(claims.groups, []);
    assert.equal(claims.ver, '2.0');
    assert.equal(claims.idtyp, 'user');
    assert.equal(claims.preferred_username, 'admin');
    assert.equal(claims.exp - claims.iat, 3600);
    assert.ok(claims.jti);
    assert.equal(expires_in, 3600);
    assert.equal(scope, accessScope);
  });

  it('takes api://sallyport/.default for what was granted', async () => {
    const device = await startDevice(identity, clientId(3), 'api://sallyport/.default');
    await approveDevice(identity, device.user_code, identity.administrator);
    const { body } = await redeemDevice(identity, device.device_code, clientId(3));
    assert.equal(claimsOf(body.access_token).scp, 'LLM.Access');
  });

  it('shows on the confirmation page the code, the program, the rights and where the request came from', async () => {
    const answer = await postForm(
      `${identity.base}/${tenant}/oauth2/v2.0/devicecode`,
      { client_id: clientId(1), scope: `openid offline_access ${accessScope}` },
      { 'user-agent': 'sallyport/0.1 <b>on build1</b>' },
    );
    const browser = await openConfirmation(identity, answer.body.user_code, identity.administrator);
    assert.ok(browser.html.includes(answer.body.user_code));
    for (const text of [
      'Sallyport command line',
      '127.0.0.1',
      'Use the language models',
      'Stay signed in',
      'It matches',
      'admin',
    ]) {
      assert.ok(browser.html.includes(text), text);
    }
    assert.ok(browser.html.includes('&#60;b&#62;on build1'), 'what the device says about itself is text');
  });

  it('asks for the press even with a complete address and an existing session', async () => {
    const first = await startDevice(identity);
    const browser = await approveDevice(identity, first.user_code, identity.administrator);
    const second = await startDevice(identity);
    await browser.open(`/device?user_code=${second.user_code}`);
    assert.equal(browser.heading(), 'Enter the code');
    assert.equal(browser.form().fields['user_code'], second.user_code);
    await browser.submit();
    assert.equal(browser.heading(), 'Does this code match?', 'signed in already, but still asked');
    assert.equal((await redeemDevice(identity, second.device_code)).body.error, 'authorization_pending');
  });

  it('takes the code in any case, with and without dash and blanks', async () => {
    const device = await startDevice(identity);
    const browser = new Browser(identity.base);
    await browser.open('/device');
    await browser.submit({ user_code: ` ${device.user_code.toLowerCase().replace('-', ' ')} ` });
    assert.equal(browser.heading(), 'Sign in');
  });

  it('refuses with access_denied after the person refused, and the code is dead', async () => {
    const device = await startDevice(identity);
    const browser = await openConfirmation(identity, device.user_code, identity.administrator);
    await browser.submit({ decision: 'deny' });
    assert.equal(browser.heading(), 'Sign-in refused');
    assert.equal((await redeemDevice(identity, device.device_code)).body.error, 'access_denied');
    await browser.open('/device');
    await browser.submit({ user_code: device.user_code });
    assert.match(browser.problem() ?? '', /has been used/);
  });

  it('redeems a device code once, and for its own client only', async () => {
    const device = await startDevice(identity);
    await approveDevice(identity, device.user_code, identity.administrator);
    assert.equal((await redeemDevice(identity, device.device_code, clientId(3))).body.error, 'invalid_grant');
    assert.equal((await redeemDevice(identity, device.device_code)).status, 200);
    await sleep(1600);
    assert.equal((await redeemDevice(identity, device.device_code)).body.error, 'invalid_grant');
  });

  it('says slow_down to a poll well before the interval and adds five seconds', async () => {
    const device = await startDevice(identity);
    assert.equal((await redeemDevice(identity, device.device_code)).body.error, 'authorization_pending');
    assert.equal((await redeemDevice(identity, device.device_code)).body.error, 'slow_down');
    await sleep(2100);
    assert.equal(
      (await redeemDevice(identity, device.device_code)).body.error,
      'slow_down',
      'the interval is now seven seconds',
    );
  });

  it('takes the old grant name that MSAL sends', async () => {
    const device = await startDevice(identity, clientId(3));
    const answer = await postForm(`${identity.base}/${tenant}/oauth2/v2.0/token`, {
      grant_type: 'device_code',
      client_id: clientId(3),
      device_code: device.device_code,
    });
    assert.equal(answer.body.error, 'authorization_pending');
  });

  it('refuses unknown clients, clients without the grant, unknown scopes and unknown resources', async () => {
    const start = (fields: Record<string, string>) =>
      postForm(`${identity.base}/${tenant}/oauth2/v2.0/devicecode`, {
        scope: accessScope,
        client_id: clientId(1),
        ...fields,
      });
    assert.equal((await start({ client_id: 'nobody' })).body.error, 'invalid_client');
    assert.ok((await start({ client_id: clientId(2) })).status >= 400, 'the API page has no device grant');
    assert.ok(
      (await start({ client_id: clientId(4) })).status >= 400,
      'the local test client has no OAuth grant at all',
    );
    assert.equal((await start({ scope: 'api://sallyport/LLM.Root' })).body.error, 'invalid_scope');
    assert.equal((await start({ scope: `${accessScope} admin` })).body.error, 'invalid_scope');
    assert.equal((await start({ scope: 'api://elsewhere/LLM.Access' })).body.error, 'invalid_scope');
    assert.equal((await start({ resource: 'https://elsewhere.example' })).body.error, 'invalid_target');
  });

  it('gives no resource token to a sign-in that asked for none of its scopes', async () => {
    const device = await startDevice(identity, clientId(1), 'openid profile');
    await approveDevice(identity, device.user_code, identity.administrator);
    const { body } = await redeemDevice(identity, device.device_code);
    assert.ok(!body.access_token.includes('.'), 'an opaque token for userinfo only');
    const profile = await fetch(`${identity.base}/${tenant}/openid/userinfo`, {
      headers: { authorization: `Bearer ${body.access_token}` },
    });
    assert.equal(((await profile.json()) as { preferred_username: string }).preferred_username, 'admin');
  });

  it('refuses an internal handle where a device code or refresh token belongs', async () => {
    assert.equal((await redeemDevice(identity, 'stored:AAAA')).body.error, 'invalid_grant');
    assert.equal((await refresh(identity, 'stored:AAAA')).body.error, 'invalid_grant');
  });

  it('gives no token to an account that was disabled after it approved, nor at the refresh', async () => {
    const account = await register(identity, 'mallory');
    const device = await startDevice(identity);
    await approveDevice(identity, device.user_code, account);
    const signedIn = await signInWithDevice(identity, account);
    const database = await openForAdministration(identity.config);
    await disableAccount(database, 'mallory');
    await database.destroy();
    assert.equal((await redeemDevice(identity, device.device_code)).body.error, 'access_denied');
    assert.equal((await refresh(identity, signedIn.refresh_token)).body.error, 'invalid_grant');
    assert.equal((await postForm(`${identity.base}/token`, account)).status, 401);
    const browser = new Browser(identity.base);
    await browser.open('/device');
    await browser.submit({ user_code: (await startDevice(identity)).user_code });
    await browser.submit(account);
    assert.equal(browser.problem(), 'Incorrect username or password.');
  });

  it('writes no code, token, password or query into the log', async () => {
    const device = await startDevice(identity);
    const browser = new Browser(identity.base);
    await browser.open(`/device?user_code=${device.user_code}`);
    await browser.submit();
    await browser.submit(identity.administrator);
    await browser.submit({ decision: 'grant' });
    const { body } = await redeemDevice(identity, device.device_code);
    const log = identity.log.join('');
    for (const secret of [
      device.device_code,
      device.user_code,
      identity.administrator.password,
      body.access_token,
      body.refresh_token,
      'user_code=',
    ]) {
      assert.ok(!log.includes(secret));
    }
    assert.match(log, /"event":"device_granted"/);
  });
});

describe('typing the user code', () => {
  let identity: TestIdentity;
  before(async () => {
    identity = await startTestIdentity();
  });
  after(() => identity.close());

  it('refuses nonsense and expired forms with a sentence, and after five wrong codes asks to wait', async () => {
    const browser = new Browser(identity.base);
    await browser.open('/device');
    for (let attempt = 0; attempt < 5; attempt++) {
      await browser.submit({ user_code: `ZZZZ-ZZZ${'BCDFG'[attempt]}` });
      assert.equal(browser.response.status, 400);
      assert.match(browser.problem() ?? '', /No program is waiting/);
      assert.match(browser.html, /aria-invalid="true"/);
    }
    const device = await startDevice(identity);
    await browser.submit({ user_code: device.user_code });
    assert.equal(browser.response.status, 429, 'even the right code has to wait now');
    assert.ok(Number(browser.response.headers.get('retry-after')) > 0);
    const other = new Browser(identity.base);
    await other.open('/device');
    await other.submit({ user_code: device.user_code });
    assert.equal(other.response.status, 429, 'a fresh session of the same address does not help');
  });

  it('has no way round the throttle at the protocol path', async () => {
    const path = `${identity.base}/${tenant}/oauth2/v2.0/deviceauth`;
    for (const url of [
      path,
      `${path}/`,
      path.replace('deviceauth', 'DeviceAuth'),
      `${path}?user_code=ZZZZZZZZ`,
    ]) {
      for (const method of ['GET', 'POST', 'HEAD']) {
        const response = await fetch(url, {
          method,
          redirect: 'manual',
          ...(method === 'POST' ? { body: new URLSearchParams({ user_code: 'ZZZZZZZZ' }) } : {}),
        });
        assert.equal(response.status, 303, `${method} ${url}`);
        assert.equal(response.headers.get('location'), '/device');
      }
    }
  });

  it('sends a form without its session back to the page instead of failing', async () => {
    const response = await fetch(`${identity.base}/device`, {
      method: 'POST',
      redirect: 'manual',
      body: new URLSearchParams({ user_code: 'BBBBBBBB', xsrf: 'x' }),
    });
    assert.equal(response.status, 303);
    const forged = await fetch(`${identity.base}/device`, {
      method: 'POST',
      redirect: 'manual',
      headers: { cookie: '_session=forged; _session.sig=forged' },
      body: new URLSearchParams({ user_code: 'BBBBBBBB' }),
    });
    assert.equal(forged.status, 303);
  });

  it('refuses a form posted by another site', async () => {
    const response = await fetch(`${identity.base}/device`, {
      method: 'POST',
      headers: { 'sec-fetch-site': 'cross-site' },
      body: new URLSearchParams({ user_code: 'BBBBBBBB' }),
    });
    assert.equal(response.status, 403);
  });
});

describe('the pace of polling', () => {
  it('takes a poll at the interval, half a second early, and on a first try', () => {
    let now = 0;
    const judge = createPollJudge({ intervalSeconds: 2, lifetimeSeconds: 900, now: () => now });
    assert.equal(judge('a'), 'fine');
    now += 2000;
    assert.equal(judge('a'), 'fine');
    now += 1500;
    assert.equal(judge('a'), 'fine', 'timers are not exact');
    assert.equal(judge('b'), 'fine', 'another code has a pace of its own');
  });

  it('keeps the longer interval after each slow_down', () => {
    let now = 0;
    const judge = createPollJudge({ intervalSeconds: 2, lifetimeSeconds: 900, now: () => now });
    judge('a');
    now += 1000;
    assert.equal(judge('a'), 'too-fast');
    now += 6000;
    assert.equal(judge('a'), 'too-fast', 'seven seconds now');
    now += 12_000;
    assert.equal(judge('a'), 'fine');
  });
});

describe('device sign-in from several hands', () => {
  let identity: TestIdentity;
  before(async () => {
    identity = await startTestIdentity({ device_code: { interval_s: 1, lifetime_s: 60 } });
  });
  after(() => identity.close());

  it('lets a code be typed again after somebody left the sign-in page', async () => {
    const device = await startDevice(identity);
    const gone = new Browser(identity.base);
    await gone.open('/device');
    await gone.submit({ user_code: device.user_code });
    assert.equal(gone.heading(), 'Sign in');
    await approveDevice(identity, device.user_code, identity.administrator);
    assert.equal((await redeemDevice(identity, device.device_code)).status, 200);
  });

  it('takes one decision per code when two browsers press at the same moment', async () => {
    const account = await register(identity, 'other');
    const device = await startDevice(identity);
    const [first, second] = await Promise.all([
      openConfirmation(identity, device.user_code, identity.administrator),
      openConfirmation(identity, device.user_code, account),
    ]);
    await Promise.all([first.submit({ decision: 'grant' }), second.submit({ decision: 'grant' })]);
    const done = [first, second].filter((browser) => browser.heading() === 'You are signed in');
    assert.equal(done.length, 1, `${first.heading()} / ${second.heading()}`);
  });

  it('signs out on one device without touching the other', async () => {
    const [one, two] = [
      await signInWithDevice(identity, identity.administrator),
      await signInWithDevice(identity, identity.administrator),
    ];
    const revoked = await fetch(`${identity.base}/${tenant}/oauth2/v2.0/revoke`, {
      method: 'POST',
      body: new URLSearchParams({
        client_id: clientId(1),
        token: one.refresh_token,
        token_type_hint: 'refresh_token',
      }),
    });
    assert.equal(revoked.status, 200);
    assert.equal((await refresh(identity, one.refresh_token)).body.error, 'invalid_grant');
    assert.equal((await refresh(identity, two.refresh_token)).status, 200);
  });
});

onEachDatabase('a restart in the middle of a device sign-in', (fresh) => {
  it('loses nothing between start, approval, redemption and refresh', async () => {
    const identity = await startTestIdentity(await fresh());
    try {
      const device = await startDevice(identity);
      await identity.restart();
      const browser = await openConfirmation(identity, device.user_code, identity.administrator);
      await identity.restart();
      await browser.submit({ decision: 'grant' });
      assert.equal(browser.heading(), 'You are signed in');
      await identity.restart();
      const redeemed = await redeemDevice(identity, device.device_code);
      assert.equal(redeemed.status, 200, JSON.stringify(redeemed.body));
      await identity.restart();
      const refreshed = await refresh(identity, redeemed.body.refresh_token);
      assert.equal(refreshed.status, 200, JSON.stringify(refreshed.body));
      const keys = (await (await fetch(`${identity.base}/${tenant}/discovery/v2.0/keys`)).json()) as {
        keys: { kid: string }[];
      };
      const kid = (jwt: string): string =>
        JSON.parse(Buffer.from(jwt.split('.')[0] ?? '', 'base64url').toString()).kid;
      assert.ok(
        keys.keys.some((key) => key.kid === kid(redeemed.body.access_token)),
        'tokens from before are verified after',
      );
    } finally {
      await identity.close();
    }
  });

  it('lets exactly one of 20 simultaneous redemptions of a device code and of a refresh token win', async () => {
    const identity = await startTestIdentity({ ...(await fresh()), device_code: { interval_s: 1 } });
    try {
      const device = await startDevice(identity);
      await approveDevice(identity, device.user_code, identity.administrator);
      // The pace of polling answers slow_down to most; storage.test.ts and code-flow.test.ts race without it.
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, () => redeemDevice(identity, device.device_code)),
      );
      const won = outcomes.filter((outcome) => outcome.status === 200);
      assert.equal(won.length, 1);
      const refreshes = await Promise.all(
        Array.from({ length: 20 }, () => refresh(identity, won[0]?.body.refresh_token)),
      );
      assert.equal(refreshes.filter((outcome) => outcome.status === 200).length, 1);
      for (const lost of refreshes.filter((outcome) => outcome.status !== 200))
        assert.equal(lost.body.error, 'invalid_grant');
    } finally {
      await identity.close();
    }
  });
});
