// A real headless Chromium for pages; tests that need it are skipped where it is missing, and fail in CI.
import { existsSync } from 'node:fs';
import { chromium, type Browser, type Page } from 'playwright-core';

const executable = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
);

/** Value for `skip`: false where Chromium is, or where its absence must fail. */
export function skipWithoutBrowser(): string | false {
  return executable !== undefined || process.env['SALLYPORT_REQUIRE_SERVICES'] === '1'
    ? false
    : 'Chromium is not installed';
}

/** Opens a browser that talks to nobody but the pages under test. */
export function openBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: executable ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

export interface DeviceApproval {
  readonly verificationUri: string;
  readonly userCode: string;
  readonly username: string;
  readonly password: string;
}

/** What a person does with a device code: enter it, sign in, press the button. Counts inputs and clicks. */
export async function approveDevice(
  browser: Browser,
  approval: DeviceApproval,
): Promise<{ inputs: number; clicks: number; heading: string }> {
  // The local authority is not in Chromium's own store; the person would have trusted it.
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  try {
    const page = await context.newPage();
    await page.goto(approval.verificationUri);
    await page.getByRole('textbox').fill(approval.userCode);
    await press(page, page.getByRole('button').first());
    await page.getByLabel('Username').fill(approval.username);
    await page.getByLabel('Password').fill(approval.password);
    await press(page, page.getByRole('button', { name: 'Sign in' }));
    await press(page, page.getByRole('button', { name: 'It matches' }));
    return {
      inputs: 3,
      clicks: 3,
      heading: (await page.getByRole('heading', { level: 1 }).textContent()) ?? '',
    };
  } finally {
    await context.close();
  }
}

async function press(page: Page, button: ReturnType<Page['getByRole']>): Promise<void> {
  await button.click();
  await page.waitForLoadState('load');
}
