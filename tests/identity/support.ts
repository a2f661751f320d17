// A running identity server for tests, and a browser that fills its forms: fetch, a cookie jar, no script.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import type { z } from 'zod';
import { identityConfigSchema, type IdentityConfig } from '../../identity/config.ts';
import { startIdentity, type IdentityServer } from '../../identity/server.ts';

export const tenant = '5a11b0a7-0000-4000-8000-000000000000';
export const accessScope = 'api://sallyport/LLM.Access';

export interface TestIdentity extends IdentityServer {
  readonly base: string;
  readonly data: string;
  readonly config: IdentityConfig;
  readonly administrator: { username: string; password: string };
  /** Log lines so far, as JSON text. */
  readonly log: string[];
  /** Stops and starts again on the same port and database. */
  restart(): Promise<void>;
}

/** Starts a server on a free port with its own data folder; `close` removes the folder. */
export async function startTestIdentity(
  settings: Partial<z.input<typeof identityConfigSchema>> = {},
): Promise<TestIdentity> {
  const data = mkdtempSync(join(tmpdir(), 'sallyport-identity-'));
  let config = identityConfigSchema.parse({
    listen: '127.0.0.1:0',
    data,
    gateway_jwks: join(data, 'gateway-jwks.json'),
    ...settings,
  });
  const log: string[] = [];
  let administrator = { username: '', password: '' };
  const hooks = {
    firstAdministrator: (username: string, password: string) => (administrator = { username, password }),
    log: pino({ level: 'info' }, { write: (line: string) => log.push(line) }),
  };
  let server = await startIdentity(config, hooks);
  const scheme = config.tls === undefined ? 'http' : 'https';
  const base = config.public_url ?? `${scheme}://${server.address}`;
  config = {
    ...config,
    listen: { kind: 'tcp', host: '127.0.0.1', port: Number(server.address.split(':')[1]) },
  };
  return {
    base,
    data,
    config,
    log,
    address: server.address,
    issuer: server.issuer,
    get administrator() {
      return administrator;
    },
    rotateSigningKey: () => server.rotateSigningKey(),
    restart: async () => {
      await server.close();
      await sleep(30); // fetch must notice that its kept connections are gone.
      server = await startIdentity(config, hooks);
    },
    close: async () => {
      await server.close();
      rmSync(data, { recursive: true, force: true });
    },
  };
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- parsed JSON of answers is asserted, not typed.
export type Json = any;

export interface Form {
  readonly action: string;
  readonly fields: Record<string, string>;
}

/** A browser without script: follows redirects itself, keeps cookies by name and path. */
export class Browser {
  readonly base: string;
  readonly cookies = new Map<string, { value: string; path: string }>();
  response!: Response;
  url = '';
  html = '';

  constructor(base: string) {
    this.base = base;
  }

  async open(url: string, init: RequestInit = {}): Promise<this> {
    this.url = new URL(url, this.url || this.base).href;
    const path = new URL(this.url).pathname;
    const cookie = [...this.cookies]
      .filter(([, { path: scope }]) => path.startsWith(scope))
      .map(([key, { value }]) => `${key.split(';')[0]}=${value}`)
      .join('; ');
    this.response = await fetch(this.url, {
      ...init,
      redirect: 'manual',
      headers: { accept: 'text/html', ...(init.headers as Record<string, string> | undefined), cookie },
    });
    for (const line of this.response.headers.getSetCookie()) this.#keep(line);
    const location = this.response.headers.get('location');
    // A redirect to another origin belongs to the application; the test looks at `url`.
    if (location !== null) {
      const next = new URL(location, this.url);
      await this.response.arrayBuffer();
      if (next.origin === new URL(this.base).origin) return this.open(next.href);
      this.url = next.href;
      this.html = '';
      return this;
    }
    this.html = await this.response.text();
    return this;
  }

  /** Fills the page's form and sends it. */
  async submit(fields: Record<string, string> = {}): Promise<this> {
    const form = this.form();
    return this.open(form.action, {
      method: 'POST',
      body: new URLSearchParams({ ...form.fields, ...fields }),
    });
  }

  form(): Form {
    const action = /<form[^>]*action="([^"]+)"/.exec(this.html)?.[1];
    assert.ok(action, `there is no form on ${this.url}: ${this.html.slice(0, 2000)}`);
    const fields: Record<string, string> = {};
    for (const [input] of this.html.matchAll(/<input[^>]*>/g)) {
      const name = /name="([^"]*)"/.exec(input)?.[1];
      if (name !== undefined) fields[name] = /value="([^"]*)"/.exec(input)?.[1] ?? '';
    }
    return { action, fields };
  }

  heading(): string {
    return /<h1>([^<]*)<\/h1>/.exec(this.html)?.[1] ?? '';
  }

  problem(): string | undefined {
    return /class="problem"[^>]*>([^<]*)</.exec(this.html)?.[1];
  }

  #keep(line: string): void {
    const [pair = '', ...attributes] = line.split('; ');
    const name = pair.slice(0, pair.indexOf('='));
    const value = pair.slice(pair.indexOf('=') + 1);
    const path = attributes.find((text) => text.startsWith('path='))?.slice(5) ?? '/';
    if (value === '') this.cookies.delete(`${name};${path}`);
    else this.cookies.set(`${name};${path}`, { value, path });
  }
}

/** Posts a form and parses the JSON answer. */
export async function postForm(
  url: string,
  fields: Record<string, string> | URLSearchParams,
  headers: Record<string, string> = {},
) {
  const response = await fetch(url, { method: 'POST', body: new URLSearchParams(fields), headers });
  const body: Json = (await response.json().catch(() => undefined)) as Json;
  return { status: response.status, headers: response.headers, body };
}

/** Posts JSON and parses the answer. */
export async function postJson(url: string, value: unknown, headers: Record<string, string> = {}) {
  const body = typeof value === 'string' ? value : JSON.stringify(value);
  const response = await fetch(url, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers },
  });
  const answer: Json = (await response.json().catch(() => undefined)) as Json;
  return { status: response.status, headers: response.headers, body: answer };
}

export const clientId = (digit: 1 | 2 | 3 | 4): string => `5a11b0a7-0000-4000-8000-00000000000${digit}`;

/** Starts a device authorization of a built-in client. */
export async function startDevice(
  identity: { base: string },
  client = clientId(1),
  scope = `openid profile offline_access ${accessScope}`,
) {
  const answer = await postForm(`${identity.base}/${tenant}/oauth2/v2.0/devicecode`, {
    client_id: client,
    scope,
  });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body as {
    device_code: string;
    user_code: string;
    verification_uri: string;
    interval: number;
    message: string;
  };
}

/** Redeems a device code once. */
export function redeemDevice(identity: { base: string }, deviceCode: string, client = clientId(1)) {
  return postForm(`${identity.base}/${tenant}/oauth2/v2.0/token`, {
    grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
    client_id: client,
    device_code: deviceCode,
  });
}

/** Types the code, signs in and stops at the confirmation page. */
export async function openConfirmation(
  identity: { base: string },
  userCode: string,
  account: { username: string; password: string },
) {
  const browser = new Browser(identity.base);
  await browser.open('/device');
  await browser.submit({ user_code: userCode });
  await browser.submit(account);
  return browser;
}

/** Approves a device as a person would. */
export async function approveDevice(
  identity: { base: string },
  userCode: string,
  account: { username: string; password: string },
) {
  const browser = await openConfirmation(identity, userCode, account);
  await browser.submit({ decision: 'grant' });
  assert.equal(browser.heading(), 'You are signed in', browser.html);
  return browser;
}

/** A whole device sign-in. */
export async function signInWithDevice(
  identity: { base: string },
  account: { username: string; password: string },
  client = clientId(1),
) {
  const device = await startDevice(identity, client);
  await approveDevice(identity, device.user_code, account);
  const { status, body } = await redeemDevice(identity, device.device_code, client);
  assert.equal(status, 200, JSON.stringify(body));
  return body as {
    access_token: string;
    refresh_token: string;
    id_token: string;
    expires_in: number;
    scope: string;
  };
}

/** Redeems a refresh token. */
export function refresh(
  identity: { base: string },
  refreshToken: string,
  client = clientId(1),
  extra: Record<string, string> = {},
) {
  return postForm(`${identity.base}/${tenant}/oauth2/v2.0/token`, {
    grant_type: 'refresh_token',
    client_id: client,
    refresh_token: refreshToken,
    ...extra,
  });
}

/** The claims of a JWT, unverified. */
export function claimsOf(jwt: string): Json {
  return JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString());
}
