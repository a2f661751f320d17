import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { prepareLocalTls } from '../../cli/supervisor/local-authority.ts';
import { clientId, startTestIdentity, tenant, type TestIdentity } from './support.ts';

const secret = 'a-secret-of-more-than-thirty-two-characters';

describe("Microsoft's client libraries over https", () => {
  let folder: string;
  let identity: TestIdentity;
  let results: Record<string, any>; // eslint-disable-line @typescript-eslint/no-explicit-any -- parsed output is asserted.
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-msal-'));
    const file = (name: string): string => join(folder, name);
    const tls = { cert: file('server.pem'), key: file('server-key.pem') };
    await prepareLocalTls({ folder, authority: file('ca.pem'), certificate: tls.cert, key: tls.key });
    process.env['SALLYPORT_TEST_MSAL_SECRET'] = secret;
    identity = await startTestIdentity({
      tls,
      device_code: { interval_s: 1 },
      clients: [
        { client_id: 'reporting', secret: 'env:SALLYPORT_TEST_MSAL_SECRET', app_roles: ['LLM.User'] },
      ],
    });
    results = await runClients(file('ca.pem'), identity);
  });
  after(async () => {
    await identity.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('acquireTokenByDeviceCode works in OIDC and in AAD mode and polls no faster than told', () => {
    for (const mode of [`/${tenant}/v2.0 OIDC`, `/${tenant} AAD`]) {
      const answer = results[`device ${mode}`];
      assert.equal(answer.scp, 'LLM.Access', mode);
      assert.equal(answer.azp, clientId(3));
      assert.equal(answer.username, 'admin');
    }
    assert.ok(
      Object.keys(results).some(
        (key) => key.startsWith('message') && /enter the code [B-Z]{4}-/.test(String(results[key])),
      ),
    );
  });

  it('acquireTokenSilent renews twice with rotated refresh tokens', () => {
    for (const mode of ['OIDC', 'AAD'])
      for (const round of [1, 2]) assert.equal(results[`silent ${round} ${mode}`].scp, 'LLM.Access');
  });

  it('acquireTokenInteractive works on loopback with PKCE and gets a refresh token', () => {
    assert.equal(results['interactive'].scp, 'LLM.Access');
    assert.equal(results['interactive silent'].scp, 'LLM.Access');
  });

  it('a confidential client gets its app roles with .default', () => {
    assert.deepEqual(results['confidential'].roles, ['LLM.User']);
    assert.equal(results['confidential'].idtyp, 'app');
  });

  it('azure-identity works with device code and client secret', () => {
    assert.equal(results['azure-identity device'], 'LLM.Access');
    assert.deepEqual(results['azure-identity secret'], ['LLM.User']);
  });

  it('answers with secure cookies and strict transport security', async () => {
    const { Agent, fetch: fetchWith } = await import('undici');
    const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
    const response = await fetchWith(`${identity.base}/device`, { dispatcher });
    assert.ok(
      response.headers
        .getSetCookie()
        .every((cookie) => /; secure/i.test(cookie) && /; httponly/i.test(cookie)),
    );
    assert.match(response.headers.get('strict-transport-security') ?? '', /max-age/);
    await response.arrayBuffer();
    await dispatcher.close();
  });
});

function runClients(certificate: string, identity: TestIdentity): Promise<Record<string, unknown>> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('./msal-clients.ts', import.meta.url))], {
    env: {
      ...process.env,
      NODE_EXTRA_CA_CERTS: certificate,
      IDENTITY_BASE: identity.base,
      IDENTITY_PASSWORD: identity.administrator.password,
      IDENTITY_SECRET: secret,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [output, errors]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (piece: Buffer) => output.push(piece));
  child.stderr.on('data', (piece: Buffer) => errors.push(piece));
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => {
      if (code === 0) resolve(JSON.parse(Buffer.concat(output).toString()) as Record<string, unknown>);
      else reject(new Error(`the clients failed: ${Buffer.concat(errors).toString().slice(0, 3000)}`));
    });
  });
}
