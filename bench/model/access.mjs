// What contestants of ours need to let the bench in: assertions as the gateway signs them, and access tokens of an
// issuer that lives in the bench's own process.
import { generateKeyPair } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { exportJWK, SignJWT } from 'jose';
import { accessTokens, claims, signingKey } from '../harness/access-tokens.mjs';

/** Keys in `folder`, and functions that give the headers of so many callers, each a person of their own. */
export async function createAccess(folder) {
  const assertionKeys = await promisify(generateKeyPair)('ed25519');
  const ownJwks = join(folder, 'bench-jwks.json');
  const gatewayJwks = join(folder, 'gateway-jwks.json');
  const published = { ...(await exportJWK(assertionKeys.publicKey)), kid: 'bench', alg: 'EdDSA', use: 'sig' };
  writeFileSync(ownJwks, JSON.stringify({ keys: [published] }));
  const tokenKey = await signingKey();
  let issuer;
  let server;

  const assertion = (number) =>
    new SignJWT({ roles: ['LLM.User'], client_id: claims.clientId })
      .setProtectedHeader({ alg: 'EdDSA', kid: 'bench', typ: 'sallyport-assertion+jwt' })
      .setIssuer('urn:sallyport:gateway')
      .setAudience('urn:sallyport:model-server')
      .setSubject(`bench|${number}`)
      .setIssuedAt()
      .setExpirationTime('60s')
      .sign(assertionKeys.privateKey);

  const issued = [];

  return {
    gatewayJwks,
    jwksFiles: [ownJwks, gatewayJwks],
    /** Always fresh: an assertion lives a minute. */
    assertions: (count) =>
      Promise.all(
        Array.from({ length: count }, async (_, index) => ({
          'sallyport-assertion': await assertion(index),
        })),
      ),
    /** The same persons and access tokens in every run, as with people who work all day. */
    bearers: async (count) => {
      const signing = { privateKey: tokenKey.privateKey, issuer };
      for (const accessToken of await accessTokens(Math.max(0, count - issued.length), signing))
        issued.push({ authorization: `Bearer ${accessToken}` });
      return issued.slice(0, count);
    },
    startIssuer: async () => {
      server = createServer((request, response) => {
        response.setHeader('content-type', 'application/json');
        const document = { issuer, jwks_uri: `${issuer}/keys` };
        response.end(JSON.stringify(request.url.endsWith('/keys') ? tokenKey.jwks : document));
      });
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
      issuer = `http://127.0.0.1:${server.address().port}/${claims.tenant}/v2.0`;
      return issuer;
    },
    close: () => server?.close(),
  };
}
