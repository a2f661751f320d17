// The local certificate authority of --tls, judged by Node's own TLS: what it signs is trusted, nothing else is.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { prepareLocalTls } from '../../cli/supervisor/local-authority.ts';

const base = mkdtempSync(join(tmpdir(), 'sallyport-tls-'));
after(() => rmSync(base, { recursive: true, force: true }));
const dayMs = 86_400_000;

function files(name: string) {
  const folder = join(base, name);
  return {
    folder,
    authority: join(folder, 'ca.pem'),
    certificate: join(folder, 'server.pem'),
    key: join(folder, 'server-key.pem'),
  };
}
const serialOf = (file: string): string => new X509Certificate(readFileSync(file)).serialNumber;

async function fetchFrom(served: ReturnType<typeof files>, trusted: string, host: string): Promise<number> {
  const server = createServer(
    { cert: readFileSync(served.certificate), key: readFileSync(served.key) },
    (_, response) => response.end('ok'),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  try {
    return await new Promise((resolve, reject) => {
      get(
        { host: '127.0.0.1', servername: host, port, ca: readFileSync(trusted), agent: false },
        (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        },
      ).on('error', reject);
    });
  } finally {
    server.close();
  }
}

describe('prepareLocalTls', () => {
  const made = files('made');

  it('makes an authority and a certificate that a client trusting the authority accepts', async () => {
    assert.equal(await prepareLocalTls(made), 'authority');
    assert.equal(await fetchFrom(made, made.authority, 'localhost'), 200);
  });

  it('keeps both keys to this account', () => {
    for (const name of ['ca-key.pem', 'server-key.pem'])
      assert.equal(statSync(join(made.folder, name)).mode & 0o777, 0o600);
    assert.equal(statSync(made.folder).mode & 0o777, 0o700);
  });

  it('certifies localhost, 127.0.0.1 and ::1 and no other name', () => {
    const certificate = new X509Certificate(readFileSync(made.certificate));
    assert.equal(certificate.checkHost('localhost'), 'localhost');
    assert.equal(certificate.checkIP('127.0.0.1'), '127.0.0.1');
    assert.equal(certificate.checkIP('::1'), '::1');
    assert.equal(certificate.checkHost('example.com'), undefined);
    assert.equal(certificate.checkIP('10.0.0.1'), undefined);
  });

  it('makes a server certificate that cannot sign others', () => {
    assert.equal(new X509Certificate(readFileSync(made.certificate)).ca, false);
    assert.equal(new X509Certificate(readFileSync(made.authority)).ca, true);
  });

  it('is not trusted by a client that trusts another authority', async () => {
    const other = files('other');
    await prepareLocalTls(other);
    await assert.rejects(fetchFrom(made, other.authority, 'localhost'));
  });

  it('is refused under another name', async () => {
    await assert.rejects(fetchFrom(made, made.authority, 'example.com'), {
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
  });

  it('changes nothing while the certificate is good', async () => {
    const before = serialOf(made.certificate);
    assert.equal(await prepareLocalTls(made), 'nothing');
    assert.equal(serialOf(made.certificate), before);
  });

  it('renews the server certificate before it ends, under the same authority', async () => {
    const aged = files('aged');
    await prepareLocalTls(aged);
    const authority = serialOf(aged.authority);
    assert.equal(await prepareLocalTls(aged, Date.now() + 380 * dayMs), 'certificate');
    assert.equal(serialOf(aged.authority), authority);
  });

  it('makes a new authority when the old one would end before its certificates', async () => {
    const old = files('old');
    await prepareLocalTls(old, Date.now() - 3400 * dayMs);
    const authority = serialOf(old.authority);
    assert.equal(await prepareLocalTls(old), 'authority');
    assert.notEqual(serialOf(old.authority), authority);
    assert.equal(await fetchFrom(old, old.authority, 'localhost'), 200);
  });

  it('replaces a damaged certificate', async () => {
    writeFileSync(made.certificate, 'garbage');
    assert.equal(await prepareLocalTls(made), 'certificate');
    assert.equal(await fetchFrom(made, made.authority, 'localhost'), 200);
  });

  it('refuses a key that others can read', async () => {
    const open = files('open');
    await prepareLocalTls(open);
    chmodSync(join(open.folder, 'ca-key.pem'), 0o644);
    await assert.rejects(prepareLocalTls(open), /can be read by others \(mode 0644\)/);
  });
});
