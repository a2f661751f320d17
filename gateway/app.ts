// The control surface as Express apps: public (health, metadata, home page, manual, API page) and internal (metrics).
// Requests that a policed route matches never come here.
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import helmet from 'helmet';
import { pinoHttp } from 'pino-http';
import { GatewayError } from '../core/errors.ts';
import { accessMetadata, accessMetadataPath } from './access/endpoints.ts';
import { addApiPage } from './control/api-page.ts';
import { copyScript, icon, stylesheet } from './control/assets.ts';
import type { ControlDependencies } from './control/control-dependencies.ts';
import { homePage, homeText } from './control/home.ts';
import { createIssuerEndpoints } from './control/issuer-endpoints.ts';
import { createManual } from './control/manual.ts';
import { createReadiness, type Readiness } from './control/readiness.ts';
import { metadataPath, resourceMetadata } from './control/resource-metadata.ts';
import { echoOf, newRequestId } from './request-id.ts';

export type { ControlDependencies } from './control/control-dependencies.ts';

/** Everything public that is not a policed route; what it does not know is refused with `endpoint_not_found`. */
export function createControlApp(deps: ControlDependencies): Express {
  const app = newApp(deps);
  const readiness = createReadiness(deps);
  app.use((_request, response, next) => {
    response.set('link', `<${deps.services.publicUrl}${metadataPath}>; rel="oauth-protected-resource"`);
    next();
  });
  addHealth(app, readiness, false);
  addMetadata(app, deps);
  addAccessMetadata(app, deps);
  app.get('/', async (request, response) => {
    const { status } = await readiness(false);
    response.set('cache-control', 'no-store').vary('Accept');
    if (prefersHtml(request)) response.type('html').send(homePage(deps.services.publicUrl, status));
    else response.type('text/plain').send(homeText(deps.services.publicUrl, status));
  });
  addAssets(app);
  addApiPage(app, deps, createIssuerEndpoints(deps.issuerCa));
  addManual(app);
  addRefusals(app, deps);
  return app;
}

/** The internal listener: metrics and health with every detail. */
export function createInternalApp(deps: ControlDependencies): Express {
  const app = newApp(deps);
  addHealth(app, createReadiness(deps), true);
  app.get('/metrics', async (_request, response) => {
    const { contentType, body } = await deps.services.metrics.render();
    response.set('content-type', contentType).send(body);
  });
  addRefusals(app, deps);
  return app;
}

function newApp(deps: ControlDependencies): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('query parser', 'simple');
  app.set('case sensitive routing', true);
  app.set('strict routing', true);
  app.use((_request, response, next) => {
    response.set('x-request-id', newRequestId(Date.now()));
    next();
  });
  app.use(
    pinoHttp({
      logger: deps.services.log,
      quietReqLogger: true,
      // Probes come every few seconds and say nothing; everything here is at most worth a debug line.
      customLogLevel: (_request, response) =>
        response.statusCode >= 500 && response.statusCode !== 503 ? 'error' : 'debug',
      // No header and no query: either may hold what does not belong into a log.
      serializers: {
        req: (request: { method: string; url: string }) => ({
          method: request.method,
          path: request.url.split('?', 1)[0],
        }),
        res: (response: { statusCode: number }) => ({ status: response.statusCode }),
      },
    }),
  );
  app.use(
    helmet({
      contentSecurityPolicy: {
        useDefaults: false,
        directives: {
          defaultSrc: ["'none'"],
          scriptSrc: ["'self'"],
          styleSrc: ["'self'"],
          imgSrc: ["'self'"],
          formAction: ["'none'"],
          baseUri: ["'none'"],
          frameAncestors: ["'none'"],
        },
      },
      strictTransportSecurity: deps.services.publicUrl.startsWith('https:'),
      xFrameOptions: { action: 'deny' },
    }),
  );
  return app;
}

function addHealth(app: Express, readiness: (detail: boolean) => Promise<Readiness>, detail: boolean): void {
  app.get('/healthz', (_request, response) => {
    response.set('cache-control', 'no-store').json({ status: 'alive' });
  });
  app.get('/readyz', async (_request, response) => {
    const state = await readiness(detail);
    if (state.status === 'not_ready') response.status(503).set('retry-after', '5');
    response.set('cache-control', 'no-store').json(state);
  });
}

function addMetadata(app: Express, deps: ControlDependencies): void {
  const resources = (path: string): boolean =>
    path === '' || deps.current().routes.routes.some((route) => `${route.path}/`.startsWith(`${path}/`));
  // The one document that pages of other origins may read: it is public and the same for everybody.
  app.options([metadataPath, `${metadataPath}/{*resource}`], (_request, response) => {
    response
      .set({
        'access-control-allow-origin': '*',
        'access-control-allow-methods': 'GET',
        'access-control-allow-headers': '*',
      })
      .status(204)
      .end();
  });
  app.get([metadataPath, `${metadataPath}/{*resource}`], (request, response, next) => {
    // RFC 9728 §3.1: the path of the resource follows the well-known path.
    const path = request.path.slice(metadataPath.length);
    if (!resources(path)) {
      next();
      return;
    }
    response.set({
      'access-control-allow-origin': '*',
      'cross-origin-resource-policy': 'cross-origin',
      'cache-control': 'max-age=300',
    });
    response.json(resourceMetadata(deps, path));
  });
}

/** AuthZEN's metadata, where the routes answer its questions. */
function addAccessMetadata(app: Express, deps: ControlDependencies): void {
  app.get(accessMetadataPath, (request, response, next) => {
    const metadata = accessMetadata(deps.services.publicUrl, deps.current().routes.routes);
    if (metadata === null) {
      next();
      return;
    }
    response.set({ 'cache-control': 'max-age=300', ...echoOf(request) }).json(metadata);
  });
}

function addAssets(app: Express): void {
  for (const [path, type, text] of [
    ['/assets/sallyport.css', 'text/css', stylesheet],
    ['/assets/copy.js', 'text/javascript', copyScript],
    ['/assets/icon.svg', 'image/svg+xml', icon],
  ] as const) {
    app.get(
      path,
      (_request, response) => void response.set('cache-control', 'max-age=3600').type(type).send(text),
    );
  }
}

function addManual(app: Express): void {
  const manual = createManual();
  app.get('/docs/{*page}', (request, response, next) => {
    const found = manual.find(request.path.slice('/docs/'.length).replace(/\.md$/, ''));
    if (found === null) {
      if (prefersHtml(request)) response.status(404).vary('Accept').type('html').send(manual.missing);
      else next();
      return;
    }
    response.vary('Accept').set('cache-control', 'max-age=300');
    if (prefersHtml(request) && !request.path.endsWith('.md')) response.type('html').send(found.html);
    else response.type('text/markdown').send(found.markdown);
  });
}

/** What nothing above answered, and what failed: refusals, never a page of Express. */
function addRefusals(app: Express, deps: ControlDependencies): void {
  app.use((request: Request, response: Response) => {
    const allowed = 'GET, HEAD';
    const refusal =
      !['GET', 'HEAD'].includes(request.method) && readOnlyPath.test(request.path)
        ? new GatewayError('method_not_allowed', { params: { allowed }, headers: { allow: allowed } })
        : new GatewayError('endpoint_not_found');
    deps.refuse(request, response, refusal);
  });
  // Express knows an error handler by its four parameters.
  app.use((error: unknown, request: Request, response: Response, next: NextFunction) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    deps.services.log.error(
      { fault: error instanceof Error ? error.name : 'unknown' },
      'the control surface failed',
    );
    deps.refuse(request, response, new GatewayError('internal_error', { cause: error }));
  });
}

/** What exists here, all of it for reading. */
const readOnlyPath =
  /^\/(healthz|readyz|metrics|openapi\.json|docs(\/.*)?|assets\/.*|\.well-known\/(oauth-protected-resource.*|authzen-configuration))?$/;

/** A browser says that it wants HTML; curl and SDKs say that they take anything or JSON. */
function prefersHtml(request: Request): boolean {
  return request.headers.accept?.includes('text/html') === true;
}
