// A credential that says it has more groups than it lists: its groups are unknown. Nothing is permitted because of them,
// and whatever would deny because of them denies.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  compileRoles,
  compileRules,
  decide,
  evaluationRequest,
  rolesSchema,
  rulesSchema,
  type Decision,
} from '../../../gateway/authorize/index.ts';
import type { Principal } from '../../../gateway/principal.ts';
import { principalWith, requestWith, routeWith } from '../parsed-request.ts';

const models = ['tiny-gpt2'];
const roles = {
  roles: {
    'LLM.User': { permits: ['chat.completions.create'], models: ['*'] },
    'LLM.Admin': { permits: ['admin.*'], models: ['*'] },
    'LLM.Auditor': { permits: ['audit.*'] },
    Contractor: { inherits: ['Guest'] },
    Guest: {},
  },
  assignments: [
    { role: 'LLM.User', groups: ['readers'] },
    { role: 'Contractor', groups: ['contractors'], issuers: ['contoso'] },
  ],
};

interface Who extends Partial<Principal> {
  readonly held?: readonly string[];
  readonly listed?: readonly string[];
}

function decided(who: Who, rules: unknown[] = [], policy: Record<string, unknown> = roles): Decision {
  const { held = [], listed = [], ...members } = who;
  const principal: Principal = {
    ...principalWith({ roles: held, groups: listed, issuerName: 'contoso', clientId: 'batch' }),
    ...members,
  };
  const request = requestWith({
    route: routeWith({}),
    principal,
    model: 'tiny-gpt2',
    models,
    authorization: compileRoles(rolesSchema.parse(policy), models),
    rules: compileRules(rulesSchema.parse({ rules })),
  });
  const question = evaluationRequest(request, 'tiny-gpt2');
  const traced = decide(question, request.snapshot, { trace: true });
  const decision = decide(question, request.snapshot);
  assert.deepEqual([traced.decision, traced.decidedBy], [decision.decision, decision.decidedBy]);
  return decision;
}
const unknown = { groupsUnknown: true, claims: { hasgroups: true } };
const member = { held: ['LLM.User'], ...unknown };

describe('with unknown groups', () => {
  it('an assignment by group gives nothing', () => {
    assert.equal(decided(unknown).code, 'no_known_role');
    assert.equal(decided({ listed: ['readers'] }).decidedBy, 'roles.LLM.User');
  });

  it('a claimed role goes on permitting', () => {
    assert.equal(decided(member).decidedBy, 'roles.LLM.User');
  });

  const denies: [title: string, rule: Record<string, unknown>, code: string][] = [
    ['an expression over principal.groups', { when: '"blocked" in principal.groups' }, 'when_failed'],
    ['a negated one', { when: '!("cleared" in principal.groups)' }, 'when_failed'],
    [
      'one that asks with has() first',
      { when: 'has(principal.groups) && "blocked" in principal.groups' },
      'when_failed',
    ],
    ['one that walks the groups', { when: 'principal.groups.exists(g, g == "blocked")' }, 'when_failed'],
    ['one that counts them', { when: 'size(principal.groups) > 3' }, 'when_failed'],
    [
      'one over the claim itself',
      { when: 'has(principal.claims.groups) && "blocked" in principal.claims.groups' },
      'when_failed',
    ],
    [
      'one over the claim by name',
      { when: '"groups" in principal.claims && "blocked" in principal.claims["groups"]' },
      'when_failed',
    ],
    ['a role that a group may give', { roles: ['Contractor'] }, 'roles_failed'],
    ['a role that such a role includes', { roles: ['Guest'] }, 'roles_failed'],
    [
      'an expression over roles that a group may give',
      { when: '"Contractor" in principal.roles' },
      'when_failed',
    ],
  ];
  for (const [title, condition, code] of denies) {
    it(`a deny rule denies by ${title}, since nobody can say that it does not match`, () => {
      const decision = decided(member, [{ name: 'no', effect: 'deny', ...condition }]);
      assert.deepEqual([decision.decision, decision.decidedBy, decision.code], ['deny', 'rules.no', code]);
    });
    it(`a permit rule permits nothing by ${title}`, () => {
      const rule = { name: 'yes', effect: 'permit', actions: ['chat.completions.create'], ...condition };
      assert.equal(decided(unknown, [rule]).decision, 'deny');
    });
    it(`a rule that asks for a sign-in refuses by ${title}`, () => {
      const decision = decided(member, [{ name: 'step-up', require: { amr: ['mfa'] }, ...condition }]);
      assert.deepEqual([decision.decision, decision.decidedBy], ['deny', 'rules.step-up']);
    });
  }

  it('a deny rule of which another condition does not match stays out', () => {
    const rule = { name: 'no', effect: 'deny', roles: ['Contractor'] };
    for (const condition of [{ network: ['10.0.0.0/8'] }, { when: 'request.stream' }, { clients: ['x'] }])
      assert.equal(decided(member, [{ ...rule, ...condition }]).decision, 'permit');
  });

  it('a deny rule by a role that no group of this issuer gives stays out', () => {
    const rule = { name: 'no', effect: 'deny', roles: ['Contractor'] };
    assert.equal(decided({ ...member, issuerName: 'embedded' }, [rule]).decision, 'permit');
    assert.equal(decided(member, [{ ...rule, roles: ['LLM.Admin'] }]).decision, 'permit');
  });

  it('a deny rule by a role that is held anyway matches as ever', () => {
    const decision = decided({ ...unknown, held: ['LLM.User', 'Contractor'] }, [
      { name: 'no', effect: 'deny', roles: ['Contractor'] },
    ]);
    assert.equal(decision.code, 'roles_matched');
  });

  it('expressions over other things go on, and may ask whether the groups are known', () => {
    const rule = (when: string): Record<string, unknown>[] => [{ name: 'no', effect: 'deny', when }];
    assert.equal(decided(member, rule('principal.client_id == "other"')).decision, 'permit');
    assert.equal(decided(member, rule('principal.claims.hasgroups == false')).decision, 'permit');
    assert.equal(decided(member, rule('!principal.groups_known')).code, 'when_matched');
    assert.equal(decided({ held: ['LLM.User'] }, rule('!principal.groups_known')).decision, 'permit');
    assert.equal(
      decided(member, rule('principal.groups_known && "blocked" in principal.groups')).decision,
      'permit',
    );
  });

  it('an expression over a claim that lies elsewhere fails', () => {
    const elsewhere = {
      ...member,
      claims: { _claim_names: { memberOf: 'src1' }, memberOf: ['part'], _claim_sources: 7 },
    };
    const rule = {
      name: 'no',
      effect: 'deny',
      when: 'has(principal.claims.memberOf) && "blocked" in principal.claims.memberOf',
    };
    assert.equal(decided(elsewhere, [rule]).code, 'when_failed');
    assert.equal(decided({ ...member, claims: { _claim_names: 'odd' } }, [rule]).decision, 'permit');
  });

  it('more groups than an expression may walk fail it when it reads them, and no other', () => {
    const many = Array.from({ length: 1_025 }, (_, index) => `g${index}`);
    const who = { held: ['LLM.User'], listed: many, claims: { groups: many, plan: 'paid' } };
    const rule = (when: string): Record<string, unknown>[] => [{ name: 'no', effect: 'deny', when }];
    assert.equal(decided(who, rule('principal.claims.plan != "paid"')).decision, 'permit');
    assert.equal(decided(who, rule('"x" in principal.groups')).code, 'when_failed');
    assert.equal(decided(who, rule('"x" in principal.claims.groups')).code, 'when_failed');
    assert.equal(decided({ ...who, held: [], listed: ['readers', ...many] }).decidedBy, 'roles.LLM.User');
  });

  it('duties that a group may join are not combined', () => {
    const policy = {
      ...roles,
      assignments: [{ role: 'LLM.Auditor', groups: ['auditors'] }],
      separation_of_duties: [['LLM.Admin', 'LLM.Auditor']],
    };
    assert.equal(
      decided({ ...unknown, held: ['LLM.Admin', 'LLM.User'] }, [], policy).code,
      'separation_of_duties',
    );
    assert.equal(decided({ held: ['LLM.Admin', 'LLM.User'] }, [], policy).decision, 'permit');
    assert.equal(decided(member, [], policy).decision, 'permit');
  });

  it('two principals with the same roles, of whom one has unknown groups, do not share a decision', () => {
    const authorization = compileRoles(rolesSchema.parse(roles), models);
    const rules = compileRules(
      rulesSchema.parse({ rules: [{ name: 'no', effect: 'deny', roles: ['Contractor'] }] }),
    );
    const ask = (principal: Principal): string => {
      const request = requestWith({
        route: routeWith({}),
        principal,
        model: 'tiny-gpt2',
        models,
        authorization,
        rules,
      });
      return decide(evaluationRequest(request, 'tiny-gpt2'), request.snapshot).decision;
    };
    const known = principalWith({ roles: ['LLM.User'], issuerName: 'contoso' });
    const notKnown = { ...known, groupsUnknown: true };
    assert.deepEqual(
      [ask(known), ask(notKnown), ask(known), ask(notKnown)],
      ['permit', 'deny', 'permit', 'deny'],
    );
    assert.deepEqual([ask({ ...notKnown }), ask({ ...known })], ['deny', 'permit']);
  });
});

describe('a client alone', () => {
  const batch = (extra: Record<string, unknown> = {}): Record<string, unknown> => ({
    ...roles,
    assignments: [{ role: 'LLM.User', client_ids: ['batch'], ...extra }],
  });
  const permit = (extra: Record<string, unknown> = {}): Record<string, unknown>[] => [
    { name: 'yes', effect: 'permit', actions: ['chat.completions.create'], clients: ['batch'], ...extra },
  ];

  const rows: [type: Principal['identityType'], extra: Record<string, unknown>, permitted: boolean][] = [
    ['app', {}, true],
    ['user', {}, false],
    ['unproven', {}, false],
    [undefined, {}, true],
    ['user', { identity_type: 'any' }, true],
    ['unproven', { identity_type: 'any' }, true],
    ['user', { identity_type: 'user' }, true],
    ['app', { identity_type: 'user' }, false],
    ['unproven', { identity_type: 'user' }, false],
    ['app', { identity_type: 'app' }, true],
    [undefined, { identity_type: 'app' }, false],
  ];
  for (const [identityType, extra, permitted] of rows) {
    it(`${permitted ? 'is' : 'is not'} enough for identity type ${String(identityType)} with ${JSON.stringify(extra)}`, () => {
      const expected = permitted ? 'permit' : 'deny';
      assert.equal(decided({ identityType }, [], batch(extra)).decision, expected, 'assignment');
      assert.equal(decided({ identityType }, permit(extra)).decision, expected, 'rule');
    });
  }

  it('with a group, a subject, a role or a scope is not alone', () => {
    const person = { identityType: 'user', listed: ['readers'], scopes: new Set(['s']) } as const;
    assert.equal(decided(person, [], batch({ groups: ['readers'] })).decision, 'permit');
    assert.equal(
      decided({ ...person, subject: 'alice' }, [], batch({ subjects: ['alice'] })).decision,
      'permit',
    );
    assert.equal(
      decided({ identityType: 'user' }, permit({ when: 'principal.subject == "alice"' })).decision,
      'permit',
    );
    assert.equal(decided({ ...person, listed: [] }, permit({ scopes: ['s'] })).decision, 'permit');
  });

  it('denies whoever comes through it', () => {
    const rule = { name: 'no', effect: 'deny', clients: ['batch'] };
    for (const identityType of ['user', 'app', 'unproven', undefined] as const)
      assert.equal(decided({ held: ['LLM.User'], identityType }, [rule]).decision, 'deny');
  });

  it('a deny rule for applications denies what may be one', () => {
    const rule = { name: 'no', effect: 'deny', identity_type: 'app' };
    const outcome = (identityType: Principal['identityType']): string =>
      decided({ held: ['LLM.User'], identityType }, [rule]).code;
    assert.equal(outcome('app'), 'identity_type_matched');
    assert.equal(outcome('unproven'), 'identity_type_failed');
    assert.equal(outcome('user'), 'role_permits');
  });

  it('shows an expression who is behind the credential', () => {
    const rule = { name: 'no', effect: 'deny', when: 'principal.identity_type != "app"' };
    assert.equal(decided({ held: ['LLM.User'], identityType: 'user' }, [rule]).decision, 'deny');
    assert.equal(decided({ held: ['LLM.User'], identityType: 'app' }, [rule]).decision, 'permit');
  });
});
