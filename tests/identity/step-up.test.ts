// What access tokens say of the sign-in behind them, and that max_age asks the person anew (RFC 9470, OpenID Connect Core
// §3.1.2.1). R5 is a statement of the security reference.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  accessScope,
  Browser,
  clientId,
  postForm,
  redeemDevice,
  startTestIdentity,
  tenant,
  type Json,
  type TestIdentity,
} from './support.ts';

let identity: TestIdentity;
before(async () => {
  identity = await startTestIdentity();
});
after(() => identity.close());

const claimsOf = (accessToken: string): Json =>
  JSON.parse(Buffer.from(accessToken.split('.')[1] ?? '', 'base64url').toString());

/** A device authorization with further parameters. */
async function startDevice(more: Record<string, string> = {}) {
  return postForm(`${identity.base}/${tenant}/oauth2/v2.0/devicecode`, {
    client_id: clientId(1),
    scope: `openid profile offline_access ${accessScope}`,
    ...more,
  });
}

/** The page after the code was typed: to sign in, or to confirm. */
async function typeCode(browser: Browser, userCode: string): Promise<string> {
  await browser.open('/device');
  await browser.submit({ user_code: userCode });
  return browser.heading();
}

async function approve(browser: Browser): Promise<void> {
  if (browser.heading() === 'Sign in') await browser.submit(identity.administrator);
  assert.equal(browser.heading(), 'Does this code match?');
  await browser.submit({ decision: 'grant' });
}

describe('an access token', () => {
  it('says when and how the person signed in, and renewing it changes neither', async () => {
    const browser = new Browser(identity.base);
    const { body: device } = await startDevice();
    const before = Math.floor(Date.now() / 1000);
    assert.equal(await typeCode(browser, device.user_code), 'Sign in');
    await approve(browser);
    const { body: issued } = await redeemDevice(identity, device.device_code);
    const claims = claimsOf(issued.access_token);
    assert.ok(claims.auth_time >= before && claims.auth_time <= Date.now() / 1000, String(claims.auth_time));
    assert.deepEqual(claims.amr, ['pwd']);
    assert.equal(claims.acr, undefined);
    await sleep(1_100);
    const { body: renewed } = await postForm(`${identity.base}/${tenant}/oauth2/v2.0/token`, {
      grant_type: 'refresh_token',
      client_id: clientId(1),
      refresh_token: issued.refresh_token,
    });
    const later = claimsOf(renewed.access_token);
    assert.deepEqual([later.auth_time, later.amr], [claims.auth_time, ['pwd']]);
    assert.notEqual(later.jti, claims.jti);
  });

  it('for a password says that the password was shown now', async () => {
    const { body } = await postForm(`${identity.base}/token`, identity.administrator);
    const claims = claimsOf(body.access_token);
    assert.ok(Math.abs(claims.auth_time - claims.iat) <= 1);
    assert.deepEqual(claims.amr, ['pwd']);
  });
});

describe('max_age in the device flow', () => {
  it('R5 asks a person who is signed in for the password again, and the new token says so', async () => {
    const browser = new Browser(identity.base);
    const { body: first } = await startDevice();
    await typeCode(browser, first.user_code);
    await approve(browser);
    const old = claimsOf((await redeemDevice(identity, first.device_code)).body.access_token);
    await sleep(2_100);
    const { body: usual } = await startDevice({ max_age: '3600' });
    assert.equal(await typeCode(browser, usual.user_code), 'Does this code match?');
    const { body: strict } = await startDevice({ max_age: '1' });
    assert.equal(await typeCode(browser, strict.user_code), 'Sign in');
    await approve(browser);
    const fresh = claimsOf((await redeemDevice(identity, strict.device_code)).body.access_token);
    assert.ok(fresh.auth_time > old.auth_time, `${fresh.auth_time} is not after ${old.auth_time}`);
  });

  it('is not satisfied by pressing the button of the confirmation alone', async () => {
    const browser = new Browser(identity.base);
    const { body: first } = await startDevice();
    await typeCode(browser, first.user_code);
    await approve(browser);
    await sleep(2_100);
    const { body: strict } = await startDevice({ max_age: '0' });
    assert.equal(await typeCode(browser, strict.user_code), 'Sign in');
    await browser.submit({ decision: 'grant' });
    assert.notEqual(browser.heading(), 'You are signed in');
    assert.equal((await redeemDevice(identity, strict.device_code)).body.error, 'authorization_pending');
  });

  for (const maxAge of ['-1', 'x', '1.5', '']) {
    it(`is refused or without effect when it is no number of seconds: "${maxAge}"`, async () => {
      const { status, body } = await startDevice({ max_age: maxAge });
      if (maxAge === '') assert.equal(status, 200);
      else assert.deepEqual([status, body.error], [400, 'invalid_request']);
    });
  }

  it('takes acr_values as a wish, since there is one way to sign in', async () => {
    const browser = new Browser(identity.base);
    const { status, body } = await startDevice({ acr_values: 'urn:example:mfa' });
    assert.equal(status, 200);
    await typeCode(browser, body.user_code);
    await approve(browser);
    const claims = claimsOf((await redeemDevice(identity, body.device_code)).body.access_token);
    assert.deepEqual([claims.acr, claims.amr], [undefined, ['pwd']]);
  });
});
