import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { packageRoot } from '../../../core/package.ts';
import { readYamlFile } from '../../../core/yaml-file.ts';
import { compileRoutes, routesSchema } from '../../../gateway/policies/routes.ts';

const table = compileRoutes(readYamlFile(join(packageRoot, 'policies/routes.yaml'), routesSchema).value);

function answer(method: string, path: string): string {
  const match = table.match(method, path);
  if (match === null) return 'none';
  if ('allowed' in match) return `allowed ${match.allowed.join(',')}`;
  return match.pathModel === null ? match.route.name : `${match.route.name} ${match.pathModel}`;
}

describe('the route table as shipped', () => {
  const cases: [string, string, string][] = [
    ['POST', '/v1/chat/completions', 'chat.completions'],
    ['GET', '/v1/models', 'models'],
    ['GET', '/v1/models/tiny-gpt2', 'model tiny-gpt2'],
    ['POST', '/openai/deployments/tiny-gpt2/chat/completions', 'azure.chat.completions tiny-gpt2'],
    ['POST', '/openai/deployments/a.b_c-d/embeddings', 'azure.embeddings a.b_c-d'],
    ['GET', '/admin/users', 'admin.users'],
    ['POST', '/generate', 'generate'],
    ['GET', '/api-keys', 'api-keys'],
    ['POST', '/api-keys', 'api-keys.create'],
    ['DELETE', '/api-keys/4fJx0aQm2Zt7', 'api-keys.revoke'],
    ['DELETE', '/admin/api-keys/4fJx0aQm2Zt7', 'admin.api-keys.revoke'],
    ['GET', '/api-keys/4fJx0aQm2Zt7', 'allowed DELETE'],
    ['DELETE', '/api-keys', 'allowed GET,POST'],
    ['DELETE', '/api-keys/', 'none'],
    ['DELETE', '/api-keys/a/b', 'none'],
    ['DELETE', '/api-keys/a.b', 'none'],
    ['DELETE', '/api-keys/a:b', 'none'],
    ['DELETE', '/api-keys/*', 'none'],
    ['DELETE', `/api-keys/${'x'.repeat(65)}`, 'none'],
    ['GET', '/internal/relations', 'none'],
    ['POST', '/internal/introspect', 'none'],
    ['GET', '/v1/chat/completions', 'allowed POST'],
    ['DELETE', '/v1/models/tiny-gpt2', 'allowed GET'],
    ['GET', '/openai/deployments/x/completions', 'allowed POST'],
    ['POST', '/v1/chat/completions/', 'none'],
    ['POST', '/v1/chat', 'none'],
    ['POST', '/V1/chat/completions', 'none'],
    ['POST', 'v1/chat/completions', 'none'],
    ['POST', '/x/v1/chat/completions', 'none'],
    ['GET', '/v1/models/', 'none'],
    ['GET', '/v1/models/a/b', 'none'],
    ['POST', '/openai/deployments//chat/completions', 'none'],
    ['POST', '/openai/deployments/a/b/chat/completions', 'none'],
    ['POST', '/openai/deployments/chat/completions', 'azure.completions chat'],
    ['POST', '/openai/deployments/{model}/chat/completionsx', 'none'],
    ['GET', '/admin', 'none'],
    ['GET', '/admin/users/', 'none'],
    ['GET', '/__proto__', 'none'],
    ['GET', '/', 'none'],
    ['GET', '', 'none'],
  ];
  for (const [method, path, expected] of cases) {
    it(`answers ${method} ${path} with ${expected}`, () => assert.equal(answer(method, path), expected));
  }

  it('lets only account routes be used by anybody, each with a limit', () => {
    const open = table.routes.filter((route) => route.anonymous);
    assert.deepEqual(
      open.map((route) => route.action),
      ['accounts.register', 'accounts.token'],
    );
    assert.ok(open.every((route) => route.limits.length > 0));
  });

  it('guards and limits every route to a model', () => {
    const judged = table.routes.filter((route) => route.kind === 'openai' || route.kind === 'generate');
    assert.ok(judged.every((route) => route.guards.length === 2 && route.limits.length > 0));
  });
});
