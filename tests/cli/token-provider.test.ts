// `sallyport/token`: from memory, renewed with a margin, once for all who ask, and in step with the command line.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import OpenAI from 'openai';
import { sessionFile } from '../../cli/sign-in/session-file.ts';
import { tokenProvider } from '../../cli/token-provider.ts';
import { createHome, type CliHome } from './support/run-cli.ts';
import { json, startGateway, startIssuer, type ScriptedIssuer } from './support/scripted-servers.ts';
import { justExpired, storeSession } from './support/stored-session.ts';

const gateway = 'http://127.0.0.1:9';
let home: CliHome;
let issuer: ScriptedIssuer;

beforeEach(async () => {
  home = createHome();
  issuer = await startIssuer();
  process.env['SALLYPORT_STATE_DIR'] = home.stateFolder;
});
afterEach(async () => {
  delete process.env['SALLYPORT_STATE_DIR'];
  home.remove();
  await issuer.close();
});

const store = (changes: Partial<Parameters<typeof storeSession>[1]> = {}) =>
  storeSession(home.stateFolder, { gateway, issuer: issuer.url, ...changes });
const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds;

describe('tokenProvider', () => {
  it('answers the stored token, and from memory afterwards', async () => {
    const { session } = store();
    const accessToken = tokenProvider({ gateway });
    assert.equal(await accessToken(), session.access_token);
    home.remove();
    assert.equal(await accessToken(), session.access_token);
    assert.equal(issuer.requests.length, 0);
  });

  it('renews what has less than a minute left', async () => {
    const { session } = store({ expires_at: inSeconds(50) });
    const renewed = await tokenProvider({ gateway })();
    assert.notEqual(renewed, session.access_token);
    assert.equal(issuer.count('refresh_token'), 1);
  });

  it('never uses a margin below a minute', async () => {
    store({ expires_at: inSeconds(50) });
    await tokenProvider({ gateway, minTtlSeconds: 1 })();
    assert.equal(issuer.count('refresh_token'), 1);
  });

  it('makes one refresh for all who ask at the same time, over several providers', async () => {
    store({ expires_at: justExpired() });
    const providers = [tokenProvider({ gateway }), tokenProvider({ gateway })];
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => providers[index % 2]!()));
    assert.equal(new Set(answers).size, 1);
    assert.equal(issuer.count('refresh_token'), 1);
  });

  it('shares the lock with the command line', async () => {
    store({ expires_at: justExpired() });
    const [own, ...others] = await Promise.all([
      tokenProvider({ gateway })(),
      home.run(['token', '--gateway', gateway]),
      home.run(['token', '--gateway', gateway]),
    ]);
    for (const other of others) assert.equal(other.stdout, `${own}\n`);
    assert.equal(issuer.count('refresh_token'), 1);
  });

  it('takes up a sign-in that was made after it failed', async () => {
    const accessToken = tokenProvider({ gateway });
    await assert.rejects(accessToken());
    const { session } = store();
    assert.equal(await accessToken(), session.access_token);
  });

  it('rejects with what to do when nobody is signed in', async () => {
    await assert.rejects(tokenProvider({ gateway })(), {
      code: 'sign_in_needed',
      message: `You are not signed in to ${gateway}.  Run:  sallyport login --gateway ${gateway}`,
    });
  });

  it('rejects when the sign-in has ended, and does not ask the issuer again', async () => {
    store({ expires_at: justExpired() });
    issuer.script.refresh = 'invalid_grant';
    const accessToken = tokenProvider({ gateway });
    await assert.rejects(accessToken(), { code: 'sign_in_needed' });
    await assert.rejects(accessToken(), { code: 'sign_in_needed' });
    assert.equal(issuer.count('refresh_token'), 1);
  });

  it('is an apiKey that the OpenAI client takes', async () => {
    const scripted = await startGateway(issuer.url);
    try {
      const { session } = store({ gateway: scripted.url });
      scripted.handlers['/v1/models'] = (request, response) =>
        json(response, 200, { object: 'list', data: [{ id: request.headers.authorization }] });
      const client = new OpenAI({
        baseURL: `${scripted.url}/v1`,
        apiKey: tokenProvider({ gateway: scripted.url }),
      });
      const models = await client.models.list();
      assert.equal(models.data[0]?.id, `Bearer ${session.access_token}`);
      assert.ok(sessionFile(session, home.stateFolder).startsWith(home.stateFolder));
    } finally {
      await scripted.close();
    }
  });
});
