// The main job as a person does it: start, sign in with a device code in a browser, chat; then every client of examples/.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Browser } from 'playwright-core';
import { packageRoot } from '../../core/package.ts';
import { approveDevice, openBrowser, skipWithoutBrowser } from '../support/browser.ts';
import { startStack, type TestStack } from '../support/start-stack.ts';

const skip = skipWithoutBrowser();

/** Collects what a process says; `saying` waits for a text. */
function listen(child: ChildProcess): {
  ended: Promise<{ code: number | null; stdout: string; stderr: string }>;
  saying(pattern: RegExp): Promise<RegExpExecArray>;
} {
  let stdout = '';
  let stderr = '';
  const watchers = new Set<() => void>();
  const changed = (): void => watchers.forEach((watcher) => watcher());
  child.stdout?.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    changed();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
    changed();
  });
  return {
    ended: new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr }))),
    saying: (pattern) =>
      new Promise((resolve, reject) => {
        const watcher = (): void => {
          const found = pattern.exec(stdout + stderr);
          if (found === null) return;
          watchers.delete(watcher);
          resolve(found);
        };
        watchers.add(watcher);
        child.once('close', (code) =>
          reject(new Error(`ended with ${code} before it said ${String(pattern)}:\n${stdout}${stderr}`)),
        );
        watcher();
      }),
  };
}

function example(stack: TestStack, file: string, words: string[] = []): ChildProcess {
  const [program, script] = file.endsWith('.sh') ? ['sh', [file]] : [process.execPath, [file]];
  return spawn(program, [...script.map((name) => join(packageRoot, 'examples', name)), ...words], {
    cwd: packageRoot,
    env: stack.environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function runExample(stack: TestStack, file: string, words: string[] = []): Promise<string> {
  const { code, stdout, stderr } = await listen(example(stack, file, words)).ended;
  assert.equal(code, 0, `${file}:\n${stdout}\n${stderr}`);
  return stdout;
}

describe('over plain HTTP on loopback', { skip }, () => {
  let stack: TestStack;
  let browser: Browser;
  before(async () => {
    [stack, browser] = await Promise.all([startStack(), openBrowser()]);
  });
  after(async () => {
    await Promise.all([stack.close(), browser.close()]);
  });

  it('refuses to chat before anybody has signed in, with the command that helps', () => {
    const { status, stdout, stderr } = stack.run('chat', 'hello');
    assert.equal(status, 4);
    assert.equal(stdout, '');
    assert.match(stderr, /sallyport login/);
  });

  it('signs in with a device code: at most four inputs and three clicks in the browser, none in the terminal', async () => {
    const login = listen(stack.command('login'));
    const [, verificationUri = ''] = await login.saying(/(http\S+\/device)/);
    const [, userCode = ''] = await login.saying(/([A-Z]{4}-[A-Z]{4})/);
    const done = await approveDevice(browser, { verificationUri, userCode, ...stack.administrator });
    assert.ok(done.inputs <= 4 && done.clicks <= 3);
    const { code, stdout, stderr } = await login.ended;
    assert.equal(code, 0, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, /Signed in as admin/);
    assert.doesNotMatch(stderr, /\x1b/);
    assert.equal(statSync(join(stack.home, 'state')).mode & 0o077, 0);
  });

  it('streams a completion of the real model', () => {
    const { status, stdout, stderr } = stack.run('chat', 'The future of AI is');
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^The future of AI is\W.{10}/s); // It is drawn: a comma may come first, too.
    assert.match(stderr, /tiny-gpt2 · 6 \+ \d+ tokens/);
  });

  it('prints exactly the token and a newline', () => {
    const { status, stdout, stderr } = stack.run('token');
    assert.equal(status, 0);
    assert.match(stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    assert.equal(stderr, '');
  });

  for (const [file, expected] of [
    ['openai.mjs', /models: tiny-gpt2\ncompletion: .+\nchat: [^]+stream: [^]+embeddings: 2 of 320 numbers/],
    ['azure-openai.mjs', /chat: [^]+stream: ./],
    ['curl.sh', /"object":\s*"text_completion"/],
  ] as const) {
    it(`runs examples/${file}`, async () => {
      assert.match(await runExample(stack, file), expected);
    });
  }

  it('runs the tutorial flow: register, log in, generate, and no look at the accounts', async () => {
    const stdout = await runExample(stack, 'tutorial.sh');
    const [account, generated, accounts] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.equal(account.username, 'alice');
    assert.equal(account.password, undefined);
    assert.match(generated.generated_text, /^The future of AI is/);
    assert.equal(generated.model_name, 'tiny-gpt2');
    assert.equal(accounts.detail, 'Admin access required');
  });

  it('keeps to the tutorial flow in what it refuses', async () => {
    const post = async (
      path: string,
      body: unknown,
      headers: Record<string, string> = {},
    ): Promise<{ status: number; detail: string }> => {
      const answer = await fetch(stack.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      });
      return { status: answer.status, detail: ((await answer.json()) as { detail: string }).detail };
    };
    assert.deepEqual(await post('/users', { username: 'alice', password: 'correct-horse-battery' }), {
      status: 400,
      detail: 'Username already registered',
    });
    assert.deepEqual(await post('/generate', { prompt: 'x' }), { status: 401, detail: 'Not authenticated' });
    const privileged = await post('/users', {
      username: 'mallory',
      password: 'correct-horse-battery',
      role: 'admin',
    });
    assert.equal(privileged.status, 403);
    assert.match(privileged.detail, /administrator/);
  });

  it('lets an administrator list the accounts, through identity', async () => {
    const accessToken = stack.run('token').stdout.trim();
    const answer = await fetch(`${stack.url}/admin/users`, {
      headers: { authorization: `Bearer ${accessToken}` },
    });
    assert.equal(answer.status, 200);
    assert.match(await answer.text(), /"username":\s*"alice"/);
  });

  it('signs in on the API page with code and PKCE, and a call from there succeeds', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    const failures: string[] = [];
    page.on('pageerror', (error) => failures.push(error.message));
    await page.goto(`${stack.url}/docs`);
    await page.locator('button.authorize').first().click();
    const popupOpened = context.waitForEvent('page');
    const dialog = page.locator('.modal-ux');
    for (const box of await dialog.locator('input[type=checkbox]').all())
      if (!(await box.isChecked())) await box.check({ force: true });
    await dialog.locator('button.authorize').first().click();
    const popup = await popupOpened;
    await popup.getByLabel('Username').fill(stack.administrator.username);
    await popup.getByLabel('Password').fill(stack.administrator.password);
    await popup.getByRole('button', { name: 'Sign in' }).click();
    await popup.getByRole('button', { name: 'Allow' }).click();
    await dialog.getByText('Logout').waitFor();
    await dialog.getByText('Close', { exact: true }).click();
    await page
      .locator('.opblock-summary-path', { hasText: /^\/v1\/models$/ })
      .first()
      .click();
    await page.getByRole('button', { name: 'Try it out' }).click();
    await page.getByRole('button', { name: 'Execute' }).click();
    await page.locator('.live-responses-table .response-col_status', { hasText: '200' }).waitFor();
    assert.deepEqual(failures, []);
    await context.close();
  });

  it('logs out: the token is gone here, and its renewal at the issuer', () => {
    assert.equal(stack.run('logout').status, 0);
    assert.equal(stack.run('token').status, 4);
  });
});

describe('over TLS with the local authority', { skip }, () => {
  let stack: TestStack;
  let browser: Browser;
  before(async () => {
    [stack, browser] = await Promise.all([startStack(['--tls']), openBrowser()]);
  });
  after(async () => {
    await Promise.all([stack.close(), browser.close()]);
  });

  for (const file of ['msal-device-code.mjs', 'azure-identity.mjs']) {
    it(`signs in with examples/${file} and gets a completion`, async () => {
      const running = listen(example(stack, file));
      const [, verificationUri = '', userCode = ''] = await running.saying(
        /open (?:the page )?(\S+?) and enter the code ([A-Z-]{9})/,
      );
      await approveDevice(browser, { verificationUri, userCode, ...stack.administrator });
      const { code, stdout, stderr } = await running.ended;
      assert.equal(code, 0, stderr);
      assert.match(stdout, /completion: ./);
    });
  }

  it('keeps the keys of the authority and of the server to this account', () => {
    for (const name of ['ca-key.pem', 'server-key.pem'])
      assert.equal(statSync(join(stack.data, 'tls', name)).mode & 0o077, 0);
  });
});
