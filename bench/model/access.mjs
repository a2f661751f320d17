// What contestants of ours need to let the bench in: assertions as the gateway signs them, and access tokens of an
// issuer that lives in the bench's own process.
import { generateKeyPair, randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { exportJWK, SignJWT } from 'jose';

const tenant = '5a11b0a7-0000-4000-8000-000000000000';
const cliClient = '5a11b0a7-0000-4000-8000-000000000001';

/** Keys in `folder`, and functions that give the headers of so many callers, each a person of their own. */
export async function createAccess(folder) {
  const assertionKeys = await promisify(generateKeyPair)('ed25519');
  const ownJwks = join(folder, 'bench-jwks.json');
  const gatewayJwks = join(folder, 'gateway-jwks.json');
  const published = { ...(await exportJWK(assertionKeys.publicKey)), kid: 'bench', alg: 'EdDSA', use: 'sig' };
  writeFileSync(ownJwks, JSON.stringify({ keys: [published] }));
  const tokenKeys = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
  const jwk = { ...(await exportJWK(tokenKeys.publicKey)), kid: 'bench', alg: 'RS256', use: 'sig' };
  let issuer;
  let server;

  const assertion = (number) =>
    new SignJWT({ roles: ['LLM.User'], client_id: cliClient })
      .setProtectedHeader({ alg: 'EdDSA', kid: 'bench', typ: 'sallyport-assertion+jwt' })
      .setIssuer('urn:sallyport:gateway')
      .setAudience('urn:sallyport:model-server')
      .setSubject(`bench|${number}`)
      .setIssuedAt()
      .setExpirationTime('60s')
      .sign(assertionKeys.privateKey);

  const accessToken = () => {
    const subject = randomUUID();
    const claims = {
      tid: tenant,
      oid: subject,
      client_id: cliClient,
      azp: cliClient,
      scp: 'LLM.Access',
      roles: ['LLM.User'],
      groups: [],
      ver: '2.0',
      jti: randomUUID(),
    };
    return new SignJWT(claims)
      .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: 'bench' })
      .setIssuer(issuer)
      .setAudience('api://sallyport')
      .setSubject(subject)
      .setIssuedAt()
      .setNotBefore('-1s')
      .setExpirationTime('2h')
      .sign(tokenKeys.privateKey);
  };
  const issued = [];

  return {
    gatewayJwks,
    jwksFiles: [ownJwks, gatewayJwks],
    /** Always fresh: an assertion lives a minute. */
    assertions: (count) =>
      Promise.all(
        Array.from({ length: count }, async (_, index) => ({ 'sallyport-assertion': await assertion(index) })),
      ),
    /** The same persons and tokens in every run, as with people who work all day. */
    bearers: async (count) => {
      while (issued.length < count) issued.push({ authorization: `Bearer ${await accessToken()}` });
      return issued.slice(0, count);
    },
    startIssuer: async () => {
      server = createServer((request, response) => {
        response.setHeader('content-type', 'application/json');
        const keys = { keys: [jwk] };
        response.end(JSON.stringify(request.url.endsWith('/keys') ? keys : { issuer, jwks_uri: `${issuer}/keys` }));
      });
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
      issuer = `http://127.0.0.1:${server.address().port}/${tenant}/v2.0`;
      return issuer;
    },
    close: () => server?.close(),
  };
}
