// A gateway with a certificate of a local authority: refused until the authority is trusted, remembered afterwards.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, copyFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { prepareLocalTls } from '../../cli/supervisor/local-authority.ts';
import { createHome, type CliHome } from './support/run-cli.ts';
import {
  startGateway,
  startIssuer,
  type ScriptedGateway,
  type ScriptedIssuer,
} from './support/scripted-servers.ts';

let certificates: CliHome;
let home: CliHome;
let server: Server;
let url: string;
let plain: ScriptedGateway;
let issuer: ScriptedIssuer;
let authority: string;

before(async () => {
  certificates = createHome();
  const folder = join(certificates.folder, 'tls');
  authority = join(folder, 'ca.pem');
  const files = {
    folder,
    authority,
    certificate: join(folder, 'server.pem'),
    key: join(folder, 'server-key.pem'),
  };
  await prepareLocalTls(files);
  issuer = await startIssuer();
  plain = await startGateway(issuer.url);
  server = createServer(
    { cert: readFileSync(files.certificate), key: readFileSync(files.key) },
    (request, response) => {
      response.setHeader('content-type', 'application/json');
      const isDocument = request.url === '/.well-known/oauth-protected-resource';
      response
        .writeHead(isDocument ? 200 : 404)
        .end(JSON.stringify(isDocument ? { ...plain.resource, resource: url } : {}));
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await plain.close();
  await issuer.close();
  certificates.remove();
});
beforeEach(() => {
  home = createHome();
});
afterEach(() => home.remove());

describe('a gateway with a certificate of a local authority', () => {
  it('is refused until its authority is trusted, and the line says how', async () => {
    const result = await home.run(['login', '--gateway', url]);
    assert.equal(result.code, 8);
    assert.match(
      result.stderr,
      /^✗ The certificate of https:\S+ is not trusted here \([A-Z_]+\)\.\n {2}Trust its authority: {2}--ca FILE/,
    );
  });

  it('is trusted with --ca, which later commands remember', async () => {
    assert.equal((await home.run(['login', '--gateway', url, '--ca', authority])).code, 0);
    const { stdout } = await home.run(['env']);
    assert.match(stdout, new RegExp(`^export NODE_EXTRA_CA_CERTS='${authority}'$`, 'm'));
  });

  it('is trusted with SALLYPORT_CA and with NODE_EXTRA_CA_CERTS', async () => {
    for (const name of ['SALLYPORT_CA', 'NODE_EXTRA_CA_CERTS']) {
      const result = await home.run(['login', '--gateway', url], { env: { [name]: authority } });
      assert.equal(result.code, 0, name);
    }
  });

  it('on this machine is trusted by the authority of the project in the current folder', async () => {
    mkdirSync(join(home.folder, 'data/tls'), { recursive: true });
    copyFileSync(authority, join(home.folder, 'data/tls/ca.pem'));
    assert.equal((await home.run(['login', '--gateway', url])).code, 0);
  });

  it('is named when plain http is spoken to it, and the other way round', async () => {
    const asPlain = await home.run(['login', '--gateway', url.replace('https:', 'http:')]);
    assert.match(asPlain.stderr, new RegExp(`Perhaps it speaks TLS: {2}--gateway ${url}`));
    const asTls = await home.run(['login', '--gateway', plain.url.replace('http:', 'https:')]);
    assert.match(asTls.stderr, new RegExp(`Perhaps plain http: {2}--gateway ${plain.url}`));
  });

  it('cannot be trusted by a file that is not there', async () => {
    const result = await home.run(['login', '--gateway', url, '--ca', '/nonexistent/ca.pem']);
    assert.equal(result.code, 2);
    assert.match(result.stderr, /There is no certificate authority file/);
  });
});
