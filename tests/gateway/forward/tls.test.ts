import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { certificateFor } from '../../support/certificate.ts';
import { ask, codeOf, startStubGateway } from './stub-gateway.ts';

describe('an upstream over https', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-tls-'));
  const servers: Server[] = [];
  /** Requests that arrived where no connection should have carried one. */
  let arrived = 0;
  let good: string;
  let wrongName: string;
  before(async () => {
    const start = async (name: { type: 'dns' | 'ip'; value: string }, caFile: string): Promise<string> => {
      const pair = await certificateFor(name);
      writeFileSync(join(folder, caFile), pair.cert);
      const server = createServer(pair, (request, response) => {
        response.setHeader('x-request-id', request.headers['x-request-id'] ?? '');
        response.setHeader('content-type', 'application/json');
        arrived++;
        request.resume().on('end', () => response.end('{"choices":[]}'));
      });
      servers.push(server);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    };
    good = await start({ type: 'ip', value: '127.0.0.1' }, 'good.pem');
    wrongName = await start({ type: 'dns', value: 'other.example' }, 'wrong-name.pem');
  });
  after(() => {
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
    rmSync(folder, { recursive: true, force: true });
  });

  const cases: [title: string, url: () => string, ca: string | null, http: boolean, expected: number][] = [
    [
      'is used when its certificate is signed by the configured authority',
      () => good,
      'good.pem',
      false,
      200,
    ],
    ['is refused when its authority is not known', () => good, null, false, 502],
    ['is refused when its authority is another', () => good, 'wrong-name.pem', false, 502],
    ['is refused when its certificate is for another name', () => wrongName, 'wrong-name.pem', false, 502],
    ['of kind http is used with the configured authority', () => good, 'good.pem', true, 200],
    ['of kind http is refused when its authority is not known', () => good, null, true, 502],
    [
      'of kind http is refused when its certificate is for another name',
      () => wrongName,
      'wrong-name.pem',
      true,
      502,
    ],
  ];
  for (const [title, url, ca, http, expected] of cases) {
    it(title, async () => {
      const gateway = await startStubGateway({
        url: url(),
        upstream: ca === null ? {} : { ca: join(folder, ca) },
        ...(http ? { route: { kind: 'http' } } : {}),
      });
      arrived = 0;
      const answer = await ask(gateway);
      assert.equal(answer.status, expected);
      // Not a byte of a request, whose head may hold our key, before the certificate was verified.
      assert.equal(arrived, expected === 200 ? 1 : 0);
      if (expected === 502) assert.equal(codeOf(answer), 'upstream_unavailable');
      await gateway.close();
    });
  }
});
