// `/docs`: Swagger UI from our own files, under a policy that permits no inline script and no foreign origin but the
// issuer, to which the Authorize button really signs in (authorization code with PKCE).
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Express, Response } from 'express';
import { apiPageScript, signedInScript } from './api-page-scripts.ts';
import type { ControlDependencies } from './control-dependencies.ts';
import { html } from './html.ts';
import type { IssuerAddress, IssuerEndpoints } from './issuer-endpoints.ts';
import { openApiDocument } from './openapi.ts';
import { page, pageTop, stylesheetPath } from './page.ts';
import { docsClientId } from './resource-metadata.ts';

const swaggerFolder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));

const shell = html`<!doctype html>
  <html lang="en">
    <head>
      <meta charset="utf-8" />
      <meta name="viewport" content="width=device-width, initial-scale=1" />
      <title>API · Sallyport</title>
      <meta name="color-scheme" content="light dark" />
      <link rel="stylesheet" href="/docs/assets/swagger-ui.css" />
      <link rel="stylesheet" href="${stylesheetPath}" />
      <link rel="icon" href="/assets/icon.svg" type="image/svg+xml" />
      <script src="/docs/assets/swagger-ui-bundle.js" defer></script>
      <script src="/docs/assets/start.js" defer></script>
    </head>
    <body>
      ${pageTop}
      <main id="main">
        <div id="api">
          <p class="page">
            The API page needs JavaScript. The same description as data:
            <a href="/openapi.json">openapi.json</a>
          </p>
        </div>
      </main>
    </body>
  </html> `.text;

const signedInPage = page({
  title: 'Signed in · Sallyport',
  body: html`<h1>Signed in</h1>
    <p>Back to the API page: you can close this window.</p>`,
  script: '/docs/assets/signed-in.js',
});

/** Adds the API page, its files and the OpenAPI document. */
export function addApiPage(
  app: Express,
  deps: ControlDependencies,
  endpointsOf: (issuer: IssuerAddress) => Promise<IssuerEndpoints | null>,
): void {
  const endpoints = async (): Promise<IssuerEndpoints | null> => {
    const [issuer] = deps.current().authentication.status();
    return issuer === undefined ? null : endpointsOf(issuer);
  };

  app.get('/openapi.json', async (_request, response) => {
    response.set('cache-control', 'no-cache').json(openApiDocument(deps, await endpoints()));
  });
  app.get('/docs', async (_request, response) => {
    const found = await endpoints();
    const origins = found === null ? [] : [new URL(found.tokenEndpoint).origin];
    response.set('content-security-policy', apiPagePolicy(origins));
    response.type('html').send(shell);
  });
  app.get('/docs/oauth2-redirect.html', (_request, response) => {
    response.set('cache-control', 'no-store').type('html').send(signedInPage);
  });
  app.get('/docs/assets/start.js', (_request, response) => {
    const settings = {
      clientId: docsClientId,
      redirectUrl: `${deps.services.publicUrl}/docs/oauth2-redirect.html`,
      scopes: ['openid', ...deps.current().authentication.scopesSupported],
    };
    response.type('text/javascript').send(apiPageScript(settings));
  });
  app.get('/docs/assets/signed-in.js', (_request, response) => {
    response.type('text/javascript').send(signedInScript);
  });
  for (const [name, type] of [
    ['swagger-ui.css', 'text/css'],
    ['swagger-ui-bundle.js', 'text/javascript'],
  ] as const) {
    app.get(`/docs/assets/${name}`, (_request, response) => sendFile(response, name, type));
  }
}

function sendFile(response: Response, name: string, type: string): void {
  response
    .type(type)
    .set('cache-control', 'max-age=3600')
    .send(readFileSync(join(swaggerFolder, name), 'utf8'));
}

/** Swagger UI sets style attributes in the page and draws arrows from data: images; nothing else is relaxed. */
function apiPagePolicy(issuerOrigins: readonly string[]): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    `connect-src 'self' ${issuerOrigins.join(' ')}`.trim(),
    "form-action 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}
