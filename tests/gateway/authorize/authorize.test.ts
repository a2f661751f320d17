import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { packageRoot } from '../../../core/package.ts';
import { GatewayError } from '../../../core/errors.ts';
import {
  authorize,
  compileRoles,
  rolesSchema,
  type Authorization,
} from '../../../gateway/authorize/index.ts';
import { anonymousPrincipal } from '../../../gateway/principal.ts';
import { principalWith, requestWith, routeWith } from '../parsed-request.ts';

interface Golden {
  readonly models: string[];
  readonly policy: unknown;
  readonly cases: {
    roles?: string[];
    groups?: string[];
    issuer?: string;
    action: string;
    model: string | null;
    decided_by?: string;
    refused?: string;
    reason?: string;
  }[];
}

const folder = join(packageRoot, 'tests/policies');
for (const name of readdirSync(folder).filter((file) => file.startsWith('authorize-'))) {
  const golden = parse(readFileSync(join(folder, name), 'utf8')) as Golden;
  const authorization = compileRoles(rolesSchema.parse(golden.policy), golden.models);
  describe(`the golden cases of ${name}`, () => {
    for (const entry of golden.cases) {
      const who =
        [...(entry.roles ?? []), ...(entry.groups ?? []).map((group) => `group ${group}`)].join(', ') ||
        'nobody';
      it(`${who}${entry.issuer === undefined ? '' : ` of ${entry.issuer}`}: ${entry.action} on ${entry.model ?? 'no model'} is ${entry.refused ?? 'permitted'}`, () => {
        const request = requestWith({
          route: routeWith({ action: entry.action, kind: entry.model === null ? 'models' : 'openai' }),
          principal: principalWith({
            roles: entry.roles ?? [],
            groups: entry.groups ?? [],
            issuerName: entry.issuer ?? 'embedded',
          }),
          model: entry.model,
          models: golden.models,
          authorization,
        });
        if (entry.refused === undefined) {
          const authorized = authorize(request);
          assert.equal(authorized.effective.decidedBy, entry.decided_by);
          assert.equal(authorized.outcome.decidedBy, entry.decided_by);
          return;
        }
        const refusal = refusalOf(() => authorize(request));
        assert.deepEqual([refusal.code, refusal.reason], [entry.refused, entry.reason]);
        assert.equal(request.outcome.decidedBy, null);
      });
    }
  });
}

function refusalOf(run: () => unknown): GatewayError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof GatewayError, String(error));
    return error;
  }
  return assert.fail('nothing was refused');
}

const models = ['tiny-gpt2', 'premium-large', 'premium-small'];
const policy = rolesSchema.parse({
  roles: {
    User: { permits: ['models.list', 'completions.create'], models: ['tiny-gpt2'] },
    Premium: { inherits: ['User'], models: ['premium-*'] },
    Lister: { permits: ['models.list'] },
  },
  assignments: [{ role: 'Premium', groups: ['paying'] }],
});
const authorization: Authorization = compileRoles(policy, models);

describe('authorize', () => {
  it('answers an unknown model and a forbidden one with the same words', () => {
    const texts = ['premium-large', 'no-such-one'].map((model) => {
      const refusal = refusalOf(() =>
        authorize(
          requestWith({
            route: routeWith({ action: 'completions.create' }),
            principal: principalWith({ roles: ['User'] }),
            model,
            models,
            authorization,
          }),
        ),
      );
      return [refusal.code, refusal.publicMessage.replace(model, 'X'), refusal.param];
    });
    assert.deepEqual(texts[0], texts[1]);
  });

  it('requires a model where the upstream needs one', () => {
    const refusal = refusalOf(() =>
      authorize(
        requestWith({
          route: routeWith({ action: 'completions.create' }),
          principal: principalWith({ roles: ['User'] }),
          models,
          authorization,
        }),
      ),
    );
    assert.deepEqual([refusal.code, refusal.param], ['body_invalid', 'model']);
  });

  it('refuses the action before it looks at the model, so nothing is learnt about models', () => {
    for (const model of ['tiny-gpt2', 'no-such-one', null]) {
      const request = requestWith({
        route: routeWith({ action: 'embeddings.create' }),
        principal: principalWith({ roles: ['User'] }),
        model,
        models,
        authorization,
      });
      assert.equal(refusalOf(() => authorize(request)).code, 'access_denied');
    }
  });

  it('takes the first permitted model for a generation that names none', () => {
    const route = routeWith({
      kind: 'generate',
      action: 'completions.create',
      upstreamPath: '/v1/completions',
    });
    const authorized = authorize(
      requestWith({ route, principal: principalWith({ roles: ['Premium'] }), models, authorization }),
    );
    assert.equal(authorized.model, 'tiny-gpt2');
    assert.equal(authorized.outcome.model, 'tiny-gpt2');
    assert.equal(authorized.effective.decidedBy, 'roles.User');
  });

  it('refuses such a generation when no model is permitted', () => {
    const bare = compileRoles(
      rolesSchema.parse({ roles: { Bare: { permits: ['completions.create'] } } }),
      models,
    );
    const route = routeWith({ kind: 'generate', action: 'completions.create' });
    const refusal = refusalOf(() =>
      authorize(
        requestWith({ route, principal: principalWith({ roles: ['Bare'] }), models, authorization: bare }),
      ),
    );
    assert.deepEqual([refusal.code, refusal.reason], ['model_not_found', 'no_model_permitted']);
  });

  it('permits an anonymous route without a role, and says so', () => {
    const route = routeWith({
      kind: 'http',
      anonymous: true,
      action: 'accounts.register',
      upstream: 'accounts',
    });
    const authorized = authorize(
      requestWith({ route, principal: anonymousPrincipal('192.0.2.1'), authorization }),
    );
    assert.equal(authorized.outcome.decidedBy, 'anonymous');
    assert.equal(authorized.effective.roles.size, 0);
  });

  it('refuses an anonymous principal on any other route', () => {
    const request = requestWith({
      route: routeWith({ kind: 'models', action: 'models.list' }),
      principal: anonymousPrincipal('192.0.2.1'),
      authorization,
    });
    assert.equal(refusalOf(() => authorize(request)).code, 'access_denied');
  });
});

describe('compiled roles', () => {
  it('list permitted models in configuration order, whatever the order of roles', () => {
    assert.deepEqual(authorization.permittedModels(principalWith({ roles: ['Premium'] })), models);
    assert.deepEqual(authorization.permittedModels(principalWith({ roles: ['User'] })), ['tiny-gpt2']);
    assert.deepEqual(authorization.permittedModels(principalWith({ roles: ['Lister'] })), []);
    assert.deepEqual(authorization.permittedModels(principalWith({})), []);
  });

  it('close claimed and assigned roles over the hierarchy', () => {
    assert.deepEqual(
      [
        ...authorization.effectiveRoles(principalWith({ roles: ['Lister', 'Ghost'], groups: ['paying'] })),
      ].toSorted(),
      ['Lister', 'Premium', 'User'],
    );
  });

  it('work once per principal', () => {
    const principal = principalWith({ groups: ['paying'] });
    assert.equal(authorization.effectiveRoles(principal), authorization.effectiveRoles(principal));
    // The same roles by another way share the same grants.
    assert.equal(
      authorization.permittedModels(principal),
      authorization.permittedModels(principalWith({ roles: ['Premium'] })),
    );
  });

  it('survive a diamond of inheritance', () => {
    const diamond = compileRoles(
      rolesSchema.parse({
        roles: {
          Top: { inherits: ['Left', 'Right'] },
          Left: { inherits: ['Base'], models: ['premium-*'] },
          Right: { inherits: ['Base'] },
          Base: { permits: ['models.list'], models: ['tiny-gpt2'] },
        },
      }),
      models,
    );
    assert.equal(diamond.permits(principalWith({ roles: ['Top'] }), 'models.list', 'premium-small'), 'Left');
    assert.equal(diamond.permits(principalWith({ roles: ['Right'] }), 'models.list', 'premium-small'), null);
  });

  const patterns: [string, string, boolean][] = [
    ['*', 'anything', true],
    ['premium-*', 'premium-', true],
    ['premium-*', 'xpremium-1', false],
    ['*-mini', 'gpt-mini', true],
    ['*-mini', 'gpt-mini-2', false],
    ['a*b*c', 'aXbYc', true],
    ['a*b*c', 'abc', true],
    ['a*b*c', 'acb', false],
    ['ab*ba', 'aba', false],
    ['a*bc*c', 'abc', false],
    ['a.c', 'abc', false],
    ['gpt', 'GPT', false],
  ];
  for (const [pattern, model, expected] of patterns) {
    it(`match ${model} with ${pattern}: ${expected ? 'yes' : 'no'}`, () => {
      const compiled = compileRoles(
        rolesSchema.parse({ roles: { R: { permits: ['a.b'], models: [pattern] } } }),
        [model],
      );
      assert.equal(compiled.permits(principalWith({ roles: ['R'] }), 'a.b', model) !== null, expected);
    });
  }

  const actions: [string, string, boolean][] = [
    ['admin.*', 'admin.users.list', true],
    ['admin.*', 'administrate.all', false],
    ['admin.*', 'admin', false],
    ['*', 'any.thing', true],
    ['chat.completions.create', 'chat.completions.create.more', false],
  ];
  for (const [pattern, action, expected] of actions) {
    it(`cover ${action} with ${pattern}: ${expected ? 'yes' : 'no'}`, () => {
      const compiled = compileRoles(rolesSchema.parse({ roles: { R: { permits: [pattern] } } }), []);
      assert.equal(compiled.permits(principalWith({ roles: ['R'] }), action, null) !== null, expected);
    });
  }
});
