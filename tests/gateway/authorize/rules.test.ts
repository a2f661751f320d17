import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { GatewayError } from '../../../core/errors.ts';
import { packageRoot } from '../../../core/package.ts';
import {
  authorize,
  compileRoles,
  compileRules,
  decide,
  evaluationRequest,
  rolesSchema,
  rulesSchema,
} from '../../../gateway/authorize/index.ts';
import type { Limited } from '../../../gateway/exchange.ts';
import { anonymousPrincipal } from '../../../gateway/principal.ts';
import { principalWith, requestWith, routeWith } from '../parsed-request.ts';

interface Case {
  readonly roles?: string[];
  readonly groups?: string[];
  readonly scopes?: string[];
  readonly claims?: Record<string, unknown>;
  readonly client?: string | null;
  readonly subject?: string;
  readonly issuer?: string;
  readonly acr?: string;
  readonly amr?: string[];
  readonly signed_in?: string;
  readonly anonymous?: boolean;
  readonly from?: string;
  readonly at?: string;
  readonly body?: Record<string, unknown>;
  readonly action: string;
  readonly model: string | null;
  readonly decided_by?: string;
  readonly refused?: string;
  readonly reasons?: string[];
}
interface Golden {
  readonly models: string[];
  readonly policy: unknown;
  readonly rules: unknown;
  readonly cases: Case[];
}

const text = readFileSync(join(packageRoot, 'tests/policies/rules-decisions.yaml'), 'utf8');
const golden = parse(text) as Golden;
const parts = {
  models: golden.models,
  authorization: compileRoles(rolesSchema.parse(golden.policy), golden.models),
  rules: compileRules(rulesSchema.parse({ rules: golden.rules })),
};

function requestOf(entry: Case): Limited {
  const from = entry.from ?? '192.0.2.200';
  const principal =
    entry.anonymous === true
      ? anonymousPrincipal(from)
      : principalWith({
          roles: entry.roles ?? [],
          groups: entry.groups ?? [],
          scopes: entry.scopes ?? [],
          issuerName: entry.issuer ?? 'embedded',
          ...(entry.client === undefined ? {} : { clientId: entry.client }),
          ...(entry.subject === undefined ? {} : { subject: entry.subject }),
          acr: entry.acr ?? null,
          amr: entry.amr ?? [],
          authTime: entry.signed_in === undefined ? null : Date.parse(entry.signed_in) / 1_000,
          claims: entry.claims ?? {},
        });
  return requestWith({
    route: routeWith({
      action: entry.action,
      kind: entry.model === null ? 'http' : 'openai',
      anonymous: entry.anonymous ?? false,
    }),
    principal,
    model: entry.model,
    body: entry.body ?? null,
    callerAddress: from,
    now: Date.parse(entry.at ?? '2026-01-07T12:00:00Z'),
    ...parts,
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

describe('the golden cases of rules', () => {
  for (const [index, entry] of golden.cases.entries()) {
    const { action, model, refused, decided_by: decidedBy, reasons, ...who } = entry;
    it(`${index + 1}: ${JSON.stringify(who)} ${action} on ${model ?? 'no model'} is ${refused ?? 'permitted'} by ${decidedBy ?? 'default'}`, () => {
      const request = requestOf(entry);
      const decision = decide(evaluationRequest(request, model), request.snapshot);
      assert.equal(decision.decision, refused === undefined ? 'permit' : 'deny');
      assert.equal(decision.decidedBy, decidedBy ?? null);
      if (reasons !== undefined)
        assert.deepEqual(
          decision.reasons.map((reason) => reason.code),
          reasons,
        );
      if (refused === undefined) {
        assert.equal(authorize(request).outcome.decidedBy, decidedBy);
      } else {
        const refusal = refusalOf(() => authorize(request));
        assert.equal(refusal.code, refused);
        assert.equal(request.outcome.decidedBy, decidedBy ?? null);
        assert.ok(refusal.reason?.includes(decision.code));
      }
    });

    it(`${index + 1}: is decided alike by a trace, which looks at every rule`, () => {
      const request = requestOf(entry);
      const question = evaluationRequest(request, model);
      const short = decide(question, request.snapshot);
      const traced = decide(question, request.snapshot, { trace: true });
      assert.deepEqual(
        [traced.decision, traced.decidedBy, traced.code, traced.stepUp],
        [short.decision, short.decidedBy, short.code, short.stepUp],
      );
      assert.deepEqual(traced.reasons.slice(0, short.reasons.length), short.reasons);
      const seen = new Set(traced.reasons.map((reason) => reason.rule));
      if (entry.anonymous !== true)
        for (const rule of parts.rules.all) assert.ok(seen.has(rule.id), `${rule.id} was not looked at`);
    });
  }
});

describe('a refusal by a rule', () => {
  it('names rule and code in the private reason alone', () => {
    const request = requestOf({
      roles: ['User'],
      claims: { plan: 'free' },
      action: 'chat.completions.create',
      model: 'premium-large',
    });
    const refusal = refusalOf(() => authorize(request));
    assert.equal(refusal.reason, 'rules.paid models_matched when_matched');
    assert.ok(!refusal.publicMessage.includes('paid'));
  });

  it('carries what the sign-in must be (RFC 9470 §3)', () => {
    const request = requestOf({ scopes: ['Audit'], action: 'audit.export', model: null });
    const { stepUp } = refusalOf(() => authorize(request));
    assert.deepEqual([stepUp?.acrValues, stepUp?.maxAge], [['gold', 'silver'], 600]);
  });
});

describe('models in a list', () => {
  const listed = (entry: Partial<Case>): readonly string[] =>
    authorize(
      requestWith({
        ...parts,
        route: routeWith({ kind: 'models', action: 'models.list' }),
        principal: principalWith({ roles: entry.roles ?? [], claims: entry.claims ?? {} }),
      }),
    ).effective.visibleModels;

  it('are those of the roles, less those that a deny rule takes', () => {
    assert.deepEqual(listed({ roles: ['User'], claims: { plan: 'free' } }), ['tiny-gpt2']);
    assert.deepEqual(listed({ roles: ['User'] }), ['tiny-gpt2']);
    assert.deepEqual(listed({ roles: ['User'], claims: { plan: 'paid' } }), golden.models);
    assert.deepEqual(listed({ roles: ['Lister'] }), []);
  });
});

describe('a generation that names no model', () => {
  const generation = (rules: unknown, roles = ['User']): Limited =>
    requestWith({
      models: ['tiny-gpt2', 'premium-large'],
      authorization: compileRoles(
        rolesSchema.parse({ roles: { User: { permits: ['completions.create'], models: ['*'] } } }),
        ['tiny-gpt2', 'premium-large'],
      ),
      rules: compileRules(rulesSchema.parse({ rules })),
      route: routeWith({ kind: 'generate', action: 'completions.create' }),
      principal: principalWith({ roles }),
    });

  it('takes the first model that no rule denies', () => {
    const request = generation([{ name: 'no-tiny', effect: 'deny', models: ['tiny-*'] }]);
    assert.equal(authorize(request).model, 'premium-large');
  });

  it('takes a model that a permit rule gives', () => {
    const rules = [
      {
        name: 'give',
        effect: 'permit',
        actions: ['completions.create'],
        models: ['premium-*'],
        clients: ['cli'],
      },
    ];
    assert.equal(authorize(generation(rules, [])).model, 'premium-large');
  });

  it('is refused by the rule that denies every model', () => {
    const request = generation([{ name: 'none', effect: 'deny', models: ['*'] }]);
    assert.equal(refusalOf(() => authorize(request)).reason, 'rules.none models_matched');
  });

  it('is refused by a rule without conditions', () => {
    const request = generation([{ name: 'freeze', effect: 'deny' }]);
    assert.equal(refusalOf(() => authorize(request)).reason, 'rules.freeze effect_matched');
  });
});
