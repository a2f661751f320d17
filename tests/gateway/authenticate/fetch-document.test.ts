// Documents of an issuer over TLS with a certificate authority of its own, and connections that fail oddly.
import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import { createServer } from 'node:https';
import { describe, it } from 'node:test';
import '../../../cli/supervisor/reflect-metadata.ts';
import {
  BasicConstraintsExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { documentFetcher } from '../../../gateway/authenticate/fetch-document.ts';
import { createSigningKey, mintAccessToken } from '../../support/mint-access-token.ts';
import { assertRefused, authenticationOf, entryFor, verified } from './authentication-under-test.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

async function certificate(): Promise<{ authority: string; cert: string; key: string }> {
  const pair = async (): Promise<webcrypto.CryptoKeyPair> =>
    webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const [root, leaf] = [await pair(), await pair()];
  const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
  const authority = await X509CertificateGenerator.createSelfSigned({
    ...validity,
    name: 'CN=Test authority',
    keys: root,
    signingAlgorithm: algorithm,
    extensions: [new BasicConstraintsExtension(true, 1, true)],
  });
  const cert = await X509CertificateGenerator.create({
    ...validity,
    subject: 'CN=localhost',
    issuer: authority.subject,
    publicKey: leaf.publicKey,
    signingKey: root.privateKey,
    signingAlgorithm: algorithm,
    extensions: [new SubjectAlternativeNameExtension([{ type: 'dns', value: 'localhost' }])],
  });
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', leaf.privateKey)).toString('base64');
  return {
    authority: authority.toString('pem'),
    cert: cert.toString('pem'),
    key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`,
  };
}

describe('an https issuer', () => {
  it('is reached with its certificate authority, and with no other', async () => {
    const { authority, cert, key } = await certificate();
    const signingKey = createSigningKey();
    const server = createServer({ cert, key }, (request, response) => {
      const isMetadata = request.url?.endsWith('/.well-known/openid-configuration') === true;
      response.end(
        JSON.stringify(isMetadata ? { issuer, jwks_uri: `${issuer}/keys` } : { keys: [signingKey.jwk] }),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
    const address = server.address();
    const issuer = `https://localhost:${typeof address === 'object' && address !== null ? address.port : 0}`;
    const accessToken = mintAccessToken({ issuer, key: signingKey });
    const clocks = { now: undefined, monotonic: undefined };

    const trusting = authenticationOf(
      { it: entryFor(issuer) },
      { issuerCa: authority, ...clocks },
    ).authentication;
    await verified(trusting, accessToken);
    const distrusting = authenticationOf({ it: entryFor(issuer) }, clocks).authentication;
    await assertRefused(() => distrusting.verify(accessToken), 'issuer_unavailable');
    assert.match(distrusting.status()[0]?.problem ?? '', /certificate/);

    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
});

describe('a connection that fails without a code', () => {
  it('is still described', async () => {
    await assert.rejects(
      documentFetcher(undefined, () => Promise.reject(new Error('odd')))(
        'http://127.0.0.1:1/x',
        AbortSignal.timeout(3_000),
      ),
      /^Error: http:\/\/127\.0\.0\.1:1\/x: the request failed \(error\)$/,
    );
  });
});
