// The pages in a real browser: nothing that the content security policy refuses, nothing that does not fit, and an
// Authorize button that really signs in at the embedded identity server.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import type { Browser, Page } from 'playwright-core';
import { identityConfigSchema } from '../../../identity/config.ts';
import { startIdentity, type IdentityServer } from '../../../identity/server.ts';
import { openBrowser, skipWithoutBrowser } from '../../support/browser.ts';
import { startTestGateway, type TestGateway } from '../../support/start-gateway.ts';

describe('the pages in a browser', { skip: skipWithoutBrowser() }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-pages-'));
  const administrator = { username: '', password: '' };
  let identity: IdentityServer;
  let gateway: TestGateway;
  let browser: Browser;

  before(async () => {
    const port = await freePort(); // The identity server must know the gateway's address for the redirect of the API page.
    identity = await startIdentity(
      identityConfigSchema.parse({
        listen: '127.0.0.1:0',
        data: join(folder, 'identity'),
        gateway_url: `http://127.0.0.1:${port}`,
      }),
      {
        log: pino({ level: 'silent' }),
        firstAdministrator: (username, password) => void Object.assign(administrator, { username, password }),
      },
    );
    gateway = await startTestGateway({
      config: { listen: `127.0.0.1:${port}`, embedded_issuer: identity.issuer },
    });
    browser = await openBrowser();
  });
  after(async () => {
    await browser.close();
    await gateway.close();
    await identity.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** A page and what it complained about: refused scripts and styles, missing files, errors. */
  async function open(
    path: string,
    options: { width: number; dark: boolean },
  ): Promise<{ page: Page; complaints: string[] }> {
    const page = await browser.newPage({
      viewport: { width: options.width, height: 900 },
      colorScheme: options.dark ? 'dark' : 'light',
    });
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(gateway.url + path);
    return { page, complaints };
  }

  for (const path of ['/', '/docs', '/docs/contents', '/docs/errors', '/docs/errors/invalid_token']) {
    for (const dark of [false, true]) {
      for (const width of dark ? [1280] : [360, 1280]) {
        it(`${path} fits ${width} pixels, ${dark ? 'dark' : 'light'}, and breaks no policy`, async () => {
          const { page, complaints } = await open(path, { width, dark });
          if (path === '/docs') await page.waitForSelector('.opblock');
          const [contentWidth, brightness] = await page.evaluate<[number, number]>(`[
            document.documentElement.scrollWidth,
            Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)?.[0]),
          ]`);
          assert.ok(contentWidth <= width, `${contentWidth} pixels wide`);
          assert.equal(brightness < 128, dark);
          assert.deepEqual(complaints, []);
          assert.equal(await page.locator('html').getAttribute('lang'), 'en');
          assert.ok((await page.title()).includes('Sallyport'));
          await page.close();
        });
      }
    }
  }

  it('the home page can be read without script and used by keyboard', async () => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(gateway.url);
    assert.ok(await page.getByRole('heading', { name: 'Sign in' }).isVisible());
    assert.equal(await page.getByRole('button').count(), 0);
    await page.keyboard.press('Tab');
    assert.equal(await page.locator(':focus').innerText(), 'Skip to the content');
    await context.close();
  });

  it('a snippet is copied as it stands', async () => {
    const context = await browser.newContext({ permissions: ['clipboard-read', 'clipboard-write'] });
    const page = await context.newPage();
    await page.goto(gateway.url);
    await page.getByRole('button', { name: 'Copy' }).first().click();
    await page.getByRole('button', { name: 'Copied' }).waitFor();
    assert.equal(
      await page.evaluate('navigator.clipboard.readText()'),
      `npx sallyport login --gateway ${gateway.url}`,
    );
    await context.close();
  });

  it('Authorize on the API page signs in with code and PKCE, and an endpoint can then be tried', async () => {
    const { page, complaints } = await open('/docs', { width: 1280, dark: false });
    await page.locator('.btn.authorize').click();
    const opened = page.waitForEvent('popup');
    await page.locator('.dialog-ux .auth-btn-wrapper .authorize').first().click();
    const popup = await opened;
    await popup.locator('input[name=username]').fill(administrator.username);
    await popup.locator('input[name=password]').fill(administrator.password);
    const closed = popup.waitForEvent('close');
    await popup.locator('button[type=submit]').first().click();
    await Promise.race([closed, popup.waitForURL(/\/interaction\//, { waitUntil: 'load' })]).catch(
      () => undefined,
    );
    // The second press gives consent, where the identity server asks for it.
    if (!popup.isClosed())
      await popup
        .locator('button[type=submit]')
        .first()
        .click()
        .catch(() => undefined);
    await closed;
    await page.getByText('Authorized', { exact: true }).waitFor();
    await page.locator('.btn-done').first().click();
    await page.locator('.opblock-summary-control').first().click();
    await page.getByRole('button', { name: 'Try it out' }).click();
    const answered = page.waitForResponse((response) => response.url() === `${gateway.url}/v1/models`);
    await page.getByRole('button', { name: 'Execute' }).click();
    assert.equal((await answered).status(), 200);
    assert.deepEqual(complaints, []);
    await page.close();
  });

  it('an answer that the API page did not ask for is dropped', async () => {
    const { page } = await open('/docs', { width: 1280, dark: false });
    await page.locator('.btn.authorize').click();
    const opened = page.waitForEvent('popup');
    await page.locator('.dialog-ux .auth-btn-wrapper .authorize').first().click();
    const popup = await opened;
    let exchanged = false;
    page.on('request', (request) => {
      exchanged ||= request.url().includes('/token');
    });
    await popup
      .goto(`${gateway.url}/docs/oauth2-redirect.html?code=stolen&state=forged`)
      .catch(() => undefined);
    await page.waitForTimeout(500);
    assert.equal(exchanged, false);
    assert.equal(await page.getByText('Authorized', { exact: true }).count(), 0);
    await page.close();
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
