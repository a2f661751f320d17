// The control surface of a real gateway: what anybody may ask, and what nobody learns from it.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import supertest from 'supertest';
import { errorCatalogue } from '../../../core/errors.ts';
import { packageVersion } from '../../../core/package.ts';
import { verifyAuditLog } from '../../../gateway/accounting/audit-verify.ts';
import { startTestGateway, type TestGateway } from '../../support/start-gateway.ts';

let gateway: TestGateway;
const outside = (): ReturnType<typeof supertest> => supertest(gateway.url);
const inside = (): ReturnType<typeof supertest> => supertest(gateway.internalUrl);

before(async () => {
  gateway = await startTestGateway();
  await until(async () => (await outside().get('/readyz')).status === 200);
});
after(() => gateway.close());

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (await condition()) return;
    await delay(50);
  }
  assert.fail('it does not happen');
}

const html = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };

describe('GET /', () => {
  it('gives curl three lines', async () => {
    const { text, headers } = await outside().get('/').set('accept', '*/*').expect(200);
    assert.equal(text.split('\n').length, 4);
    assert.match(headers['content-type'] ?? '', /^text\/plain/);
    assert.ok(text.includes(`${gateway.url}/v1`));
    assert.match(text, /: ready$/m);
  });

  it('gives a browser a page with the right base URL and no script of its own in it', async () => {
    const { text } = await outside()
      .get('/')
      .set(html)
      .expect(200)
      .expect('content-type', /^text\/html/);
    assert.match(text, /<html lang="en">/);
    assert.ok(text.includes(`baseURL: &#39;${gateway.url}/v1&#39;`));
    assert.doesNotMatch(text, /<script(?! src=)|<style| style=| on[a-z]+=/);
  });

  it('points programs to the metadata', async () => {
    for (const accept of ['*/*', html.accept]) {
      const { headers } = await outside().get('/').set('accept', accept);
      assert.equal(
        headers['link'],
        `<${gateway.url}/.well-known/oauth-protected-resource>; rel="oauth-protected-resource"`,
      );
    }
  });

  it('tells nobody a version, a model, an upstream or an issuer key', async () => {
    for (const accept of ['*/*', html.accept]) {
      const response = await outside().get('/').set('accept', accept);
      const whole = response.text + JSON.stringify(response.headers);
      for (const secret of [packageVersion, 'tiny-gpt2', 'embedded', gateway.upstream.url])
        assert.ok(!whole.includes(secret), secret);
    }
  });

  it('is not moved by Host or forwarding headers', async () => {
    const { text } = await outside()
      .get('/')
      .set({ host: 'evil.example', 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' });
    assert.doesNotMatch(text, /evil/);
  });
});

describe('the headers of every control answer', () => {
  for (const path of [
    '/',
    '/healthz',
    '/readyz',
    '/docs',
    '/openapi.json',
    '/docs/errors',
    '/assets/sallyport.css',
    '/nothing',
  ]) {
    it(`protect ${path}`, async () => {
      const { headers } = await outside().get(path).set(html);
      assert.match(headers['content-security-policy'] ?? '', /default-src 'none'/);
      assert.match(headers['content-security-policy'] ?? '', /frame-ancestors 'none'/);
      assert.doesNotMatch(headers['content-security-policy'] ?? '', /script-src[^;]*unsafe/);
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.equal(headers['x-powered-by'], undefined);
      assert.match(headers['x-request-id'] ?? '', /^req_[0-9A-Z]{26}$/);
      if (path !== '/.well-known/oauth-protected-resource')
        assert.equal(headers['access-control-allow-origin'], undefined);
    });
  }
});

describe('the protected resource metadata (RFC 9728)', () => {
  const path = '/.well-known/oauth-protected-resource';

  it('names the resource, its issuer, scope and clients', async () => {
    const { body } = await outside()
      .get(path)
      .expect(200)
      .expect('content-type', /^application\/json/);
    assert.equal(body.resource, gateway.url);
    assert.deepEqual(body.authorization_servers, [gateway.issuer.issuer]);
    assert.deepEqual(body.scopes_supported, ['api://sallyport/LLM.Access']);
    assert.deepEqual(body.bearer_methods_supported, ['header']);
    assert.equal(body.sallyport_cli_client_id, '5a11b0a7-0000-4000-8000-000000000001');
    assert.equal(body.sallyport_docs_client_id, '5a11b0a7-0000-4000-8000-000000000002');
  });

  it('answers for a path below the gateway, whose resource names that path (RFC 9728 §3.1)', async () => {
    for (const resource of ['/v1', '/openai/v1', '/v1/chat/completions']) {
      assert.equal(
        (
          await outside()
            .get(path + resource)
            .expect(200)
        ).body.resource,
        gateway.url + resource,
      );
    }
  });

  for (const resource of ['/elsewhere', '/v', '/v1x', '/v1/chat/completions/x', '/']) {
    it(`does not speak for ${resource}`, async () => {
      await outside()
        .get(path + resource)
        .expect(404);
    });
  }

  it('cannot be changed by Host or forwarding headers', async () => {
    const { text } = await outside()
      .get(path)
      .set({ host: 'evil.example', 'x-forwarded-host': 'evil.example', forwarded: 'host=evil.example' });
    assert.doesNotMatch(text, /evil/);
  });

  it('may be read by pages of any origin, without credentials', async () => {
    const { headers } = await outside().get(path).set('origin', 'https://page.example');
    assert.equal(headers['access-control-allow-origin'], '*');
    assert.equal(headers['access-control-allow-credentials'], undefined);
    const preflight = await outside()
      .options(path)
      .set({ origin: 'https://page.example', 'access-control-request-method': 'GET' });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers['access-control-allow-methods'], 'GET');
  });
});

describe('what the control surface does not know', () => {
  it('is refused in the shape of its path, without a stack', async () => {
    const problem = await outside()
      .get('/nothing')
      .expect(404)
      .expect('content-type', 'application/problem+json');
    assert.equal(problem.body.code, 'endpoint_not_found');
    const openai = await outside().get('/v1/nothing').expect(404).expect('content-type', 'application/json');
    assert.equal(openai.body.error.code, 'endpoint_not_found');
    for (const { text } of [problem, openai]) assert.doesNotMatch(text, /at .*\.ts|node_modules|Cannot GET/);
  });

  it('refuses to be written to', async () => {
    for (const path of [
      '/',
      '/healthz',
      '/docs',
      '/docs/errors',
      '/openapi.json',
      '/.well-known/oauth-protected-resource',
    ]) {
      const { body, headers } = await outside().post(path).expect(405);
      assert.equal(body.code, 'method_not_allowed');
      assert.equal(headers['allow'], 'GET, HEAD');
    }
  });

  it('has no metrics for the public', async () => {
    await outside().get('/metrics').expect(404);
  });

  for (const path of [
    '/docs/../package.json',
    '/docs/%2e%2e/package.json',
    '/docs/errors/../../package',
    '/docs/errors/constructor',
    '/docs/__proto__',
    '/docs/errors/..%2f..%2fREADME',
    '/assets/../app.ts',
    '/docs/assets/../../package.json',
    '/HEALTHZ',
    '/healthz/',
  ]) {
    it(`does not answer ${path}`, async () => {
      const response = await fetch(gateway.url + path, { redirect: 'manual' });
      // fetch itself resolves the dots; what is left must still be no page.
      assert.ok([400, 404].includes(response.status), String(response.status));
    });
  }

  it('is written to the audit log', async () => {
    const { body } = await outside().get('/nothing-to-see').expect(404);
    await until(async () => (await auditText()).includes(body.instance));
    assert.ok((await verifyAuditLog(gateway.auditFolder)).ok);
  });
});

async function auditText(): Promise<string> {
  const { chains } = await verifyAuditLog(gateway.auditFolder);
  if (chains.length === 0) return '';
  return readFileSync(
    join(gateway.auditFolder, `gateway.${new Date().toISOString().slice(0, 10)}.jsonl`),
    'utf8',
  );
}

describe('the manual', () => {
  it('has a page for every code, for browsers and for programs', async () => {
    for (const code of Object.keys(errorCatalogue)) {
      const page = await outside()
        .get(`/docs/errors/${code}`)
        .set(html)
        .expect(200)
        .expect('content-type', /^text\/html/);
      assert.match(page.text, /<h1>/, code);
      const text = await outside()
        .get(`/docs/errors/${code}`)
        .expect(200)
        .expect('content-type', /^text\/markdown/);
      assert.match(text.text, /^# /, code);
    }
  });

  it('is the page that every refusal links', async () => {
    const { body } = await outside().post('/v1/chat/completions').send({}).expect(401);
    const link = new URL(body.error.doc_url);
    assert.equal(link.origin, gateway.url);
    await outside().get(link.pathname).set(html).expect(200);
  });

  it('leads from page to page as the files on disk do, and nowhere else', async () => {
    const { text } = await outside().get('/docs/reference/audit').set(html).expect(200);
    assert.match(text, /href="\/docs\/errors\/audit_unavailable"/);
    assert.match(text, /href="\/docs\/errors"/);
    for (const [, path] of text.matchAll(/href="(\/docs[^"]*)"/g))
      await outside()
        .get(path ?? '')
        .expect(200);
  });

  it('says to a browser that a page is not there, and to programs as everywhere', async () => {
    const { text } = await outside()
      .get('/docs/nope')
      .set(html)
      .expect(404)
      .expect('content-type', /text\/html/);
    assert.match(text, /href="\/docs\/contents"/);
    await outside().get('/docs/nope').expect(404).expect('content-type', /json/);
  });

  it('lists its pages, those of no folder first', async () => {
    const { text } = await outside().get('/docs/contents').set(html).expect(200);
    assert.ok(text.indexOf('/docs/lifecycle') < text.indexOf('/docs/how-to/'));
    for (const [, path] of text.matchAll(/href="(\/docs\/[^"]+)"/g))
      await outside()
        .get(path ?? '')
        .expect(200);
  });
});

describe('the OpenAPI document', () => {
  it('describes every route in force and every control endpoint', async () => {
    const { body } = await outside().get('/openapi.json').expect(200);
    assert.equal(body.openapi, '3.1.0');
    const routes = readFileSync(join(gateway.policies, 'routes.yaml'), 'utf8');
    for (const [, path] of routes.matchAll(/path: '?(\/[^',]+)'?[,}]/g))
      assert.ok(body.paths[path ?? ''], path);
    for (const path of ['/healthz', '/readyz', '/.well-known/oauth-protected-resource'])
      assert.ok(body.paths[path], path);
  });

  it('says which codes an endpoint may refuse with, and leaves no reference open', async () => {
    const { body, text } = await outside().get('/openapi.json');
    const { responses } = body.paths['/v1/chat/completions'].post;
    assert.match(responses['429'].description, /rate_limit_exceeded/);
    assert.match(responses['503'].description, /audit_unavailable/);
    assert.match(responses['401'].description, /invalid_token/);
    for (const [, name] of text.matchAll(/#\/components\/schemas\/([A-Za-z]+)/g))
      assert.ok(body.components.schemas[name ?? ''], name);
  });

  it('asks for no credential where none is read', async () => {
    const { body } = await outside().get('/openapi.json');
    assert.deepEqual(body.paths['/users'].post.security, []);
    assert.equal(body.paths['/admin/users'].get.security, undefined);
  });

  it('names no model, version or address of ours', async () => {
    const { text } = await outside().get('/openapi.json');
    for (const secret of [packageVersion, 'tiny-gpt2', gateway.upstream.url])
      assert.ok(!text.includes(secret), secret);
  });
});

describe('health', () => {
  it('says that the process is alive', async () => {
    for (const side of [outside(), inside()])
      assert.deepEqual((await side.get('/healthz').expect(200)).body, { status: 'alive' });
  });

  it('says how every dependency stands', async () => {
    const { body } = await outside().get('/readyz?verbose').expect(200);
    assert.equal(body.status, 'ready');
    assert.deepEqual(
      body.checks.map(({ kind, name }: { kind: string; name: string }) => `${kind} ${name}`),
      [
        'issuer embedded',
        'introspection embedded',
        'upstream embedded',
        'upstream accounts',
        'revocations files',
        'limit_store process',
        'audit_log audit',
        'policies bundle',
        'gateway process',
      ],
    );
  });

  it('answers HEAD', async () => {
    await outside().head('/readyz').expect(200);
  });

  it('keeps serving with the earlier policies when an edit is bad, says so, and tells the reason inside only', async () => {
    const file = join(gateway.policies, 'limits.yaml');
    const good = readFileSync(file, 'utf8');
    writeFileSync(file, 'limitz: {}\n');
    await until(async () => (await outside().get('/readyz')).body.status === 'degraded');
    const bundle = (body: { checks: { kind: string; problem: string }[] }): string =>
      body.checks.find(({ kind }) => kind === 'policies')?.problem ?? '';
    assert.doesNotMatch(bundle((await outside().get('/readyz').expect(200)).body), /limitz/);
    assert.match(bundle((await inside().get('/readyz').expect(200)).body), /limitz/);
    writeFileSync(file, good);
    await until(async () => (await outside().get('/readyz')).body.status === 'ready');
  });

  it('gives metrics on the internal listener', async () => {
    const { text } = await inside()
      .get('/metrics')
      .expect(200)
      .expect('content-type', /^text\/plain/);
    for (const name of [
      'sallyport_requests_total',
      'sallyport_issuer_ready{issuer="embedded"} 1',
      'sallyport_build_info{',
      'sallyport_policy_reloads_total',
      'process_cpu_seconds_total',
    ]) {
      assert.ok(text.includes(name), name);
    }
  });

  it('serves nothing else on the internal listener', async () => {
    for (const path of ['/', '/docs', '/v1/models', '/openapi.json']) await inside().get(path).expect(404);
  });
});

describe('a gateway whose issuer is down', () => {
  it('starts, says why it is not ready, and still shows its pages', async () => {
    const down = await startTestGateway({ config: { embedded_issuer: 'http://127.0.0.1:1/nobody/v2.0' } });
    try {
      await until(async () => (await supertest(down.url).get('/readyz')).body.checks[0].problem !== null);
      const { body, headers } = await supertest(down.url).get('/readyz').expect(503);
      assert.equal(body.status, 'not_ready');
      assert.equal(body.checks[0].kind, 'issuer');
      assert.equal(body.checks[0].ready, false);
      assert.ok(Number(headers['retry-after']) > 0);
      assert.match((await supertest(down.url).get('/').expect(200)).text, /not ready/);
      await supertest(down.url).get('/docs').set(html).expect(200);
      const openapi = await supertest(down.url).get('/openapi.json').expect(200);
      assert.deepEqual(Object.keys(openapi.body.components.securitySchemes), ['accessToken']);
    } finally {
      await down.close();
    }
  });
});
