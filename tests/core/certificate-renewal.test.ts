// A certificate is renewed under a running server: file by file, in either order, as renewal programs do it.
import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer as createPlainServer } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { connect } from 'node:tls';
import { pino } from 'pino';
import { followCertificate } from '../../core/certificate-renewal.ts';
import { certificateFor } from '../support/certificate.ts';
import { eventually } from '../support/serve.ts';

type Pair = Awaited<ReturnType<typeof certificateFor>>;
let folder: string;
let pairs: { old: Pair; renewed: Pair };
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-renewal-'));
  const name = { type: 'ip', value: '127.0.0.1' } as const;
  pairs = { old: await certificateFor(name), renewed: await certificateFor(name) };
});
after(() => rmSync(folder, { recursive: true, force: true }));

describe('a server whose certificate is renewed', () => {
  const place = (): { cert: string; key: string } => ({
    cert: join(folder, 'cert.pem'),
    key: join(folder, 'key.pem'),
  });
  let server: Server;
  let forget: () => void;
  let said: string;
  beforeEach(async () => {
    said = '';
    rmSync(folder, { recursive: true, force: true });
    folder = mkdtempSync(join(tmpdir(), 'sallyport-renewal-'));
    writeFileSync(place().cert, pairs.old.cert);
    writeFileSync(place().key, pairs.old.key);
    await follow();
  });
  afterEach(() => {
    forget();
    server.close();
  });

  async function follow(): Promise<void> {
    server = createServer({ cert: pairs.old.cert, key: pairs.old.key });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const log = pino({}, { write: (line: string) => void (said += line) });
    forget = followCertificate(server, place(), log, 50);
  }

  function shown(): Promise<string> {
    const { port } = server.address() as AddressInfo; // A TCP server has an address and port.
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
        resolve(socket.getPeerX509Certificate()?.toString().trim() ?? 'none');
        socket.destroy();
      });
      socket.once('error', reject);
    });
  }
  const shows = (pair: Pair) => async (): Promise<boolean> => (await shown()) === pair.cert.trim();

  for (const order of [
    ['cert', 'key'],
    ['key', 'cert'],
  ] as const) {
    it(`keeps the old pair while only the ${order[0]} is new, and takes the new one when both are`, async () => {
      writeFileSync(place()[order[0]], pairs.renewed[order[0]]);
      await eventually('it says that the pair cannot be used', () => said.includes('the old one stays'));
      assert.ok(await shows(pairs.old)());
      writeFileSync(place()[order[1]], pairs.renewed[order[1]]);
      await eventually('the renewed certificate is shown', shows(pairs.renewed));
    });
  }

  it('notices links that lead elsewhere, as certbot and mounted secrets make them', async () => {
    forget();
    server.close();
    for (const [version, pair] of [
      ['1', pairs.old],
      ['2', pairs.renewed],
    ] as const) {
      for (const kind of ['cert', 'key'] as const) {
        writeFileSync(join(folder, `${kind}${version}.pem`), pair[kind]);
        const link = place()[kind];
        if (version === '1') rmSync(link);
        symlinkSync(`${kind}${version}.pem`, version === '1' ? link : `${link}.new`);
      }
      if (version === '1') await follow();
    }
    for (const link of Object.values(place())) renameSync(`${link}.new`, link);
    await eventually('the renewed certificate is shown', shows(pairs.renewed));
  });

  it('keeps the old pair while a file is gone or empty', async () => {
    writeFileSync(place().cert, '');
    await eventually('it says so', () => said.includes('the old one stays'));
    rmSync(place().key);
    assert.ok(await shows(pairs.old)());
    assert.doesNotMatch(said, /PRIVATE KEY/);
  });

  it('follows nothing without TLS', () => {
    const plain = createPlainServer();
    followCertificate(plain, undefined, pino({ level: 'silent' }))();
    followCertificate(plain, place(), pino({ level: 'silent' }))();
  });
});
