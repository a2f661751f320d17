import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import * as oauth from 'openid-client';
import { findAccountByUsername, updateAccount } from '../../identity/accounts/accounts.ts';
import { openForAdministration, resetPassword } from '../../identity/administration.ts';
import { onEachDatabase } from './databases.ts';
import {
  accessScope,
  Browser,
  claimsOf,
  clientId,
  postForm,
  postJson,
  refresh,
  startTestIdentity,
  tenant,
  type TestIdentity,
} from './support.ts';

const redirectUri = 'http://127.0.0.1:53682/callback';

interface CodeRequest {
  readonly client?: string;
  readonly redirect?: string;
  readonly scope?: string;
  readonly extra?: Record<string, string>;
}

/** Opens the authorization endpoint as an application would. */
async function startCode(
  identity: TestIdentity,
  { client = clientId(3), redirect = redirectUri, scope = accessScope, extra = {} }: CodeRequest = {},
  browser = new Browser(identity.base),
) {
  const verifier = randomBytes(32).toString('base64url');
  const query = new URLSearchParams({
    client_id: client,
    redirect_uri: redirect,
    response_type: 'code',
    scope,
    state: 'st',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...extra,
  });
  for (const [name, value] of [...query]) if (value === '') query.delete(name);
  await browser.open(`${identity.base}/${tenant}/oauth2/v2.0/authorize?${query.toString()}`);
  return { browser, verifier };
}

async function obtainCode(identity: TestIdentity, request: CodeRequest = {}) {
  const { browser, verifier } = await startCode(identity, request);
  await browser.submit(identity.administrator);
  await browser.submit({ decision: 'grant' });
  const answer = new URL(browser.url);
  return { code: answer.searchParams.get('code') ?? '', verifier, answer };
}

function redeemCode(identity: TestIdentity, fields: Record<string, string>) {
  return postForm(`${identity.base}/${tenant}/oauth2/v2.0/token`, {
    grant_type: 'authorization_code',
    client_id: clientId(3),
    redirect_uri: redirectUri,
    ...fields,
  });
}

describe('authorization code with PKCE', () => {
  let identity: TestIdentity;
  before(async () => {
    process.env['SALLYPORT_TEST_SERVICE_SECRET'] = 'a-secret-of-more-than-thirty-two-characters';
    identity = await startTestIdentity({
      gateway_url: 'http://127.0.0.1:8080',
      clients: [
        { client_id: 'reporting', secret: 'env:SALLYPORT_TEST_SERVICE_SECRET', app_roles: ['LLM.User'] },
      ],
    });
  });
  after(() => identity.close());

  it('signs in with openid-client as found by discovery, and refreshes', async () => {
    const config = await oauth.discovery(new URL(identity.issuer), clientId(3), undefined, oauth.None(), {
      // eslint-disable-next-line @typescript-eslint/no-deprecated -- plain HTTP on loopback is what is tested.
      execute: [oauth.allowInsecureRequests],
    });
    const verifier = oauth.randomPKCECodeVerifier();
    const state = oauth.randomState();
    const url = oauth.buildAuthorizationUrl(config, {
      redirect_uri: redirectUri,
      scope: `openid profile offline_access ${accessScope}`,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
    });
    const browser = new Browser(identity.base);
    await browser.open(url.href);
    assert.equal(browser.heading(), 'Sign in');
    await browser.submit(identity.administrator);
    assert.match(browser.heading(), /Allow Notebooks and scripts/);
    assert.ok(
      browser.response.headers
        .get('content-security-policy')
        ?.includes("form-action 'self' http://127.0.0.1:53682"),
    );
    await browser.submit({ decision: 'grant' });
    // openid-client itself compares state and iss (RFC 9207).
    const answer = await oauth.authorizationCodeGrant(config, new URL(browser.url), {
      pkceCodeVerifier: verifier,
      expectedState: state,
    });
    assert.equal(claimsOf(answer.access_token).scp, 'LLM.Access');
    assert.equal(answer.claims()?.['preferred_username'], 'admin');
    assert.ok(answer.refresh_token, 'without prompt=consent too, as MSAL expects');
    const renewed = await oauth.refreshTokenGrant(config, answer.refresh_token, {
      scope: `openid profile offline_access ${accessScope}`,
    });
    assert.equal(claimsOf(renewed.access_token).oid, claimsOf(answer.access_token).oid);
  });

  it('redirects to any port of a loopback address, but to no other path or host', async () => {
    assert.ok((await obtainCode(identity, { redirect: 'http://127.0.0.1:1234/callback' })).code);
    assert.ok((await obtainCode(identity, { redirect: 'http://localhost:4321' })).code);
    for (const redirect of [
      'http://127.0.0.1:1234/other',
      'https://127.0.0.1/callback',
      'http://evil.example/callback',
      'http://127.0.0.1.evil.example/callback',
      'http://evil@127.0.0.1/callback',
      'javascript:alert(1)',
    ]) {
      const { browser } = await startCode(identity, { redirect });
      assert.equal(browser.response.status, 400, redirect);
      assert.equal(browser.heading(), 'This sign-in cannot go on', redirect);
      assert.ok(
        new URL(browser.url).origin === identity.base,
        'no redirect to an address that is not registered',
      );
    }
  });

  it('serves the API page with exactly its own redirect', async () => {
    const redirect = 'http://127.0.0.1:8080/docs/oauth2-redirect.html';
    assert.ok((await obtainCode(identity, { client: clientId(2), redirect })).code);
    const { browser } = await startCode(identity, { client: clientId(2), redirect: `${redirect}?x` });
    assert.equal(browser.response.status, 400);
  });

  it('lets the origin of the API page, and no other, call the token endpoint from a browser', async () => {
    const ask = (origin: string) => redeem({ origin });
    const redeem = (headers: Record<string, string>) =>
      postForm(
        `${identity.base}/${tenant}/oauth2/v2.0/token`,
        { grant_type: 'authorization_code', client_id: clientId(2), code: 'x', redirect_uri: 'x' },
        headers,
      );
    assert.equal(
      (await ask('http://127.0.0.1:8080')).headers.get('access-control-allow-origin'),
      'http://127.0.0.1:8080',
    );
    for (const origin of [
      'null',
      'http://evil.example',
      'http://127.0.0.1:8080.evil.example',
      'https://127.0.0.1:8080',
    ]) {
      const answer = await ask(origin);
      assert.equal(answer.headers.get('access-control-allow-origin'), null, origin);
      assert.equal(answer.headers.get('access-control-allow-credentials'), null);
    }
  });

  it('refuses a request without PKCE, with plain PKCE, implicit and hybrid responses and unknown scopes', async () => {
    const refusedWith = async (extra: Record<string, string>): Promise<string | null> => {
      const { browser } = await startCode(identity, { extra });
      return (
        new URL(browser.url).searchParams.get('error') ??
        new URLSearchParams(new URL(browser.url).hash.slice(1)).get('error')
      );
    };
    assert.equal(await refusedWith({ code_challenge: '', code_challenge_method: '' }), 'invalid_request');
    assert.equal(await refusedWith({ code_challenge_method: 'plain' }), 'invalid_request');
    assert.equal(await refusedWith({ response_type: 'token' }), 'unsupported_response_type');
    assert.equal(await refusedWith({ response_type: 'code id_token' }), 'unsupported_response_type');
    assert.equal(await refusedWith({ scope: 'openid root' }), 'invalid_scope');
    assert.equal(await refusedWith({ resource: 'https://elsewhere.example' }), 'invalid_target');
    assert.equal(await refusedWith({ prompt: 'none' }), 'login_required');
  });

  it('refuses a code with a wrong verifier, redirect or client, and without one', async () => {
    const { code, verifier } = await obtainCode(identity);
    assert.equal(
      (await redeemCode(identity, { code, code_verifier: 'x'.repeat(43) })).body.error,
      'invalid_grant',
    );
    assert.equal((await redeemCode(identity, { code })).body.error, 'invalid_grant');
    assert.equal(
      (await redeemCode(identity, { code, code_verifier: verifier, redirect_uri: 'http://127.0.0.1:53682' }))
        .body.error,
      'invalid_grant',
    );
    assert.equal(
      (await redeemCode(identity, { code, code_verifier: verifier, client_id: clientId(2) })).body.error,
      'invalid_grant',
    );
    assert.equal(
      (await redeemCode(identity, { code, code_verifier: verifier })).status,
      200,
      'none of them used it up',
    );
  });

  it('revokes what a code gave when the code is presented again (RFC 6749 §4.1.2)', async () => {
    const { code, verifier } = await obtainCode(identity);
    const first = await redeemCode(identity, { code, code_verifier: verifier });
    assert.equal(first.status, 200);
    assert.equal((await redeemCode(identity, { code, code_verifier: verifier })).body.error, 'invalid_grant');
    assert.equal(
      (await refresh(identity, first.body.refresh_token, clientId(3))).body.error,
      'invalid_grant',
    );
  });

  it('names the issuer in the answer to the application (RFC 9207)', async () => {
    const { answer } = await obtainCode(identity);
    assert.equal(answer.searchParams.get('iss'), identity.issuer);
    assert.equal(answer.searchParams.get('state'), 'st');
  });

  it('asks to sign in again when the account of the session was disabled meanwhile', async () => {
    await postJson(`${identity.base}/users`, {
      username: 'leaver',
      password: 'correct horse battery staple',
    });
    const { browser } = await startCode(identity);
    await browser.submit({ username: 'leaver', password: 'correct horse battery staple' });
    await browser.submit({ decision: 'grant' });
    const database = await openForAdministration(identity.config);
    const account = await findAccountByUsername(database, 'leaver');
    await updateAccount(database, account?.id ?? '', { disabled: true });
    await database.destroy();
    await startCode(identity, {}, browser);
    assert.equal(browser.heading(), 'Sign in');
  });

  it('tells the application that the person refused', async () => {
    const { browser } = await startCode(identity);
    await browser.submit(identity.administrator);
    await browser.submit({ decision: 'deny' });
    assert.equal(new URL(browser.url).searchParams.get('error'), 'access_denied');
  });

  it('answers form_post with a page whose only script is admitted by its hash', async () => {
    const { browser } = await startCode(identity, { extra: { response_mode: 'form_post' } });
    await browser.submit(identity.administrator);
    await browser.submit({ decision: 'grant' });
    assert.match(browser.html, /name="code"/);
    const policy = browser.response.headers.get('content-security-policy') ?? '';
    assert.match(policy, /script-src 'sha256-/);
    assert.match(policy, /frame-ancestors 'none'/);
    const script = /<script>([\s\S]*?)<\/script>/.exec(browser.html)?.[1] ?? '';
    assert.ok(policy.includes(`'sha256-${createHash('sha256').update(script).digest('base64')}'`));
  });

  it('gives the session a new identifier at sign-in, so that a planted one is worthless', async () => {
    const { browser } = await startCode(identity);
    await browser.open('/device');
    const planted = browser.cookies.get('_session;/')?.value;
    const again = await startCode(identity);
    again.browser.cookies.set('_session;/', browser.cookies.get('_session;/') ?? { value: '', path: '/' });
    again.browser.cookies.set(
      '_session.sig;/',
      browser.cookies.get('_session.sig;/') ?? { value: '', path: '/' },
    );
    await again.browser.submit(identity.administrator);
    assert.ok(planted);
    assert.notEqual(again.browser.cookies.get('_session;/')?.value, planted);
  });

  it('refuses an interaction without its cookie, with another one, and a form without its token', async () => {
    const { browser } = await startCode(identity);
    const stranger = new Browser(identity.base);
    await stranger.open(browser.url);
    assert.equal(stranger.response.status, 400);
    assert.equal(stranger.heading(), 'This page is no longer valid');
    const { action } = browser.form();
    await browser.open(action, {
      method: 'POST',
      body: new URLSearchParams({ ...identity.administrator, csrf: 'guess' }),
    });
    assert.equal(browser.response.status, 403);
    await browser.open(action, { method: 'POST', body: new URLSearchParams({ ...identity.administrator }) });
    assert.equal(browser.response.status, 403);
  });

  it('lets a browser that signed in before in, while a stranger guesses', async () => {
    const { browser } = await startCode(identity);
    await browser.submit(identity.administrator);
    assert.match(browser.heading(), /Allow/);
    for (let guess = 0; guess < 7; guess++) {
      await postForm(`${identity.base}/token`, { username: 'admin', password: `guess ${guess}` });
    }
    const { browser: stranger } = await startCode(identity);
    await stranger.submit(identity.administrator);
    assert.equal(stranger.response.status, 429);
    assert.match(stranger.problem() ?? '', /Too many attempts/);
    for (const name of ['_session;/', '_session.sig;/']) browser.cookies.delete(name);
    await startCode(identity, {}, browser);
    assert.equal(browser.heading(), 'Sign in');
    await browser.submit(identity.administrator);
    assert.match(browser.heading(), /Allow/, 'the owner is not kept out');
    await postForm(`${identity.base}/token`, identity.administrator);
    const database = await openForAdministration(identity.config);
    await resetPassword(database, 'admin', identity.administrator.password);
    await database.destroy();
    const { browser: after } = await startCode(identity);
    await after.submit(identity.administrator);
    assert.match(after.heading(), /Allow/, 'a reset lets everybody in again');
  });

  it('signs a person out after asking', async () => {
    const { browser } = await startCode(identity);
    await browser.submit(identity.administrator);
    await browser.open(`/${tenant}/oauth2/v2.0/logout`);
    assert.equal(browser.heading(), 'Sign out?');
    await browser.submit({ logout: 'yes' });
    assert.equal(browser.heading(), 'You are signed out');
    await startCode(identity, {}, browser);
    assert.equal(browser.heading(), 'Sign in', 'the same browser is asked again');
  });

  describe('client credentials', () => {
    const ask = (fields: Record<string, string>, headers: Record<string, string> = {}) =>
      postForm(
        `${identity.base}/${tenant}/oauth2/v2.0/token`,
        { grant_type: 'client_credentials', ...fields },
        headers,
      );
    const secret = 'a-secret-of-more-than-thirty-two-characters';

    it('gives a client its app roles and no scope', async () => {
      for (const scope of [{ scope: 'api://sallyport/.default' }, {}]) {
        const { status, body } = await ask({
          client_id: 'reporting',
          client_secret: secret,
          ...(scope as Record<string, string>),
        });
        assert.equal(status, 200, JSON.stringify(body));
        const claims = claimsOf(body.access_token);
        assert.deepEqual(claims.roles, ['LLM.User']);
        assert.equal(claims.scp, undefined);
        assert.equal(claims.idtyp, 'app');
        assert.equal(claims.azp, 'reporting');
        assert.equal(claims.aud, 'api://sallyport');
        assert.equal(body.refresh_token, undefined);
      }
    });

    it('takes HTTP Basic as well', async () => {
      const basic = Buffer.from(`reporting:${secret}`).toString('base64');
      assert.equal(
        (await ask({ scope: 'api://sallyport/.default' }, { authorization: `Basic ${basic}` })).status,
        200,
      );
    });

    it('refuses a wrong secret, a public client, and scopes of people or of nobody', async () => {
      assert.equal((await ask({ client_id: 'reporting', client_secret: 'wrong' })).status, 401);
      assert.equal((await ask({ client_id: 'reporting' })).status, 401);
      assert.ok((await ask({ client_id: clientId(1) })).status >= 400);
      for (const scope of [accessScope, 'openid', 'api://sallyport/nope', 'api://elsewhere/.default']) {
        assert.equal(
          (await ask({ client_id: 'reporting', client_secret: secret, scope })).body.error,
          'invalid_scope',
          scope,
        );
      }
      assert.equal(
        (await ask({ client_id: 'reporting', client_secret: secret, resource: 'https://elsewhere.example' }))
          .body.error,
        'invalid_target',
      );
    });

    it('introspects access tokens for a confidential client, and for nobody else', async () => {
      const { code, verifier } = await obtainCode(identity);
      const { body } = await redeemCode(identity, { code, code_verifier: verifier });
      const look = (presented: string, fields: Record<string, string>) =>
        postForm(`${identity.base}/${tenant}/oauth2/v2.0/introspect`, { token: presented, ...fields });
      const known = { client_id: 'reporting', client_secret: secret };
      const seen = await look(body.access_token, known);
      assert.equal(seen.body.active, true);
      assert.equal(seen.body.scp, 'LLM.Access');
      assert.equal((await look(`${body.access_token.slice(0, -8)}AAAAAAAA`, known)).body.active, false);
      assert.equal((await look('a.b.c', known)).body.active, false);
      assert.equal((await look('opaque', known)).body.active, false);
      assert.equal(
        (await look(body.access_token, { client_id: 'reporting', client_secret: 'wrong' })).status,
        401,
      );
    });
  });
});

onEachDatabase('redeeming once', (fresh) => {
  it('lets exactly one of 20 simultaneous redemptions of an authorization code win', async () => {
    const identity = await startTestIdentity(await fresh());
    try {
      const { code, verifier } = await obtainCode(identity);
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, () => redeemCode(identity, { code, code_verifier: verifier })),
      );
      assert.equal(outcomes.filter((outcome) => outcome.status === 200).length, 1);
      for (const lost of outcomes.filter((outcome) => outcome.status !== 200))
        assert.equal(lost.body.error, 'invalid_grant');
    } finally {
      await identity.close();
    }
  });

  it('rotates refresh tokens, and the use of an old one ends the family', async () => {
    const identity = await startTestIdentity(await fresh());
    try {
      const { code, verifier } = await obtainCode(identity);
      const first = (await redeemCode(identity, { code, code_verifier: verifier })).body
        .refresh_token as string;
      const second = await refresh(identity, first, clientId(3), { scope: `offline_access ${accessScope}` });
      assert.equal(second.status, 200, JSON.stringify(second.body));
      assert.notEqual(second.body.refresh_token, first);
      const lifetime: unknown = second.body.refresh_token_expires_in;
      assert.ok(typeof lifetime === 'number' && lifetime > 29 * 86_400 && lifetime <= 30 * 86_400);
      const third = await refresh(identity, second.body.refresh_token, clientId(3));
      assert.equal(third.status, 200);
      assert.equal((await refresh(identity, first, clientId(3))).body.error, 'invalid_grant');
      assert.equal(
        (await refresh(identity, third.body.refresh_token, clientId(3))).body.error,
        'invalid_grant',
        'the newest died with the family',
      );
    } finally {
      await identity.close();
    }
  });

  it('refuses a refresh token to another client, and scopes beyond what was granted', async () => {
    const identity = await startTestIdentity(await fresh());
    try {
      const { code, verifier } = await obtainCode(identity);
      const { refresh_token: held } = (await redeemCode(identity, { code, code_verifier: verifier }))
        .body as { refresh_token: string };
      assert.equal((await refresh(identity, held, clientId(1))).body.error, 'invalid_grant');
      assert.equal(
        (await refresh(identity, held, clientId(3), { scope: `email ${accessScope}` })).body.error,
        'invalid_scope',
      );
      assert.equal((await refresh(identity, held, clientId(3))).status, 200);
    } finally {
      await identity.close();
    }
  });
});
