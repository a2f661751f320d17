// The gateway as everybody would write it, from the packages that everybody would choose: Express, its JSON parser,
// jose against a remote JWK Set on each request, rate-limiter-flexible, http-proxy-middleware with fixRequestBody.
import { Agent } from 'node:http';
import express from 'express';
import { createProxyMiddleware, fixRequestBody } from 'http-proxy-middleware';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { ready } from './process.mjs';

export async function start({ upstreamPort, issuer, audience, role }) {
  const keys = createRemoteJWKSet(new URL(`${issuer}/keys`));
  const limiter = new RateLimiterMemory({ points: 1_000_000_000, duration: 60 });
  const app = express();
  app.use(express.json());

  app.use(async (request, response, next) => {
    const accessToken = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    if (accessToken === undefined) return response.status(401).json({ error: 'missing token' });
    try {
      request.claims = (
        await jwtVerify(accessToken, keys, { issuer, audience, algorithms: ['RS256'] })
      ).payload;
    } catch {
      return response.status(401).json({ error: 'invalid token' });
    }
    if (!request.claims.roles?.includes(role)) return response.status(403).json({ error: 'forbidden' });
    next();
  });

  app.use(async (request, response, next) => {
    try {
      await limiter.consume(request.claims.sub);
    } catch {
      return response.status(429).json({ error: 'too many requests' });
    }
    next();
  });

  app.use(
    '/v1',
    createProxyMiddleware({
      target: `http://127.0.0.1:${upstreamPort}/v1`,
      changeOrigin: true,
      agent: new Agent({ keepAlive: true, maxSockets: 256 }),
      on: { proxyReq: fixRequestBody },
    }),
  );

  const server = app.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  server.keepAliveTimeout = 600_000;
  return { port: server.address().port };
}

ready(import.meta.url, start);
