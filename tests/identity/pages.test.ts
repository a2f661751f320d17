import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { openBrowser, skipWithoutBrowser } from '../support/browser.ts';
import { findProblems } from './find-problems.ts';
import {
  accessScope,
  clientId,
  startDevice,
  startTestIdentity,
  tenant,
  type TestIdentity,
} from './support.ts';

/** SALLYPORT_SCREENSHOTS=folder keeps pictures of every page to look at. */
const pictures = process.env['SALLYPORT_SCREENSHOTS'];

interface Looks {
  readonly colorScheme: 'light' | 'dark';
  readonly width: number;
}

describe('an address where nothing is', () => {
  it('is a page for a browser and a problem for programs', async () => {
    const identity = await startTestIdentity();
    try {
      for (const [accept, type] of [
        ['text/html,application/xhtml+xml,*/*;q=0.8', /^text\/html/],
        ['*/*', /^application\/problem\+json/],
        ['application/json', /^application\/problem\+json/],
      ] as const) {
        const answer = await fetch(`${identity.base}/nothing`, { headers: { accept } });
        assert.equal(answer.status, 404);
        assert.match(answer.headers.get('content-type') ?? '', type);
        assert.doesNotMatch(await answer.text(), /nothing"|\/nothing/, 'the address is not repeated');
      }
    } finally {
      await identity.close();
    }
  });
});

describe('the pages in a real browser', { skip: skipWithoutBrowser() }, () => {
  let identity: TestIdentity;
  let browser: Browser;
  before(async () => {
    [identity, browser] = await Promise.all([startTestIdentity(), openBrowser()]);
  });
  after(async () => {
    await browser.close();
    await identity.close();
  });

  async function withPage(
    looks: Looks,
    act: (page: Page, look: (name: string) => Promise<void>) => Promise<void>,
  ): Promise<void> {
    const context: BrowserContext = await browser.newContext({
      colorScheme: looks.colorScheme,
      viewport: { width: looks.width, height: 800 },
      javaScriptEnabled: true,
    });
    const complaints: string[] = [];
    try {
      const page = await context.newPage();
      page.on('console', (message) => complaints.push(message.text()));
      page.on('pageerror', (error) => complaints.push(error.message));
      page.on('requestfailed', (request) => complaints.push(`failed: ${request.url()}`));
      await act(page, async (name) => {
        if (pictures !== undefined)
          await page.screenshot({
            path: `${pictures}/${name}-${looks.colorScheme}-${looks.width}.png`,
            fullPage: true,
          });
        assert.deepEqual(
          await page.evaluate(findProblems),
          [],
          `${name}, ${looks.colorScheme}, ${looks.width}`,
        );
        assert.equal(new URL(page.url()).origin, identity.base);
      });
      const real = complaints.filter((text) => !/status of (400|404)/.test(text));
      assert.deepEqual(real, []);
    } finally {
      await context.close();
    }
  }

  for (const looks of [
    { colorScheme: 'light', width: 1280 },
    { colorScheme: 'dark', width: 1280 },
    { colorScheme: 'light', width: 360 },
    { colorScheme: 'dark', width: 320 },
  ] as const) {
    it(`are readable, labelled and free of policy violations (${looks.colorScheme}, ${looks.width} px)`, async () => {
      const device = await startDevice(identity);
      const refused = await startDevice(identity);
      await withPage(looks, async (page, look) => {
        await page.goto(identity.base);
        await look('start');
        await page.getByRole('link', { name: 'Enter a code' }).click();
        await look('device');
        await page.getByLabel('Code').fill('BBBB-BBBB');
        await page.getByRole('button', { name: 'Continue' }).click();
        await page.getByRole('alert').waitFor();
        await look('device-wrong');
        await page.getByLabel('Code').fill(device.user_code);
        await page.keyboard.press('Enter');
        await page.getByLabel('Username').waitFor();
        await look('sign-in');
        await page.getByLabel('Username').fill('admin');
        await page.getByLabel('Password').fill('wrong');
        await page.keyboard.press('Enter');
        await page.getByRole('alert').waitFor();
        await look('sign-in-wrong');
        assert.equal(await page.evaluate('document.activeElement.name'), 'password');
        await page.getByLabel('Password').fill(identity.administrator.password);
        await page.getByRole('button', { name: 'Sign in' }).click();
        await page.getByRole('heading', { name: 'Does this code match?' }).waitFor();
        assert.ok(await page.getByText(device.user_code).isVisible());
        await look('confirm');
        await page.getByRole('button', { name: 'It matches' }).click();
        await page.getByRole('heading', { name: 'You are signed in' }).waitFor();
        await look('done');
        await page.goto(`${identity.base}/device?user_code=${refused.user_code}`);
        await page.getByRole('button', { name: 'Continue' }).click();
        await page.getByRole('button', { name: 'It does not match' }).click();
        await page.getByRole('heading', { name: 'Sign-in refused' }).waitFor();
        await look('denied');
        await page.goto(`${identity.base}/${tenant}/oauth2/v2.0/authorize?client_id=nobody`);
        await look('error');
        const query = new URLSearchParams({
          client_id: clientId(3),
          redirect_uri: 'http://localhost:1',
          response_type: 'code',
          scope: accessScope,
          code_challenge: 'x'.repeat(43),
          code_challenge_method: 'S256',
        });
        await page.goto(`${identity.base}/${tenant}/oauth2/v2.0/authorize?${query.toString()}`);
        await look('consent');
        await page.goto(`${identity.base}/${tenant}/oauth2/v2.0/logout`);
        await look('sign-out');
        await page.getByRole('button', { name: 'Sign out' }).click();
        await page.getByRole('heading', { name: 'You are signed out' }).waitFor();
        await look('signed-out');
      });
    });
  }

  it('need no script: the whole way works with JavaScript switched off', async () => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    const device = await startDevice(identity);
    await page.goto(device.verification_uri);
    await page.getByLabel('Code').fill(device.user_code);
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByLabel('Username').fill('admin');
    await page.getByLabel('Password').fill(identity.administrator.password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'It matches' }).click();
    assert.ok(await page.getByRole('heading', { name: 'You are signed in' }).isVisible());
    await context.close();
  });

  it('cannot be framed, cached or made to run script, and say so in headers', async () => {
    for (const path of ['/', '/device', '/nothing', `/${tenant}/oauth2/v2.0/authorize?client_id=x`]) {
      const response = await fetch(identity.base + path, { headers: { accept: 'text/html' } });
      const policy = response.headers.get('content-security-policy') ?? '';
      assert.match(policy, /default-src 'none'/, path);
      assert.match(policy, /frame-ancestors 'none'/, path);
      assert.doesNotMatch(policy, /unsafe/, path);
      assert.equal(response.headers.get('cache-control'), 'no-store', path);
      assert.equal(response.headers.get('x-frame-options'), 'DENY', path);
      assert.equal(response.headers.get('x-content-type-options'), 'nosniff', path);
      assert.equal(response.headers.get('x-powered-by'), null, path);
      assert.ok(response.headers.get('x-request-id'), path);
      await response.arrayBuffer();
    }
  });

  it('follow the way back to an application on a loopback address under their own policy', async () => {
    const { createServer } = await import('node:http');
    const arrived: string[] = [];
    const application = createServer((request, response) => {
      arrived.push(request.url ?? '');
      response.end('back in the application');
    });
    await new Promise<void>((resolve) => application.listen(0, '127.0.0.1', resolve));
    const { port } = application.address() as { port: number };
    const query = new URLSearchParams({
      client_id: clientId(3),
      redirect_uri: `http://127.0.0.1:${port}/callback`,
      response_type: 'code',
      scope: accessScope,
      code_challenge: 'x'.repeat(43),
      code_challenge_method: 'S256',
    });
    const context = await browser.newContext();
    try {
      const page = await context.newPage();
      await page.goto(`${identity.base}/${tenant}/oauth2/v2.0/authorize?${query.toString()}`);
      await page.getByLabel('Username').fill('admin');
      await page.getByLabel('Password').fill(identity.administrator.password);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.getByRole('button', { name: 'Allow' }).click();
      await page.getByText('back in the application').waitFor();
      assert.match(arrived[0] ?? '', /^\/callback\?code=/);
    } finally {
      await context.close();
      application.closeAllConnections();
      application.close();
    }
  });
});
