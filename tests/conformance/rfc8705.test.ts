// RFC 8705 §3 (certificate-bound access tokens) at the whole gateway over TLS. O1 to O7 are the statements of the
// security reference, as far as they concern a certificate that an access token is bound to.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { X509Certificate } from 'node:crypto';
import { Agent, createServer, request, type RequestOptions } from 'node:https';
import { Socket, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type TLSSocket, connect, type ConnectionOptions } from 'node:tls';
import { GatewayError } from '../../core/errors.ts';
import { checkCertificate } from '../../gateway/authenticate/certificate-binding.ts';
import { openClientTrust } from '../../gateway/authenticate/index.ts';
import { gatewayConfigSchema } from '../../gateway/config.ts';
import { followedFiles, tlsOptions } from '../../gateway/listener.ts';
import {
  ExtendedKeyUsage,
  createAuthority,
  createCertificate,
  createRevocationList,
  type TestCertificate,
} from '../support/certificates.ts';
import { createDpopKey, mintProof } from '../support/dpop-proof.ts';
import { startTestGateway, type TestGateway } from '../support/start-gateway.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-mtls-'));
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

let gateway: TestGateway;
/** Verifies no client certificates. */
let withoutCa: TestGateway;
let server: TestCertificate;
let authority: TestCertificate;
let client: TestCertificate;
let neighbour: TestCertificate;
let revoked: TestCertificate;

before(async () => {
  const serverAuthority = await createAuthority('CN=Server authority');
  server = await createCertificate({
    authority: serverAuthority,
    subject: 'CN=127.0.0.1',
    usage: ExtendedKeyUsage.serverAuth,
  });
  authority = await createAuthority();
  client = await createCertificate({ authority });
  neighbour = await createCertificate({ authority, subject: 'CN=neighbour' });
  revoked = await createCertificate({ authority });
  const own = { cert: file('cert.pem', server.cert), key: file('key.pem', server.key) };
  const tls = {
    ...own,
    client_ca: file('ca.pem', authority.cert),
    client_crl: file('crl.pem', await createRevocationList(authority, [revoked])),
  };
  gateway = await startTestGateway({ config: { tls } });
  withoutCa = await startTestGateway({ config: { tls: own } });
});
after(async () => {
  await Promise.all([gateway.close(), withoutCa.close()]);
  rmSync(folder, { recursive: true, force: true });
});

interface Asked {
  readonly accessToken: string;
  readonly certificate?: TestCertificate | undefined;
  readonly at?: TestGateway;
  readonly headers?: Readonly<Record<string, string>>;
  readonly scheme?: string;
  readonly tls?: ConnectionOptions;
}

interface Answer {
  readonly status: number;
  readonly code: string | undefined;
  readonly challenge: string;
  readonly reason: string | null;
}

/** Lists the models over a connection of its own. */
async function ask({ accessToken, certificate, at = gateway, ...asked }: Asked): Promise<Answer> {
  const options: RequestOptions = {
    agent: false,
    // Whether the server is the right one is not the question here.
    rejectUnauthorized: false,
    headers: { authorization: `${asked.scheme ?? 'Bearer'} ${accessToken}`, ...asked.headers },
    ...(certificate === undefined ? {} : { cert: certificate.cert, key: certificate.key }),
    ...asked.tls,
  };
  return new Promise((resolve, reject) => {
    request(`${at.url}/v1/models`, options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => (text += piece));
      response.on('end', () => {
        const body = JSON.parse(text) as { error?: { code: string } };
        const answer = {
          status: response.statusCode ?? 0,
          code: body.error?.code,
          challenge: response.headers['www-authenticate'] ?? '',
        };
        reasonOf(at, String(response.headers['x-request-id'])).then(
          (reason) => resolve({ ...answer, reason }),
          reject,
        );
      });
    })
      .on('error', reject)
      .end();
  });
}

/** The private reason, which the audit record alone holds; it is written a moment after the answer. */
async function reasonOf(at: TestGateway, id: string): Promise<string | null> {
  for (;;) {
    const line = readdirSync(at.auditFolder)
      .filter((name) => name.endsWith('.jsonl'))
      .flatMap((name) => readFileSync(join(at.auditFolder, name), 'utf8').split('\n').slice(0, -1))
      .find((each) => each.includes(id));
    if (line !== undefined) return /"reason":"([^"]*)"/.exec(line)?.[1] ?? null;
    await sleep(5);
  }
}

const boundTo = (certificate: TestCertificate, at = gateway): Promise<string> =>
  at.mint({ cnf: { 'x5t#S256': certificate.thumbprint } });

describe('RFC 8705: a certificate-bound access token', () => {
  it('O1 is accepted over a connection with its certificate (RFC 8705 §3)', async () => {
    assert.equal((await ask({ accessToken: await boundTo(client), certificate: client })).status, 200);
  });

  it('O1 is accepted over TLS 1.2 as well', async () => {
    const asked = { accessToken: await boundTo(client), certificate: client };
    assert.equal((await ask({ ...asked, tls: { maxVersion: 'TLSv1.2' } })).status, 200);
  });

  it('leaves callers with a Bearer token alone, with and without a certificate', async () => {
    const accessToken = await gateway.mint();
    const stranger = await createCertificate();
    for (const certificate of [undefined, client, stranger])
      assert.equal((await ask({ accessToken, certificate })).status, 200);
  });

  const presented: [title: string, certificate: () => Promise<TestCertificate>, reason: string][] = [
    [
      'O1 another certificate of the same authority',
      () => Promise.resolve(neighbour),
      'certificate_mismatch',
    ],
    ['O4 a self-signed certificate', () => createCertificate(), 'certificate_untrusted'],
    [
      'O4 a certificate of an authority that is not listed',
      async () => createCertificate({ authority: await createAuthority('CN=Elsewhere') }),
      'certificate_untrusted',
    ],
    [
      'O4 a certificate of an authority that only has the same name',
      async () => createCertificate({ authority: await createAuthority() }),
      'certificate_untrusted',
    ],
    [
      'O4 an expired certificate',
      () => createCertificate({ authority, validFrom: -2, validTo: -1 }),
      'certificate_untrusted',
    ],
    [
      'O4 a certificate that is not valid yet',
      () => createCertificate({ authority, validFrom: 1, validTo: 2 }),
      'certificate_untrusted',
    ],
    ['O4 a revoked certificate', () => Promise.resolve(revoked), 'certificate_untrusted'],
    [
      'O4 a certificate for servers',
      () => createCertificate({ authority, usage: ExtendedKeyUsage.serverAuth }),
      'certificate_untrusted',
    ],
  ];
  for (const [title, make, reason] of presented) {
    it(`is refused with ${title}`, async () => {
      const certificate = await make();
      const bound = reason === 'certificate_mismatch' ? client : certificate;
      const answer = await ask({ accessToken: await boundTo(bound), certificate });
      assert.deepEqual([answer.status, answer.code, answer.reason], [401, 'invalid_token', reason]);
      assert.match(answer.challenge, /error="invalid_token"/);
    });
  }

  it('O2 is refused without a certificate', async () => {
    const answer = await ask({ accessToken: await boundTo(client) });
    assert.deepEqual(
      [answer.status, answer.code, answer.reason],
      [401, 'invalid_token', 'certificate_missing'],
    );
  });

  it('O2 is refused as api-key without a certificate', async () => {
    const answer = await ask({
      accessToken: '',
      headers: { authorization: 'Basic x', 'api-key': await boundTo(client) },
    });
    assert.notEqual(answer.status, 200);
  });

  it('O2 is refused where no client certificates are asked for, even if the caller has it', async () => {
    const accessToken = await boundTo(client, withoutCa);
    const answer = await ask({ accessToken, certificate: client, at: withoutCa });
    assert.deepEqual([answer.code, answer.reason], ['invalid_token', 'certificate_missing']);
  });

  it('O2 is refused over a connection without TLS', () => {
    assert.throws(
      () => checkCertificate(new Socket(), client.thumbprint, { clientTrust: null, nowMs: Date.now() }),
      {
        code: 'invalid_token',
        reason: 'certificate_missing',
      },
    );
  });

  it('O3 is refused with a certificate in a header, whatever its name and form', async () => {
    const pem = encodeURIComponent(client.cert);
    const der = Buffer.from(client.certificate.rawData).toString('base64');
    const headers: Record<string, string> = {
      'x-forwarded-client-cert': `Hash=${Buffer.from(client.thumbprint, 'base64url').toString('hex')};Cert="${pem}"`,
      'x-client-cert': pem,
      'x-ssl-client-cert': pem,
      'ssl-client-cert': pem,
      'x-ssl-client-verify': 'SUCCESS',
      'x-arr-clientcert': der,
      // RFC 9440 §2.2.
      'client-cert': `:${der}:`,
    };
    const accessToken = await boundTo(client);
    assert.equal((await ask({ accessToken, headers })).reason, 'certificate_missing');
    assert.equal(
      (await ask({ accessToken, headers, certificate: neighbour })).reason,
      'certificate_mismatch',
    );
  });

  it('is refused in the scheme DPoP, which is for another kind of binding', async () => {
    const answer = await ask({ accessToken: await boundTo(client), certificate: client, scheme: 'DPoP' });
    assert.deepEqual([answer.code, answer.reason], ['invalid_token', 'unbound']);
  });

  it('needs both where it is bound to both', async () => {
    const key = createDpopKey();
    const accessToken = await gateway.mint({
      cnf: { jkt: key.jkt, 'x5t#S256': client.thumbprint },
    });
    const proof = (): Record<string, string> => ({
      dpop: mintProof({ key, url: `${gateway.url}/v1/models`, accessToken }),
    });
    const asked = { accessToken, scheme: 'DPoP' };
    assert.equal((await ask({ ...asked, certificate: client, headers: proof() })).status, 200);
    assert.equal((await ask({ ...asked, headers: proof() })).reason, 'certificate_missing');
    assert.equal((await ask({ ...asked, certificate: client })).reason, 'proof_missing');
    assert.equal((await ask({ accessToken, certificate: client })).reason, 'bound_as_bearer');
  });

  it('is accepted again and again over one connection', async () => {
    const accessToken = await boundTo(client);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let index = 0; index < 3; index++)
      assert.equal((await ask({ accessToken, certificate: client, tls: { agent } as object })).status, 200);
    agent.destroy();
  });

  it('is refused on a connection that has outlived its certificate', async () => {
    const files = {
      cert: join(folder, 'cert.pem'),
      key: join(folder, 'key.pem'),
      client_ca: join(folder, 'ca.pem'),
    };
    const options = tlsOptions(files);
    const clientTrust = openClientTrust(files);
    const { validFromDate, validToDate } = new X509Certificate(client.cert);
    const judged = new Promise<(string | undefined)[]>((resolve) => {
      const listener = createServer(options, ({ socket }, response) => {
        const times = [Date.now(), validToDate.getTime(), validFromDate.getTime() - 1, Number.NaN];
        const reasons = times.map((nowMs) => {
          try {
            checkCertificate(socket, client.thumbprint, { clientTrust, nowMs });
            return 'accepted';
          } catch (error) {
            return error instanceof GatewayError ? error.reason : 'a bug';
          }
        });
        response.end(() => listener.close(() => resolve(reasons)));
      });
      // A renewal of the certificate must not forget who vouches for clients.
      listener.setSecureContext(followedFiles(files, clientTrust)?.read?.() ?? {});
      listener.listen(0, '127.0.0.1', () => {
        const { port } = listener.address() as AddressInfo; // A TCP server.
        const { cert, key } = client;
        request({ port, host: '127.0.0.1', agent: false, rejectUnauthorized: false, cert, key })
          .on('response', (response) => response.resume())
          .end();
      });
    });
    const expired = 'certificate_expired';
    assert.deepEqual(await judged, ['accepted', expired, expired, expired]);
  });
});

describe('RFC 8705: the connection', () => {
  /** Connects, and calls back with the socket once it is secure. */
  async function secure(options: ConnectionOptions): Promise<TLSSocket> {
    const socket = connect({
      port: gateway.port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ...options,
    });
    await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
    return socket;
  }

  /** Speaks once, so that tickets of TLS 1.3 arrive, and returns the session. */
  async function sessionAfterUse(options: ConnectionOptions): Promise<Buffer | undefined> {
    const socket = await secure(options);
    let session = socket.getSession();
    socket.on('session', (fresh) => (session = fresh));
    socket.write('GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
    return session;
  }

  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    it(`O6 is never resumed where certificates are asked for (${maxVersion})`, async () => {
      const options = { maxVersion, cert: client.cert, key: client.key };
      const session = await sessionAfterUse(options);
      const socket = await secure({ maxVersion, ...(session === undefined ? {} : { session }) });
      assert.equal(socket.isSessionReused(), false);
      socket.destroy();
    });
  }

  it('O6 with the session of a holder but without his certificate proves nothing', async () => {
    const session = await sessionAfterUse({ cert: client.cert, key: client.key });
    const tls = session === undefined ? {} : { session };
    assert.equal((await ask({ accessToken: await boundTo(client), tls })).reason, 'certificate_missing');
  });

  for (const version of ['TLSv1', 'TLSv1.1'] as const) {
    it(`O7 is refused over ${version}`, async () => {
      // Ciphers of security level 0, so that it is the server who refuses.
      const old = { minVersion: version, maxVersion: version, ciphers: 'DEFAULT:@SECLEVEL=0' } as const;
      await assert.rejects(secure(old));
    });
  }

  it('O7 is not renegotiated', async () => {
    const socket = await secure({ maxVersion: 'TLSv1.2' });
    const outcome = await new Promise<string>((resolve) => {
      socket.once('error', () => resolve('refused'));
      socket.once('close', () => resolve('refused'));
      socket.renegotiate({}, (error) => resolve(error === null ? 'renegotiated' : 'refused'));
    });
    assert.equal(outcome, 'refused');
    socket.destroy();
  });
});

describe('RFC 8705: the settings', () => {
  const tls = { cert: 'cert.pem', key: 'key.pem' };

  it('ask for client certificates only where an authority is named', () => {
    const own = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
    assert.equal(tlsOptions(own).requestCert, undefined);
    const asking = tlsOptions({ ...own, client_ca: join(folder, 'ca.pem') });
    assert.deepEqual([asking.requestCert, asking.rejectUnauthorized], [true, false]);
    assert.equal(asking.crl, undefined);
    assert.equal(asking.minVersion, 'TLSv1.2');
  });

  it('are read again when any of the files changes', () => {
    assert.equal(followedFiles(undefined, null), undefined);
    assert.deepEqual(followedFiles(tls, null)?.further, []);
    const all = { ...tls, client_ca: 'ca.pem', client_crl: 'crl.pem' };
    assert.deepEqual(followedFiles(all, null)?.further, ['ca.pem', 'crl.pem']);
  });

  it('refuse a revocation list without an authority, a missing file, and an unknown key', () => {
    const parse = (more: Record<string, unknown>) =>
      gatewayConfigSchema.safeParse({ tls: { ...tls, ...more } });
    assert.equal(parse({ client_crl: 'crl.pem' }).success, false);
    assert.equal(parse({ clientCa: 'ca.pem' }).success, false);
    assert.equal(parse({ client_ca: 'ca.pem', client_crl: 'crl.pem' }).success, true);
    const own = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
    assert.throws(() => tlsOptions({ ...own, client_ca: join(folder, 'absent.pem') }), /absent\.pem/);
  });
});
