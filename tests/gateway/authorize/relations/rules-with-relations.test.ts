import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  compileRelations,
  compileRoles,
  compileRules,
  decide,
  evaluationRequest,
  relationsSchema,
  rolesSchema,
  rulesSchema,
  type Decision,
  type LearnedTuples,
} from '../../../../gateway/authorize/index.ts';
import { visibleModels } from '../../../../gateway/authorize/visible-models.ts';
import { anonymousPrincipal, type Principal } from '../../../../gateway/principal.ts';
import { principalWith, requestWith, routeWith } from '../../parsed-request.ts';

const models = new Map([
  ['tiny-gpt2', 'embedded'],
  ['premium', 'embedded'],
]);
const authorization = compileRoles(
  rolesSchema.parse({
    roles: {
      User: { permits: ['models.list', 'chat.completions.create'], models: ['*'] },
      Guest: { permits: ['models.list'] },
    },
  }),
  [...models.keys()],
);
const types = {
  user: {},
  group: { member: ['user'] },
  role: { member: ['user'] },
  team: { member: ['user', 'team#member'] },
  model: { viewer: ['user', 'team#member', 'group#member', 'role#member'], banned: ['user'] },
};
const deny = (when: string): unknown => ({ name: 'asks', effect: 'deny', models: ['*'], when });
const permit = (when: string): unknown => ({
  name: 'asks',
  effect: 'permit',
  actions: ['chat.completions.create'],
  when,
});

interface Setting {
  readonly rule: unknown;
  readonly tuples?: readonly string[];
  readonly principals?: unknown;
  readonly issuers?: readonly string[];
  readonly learned?: LearnedTuples;
}
const partsOf = ({ rule, tuples = [], principals, issuers = ['embedded'], learned }: Setting) => ({
  authorization,
  models,
  rules: compileRules(rulesSchema.parse({ rules: [rule] })),
  relations: compileRelations(
    relationsSchema.parse({ types, tuples, ...(principals === undefined ? {} : { principals }) }),
    { issuers, ...(learned === undefined ? {} : { engine: { kind: 'embedded', learned } }) },
  ),
});

function asked(setting: Setting, principal: Principal, model = 'tiny-gpt2'): Decision {
  const exchange = requestWith({ route: routeWith({}), principal, model });
  return decide(evaluationRequest(exchange, model), partsOf(setting));
}
const alice = principalWith({ roles: ['User'], subject: 'alice' });
const guest = principalWith({ roles: ['Guest'], subject: 'alice' });
const viewers = deny('!related("viewer", "model:" + request.model)');

describe('a rule that asks for a relation', () => {
  it('decides by the tuples of relations.yaml', () => {
    const tuples = ['model:tiny-gpt2#viewer@team:t#member', 'team:t#member@user:alice'];
    assert.equal(asked({ rule: viewers, tuples }, alice).decision, 'permit');
    assert.equal(asked({ rule: viewers, tuples }, alice, 'premium').decidedBy, 'rules.asks');
    const bob = principalWith({ roles: ['User'], subject: 'bob' });
    assert.deepEqual(
      asked({ rule: viewers, tuples }, bob).reasons.map(({ code }) => code),
      ['models_matched', 'when_matched'],
    );
  });

  it('permits by a permit rule what no role does', () => {
    const rule = permit('related("viewer", "model:" + request.model)');
    const tuples = ['model:tiny-gpt2#viewer@user:alice'];
    assert.equal(asked({ rule, tuples }, guest).decision, 'permit');
    assert.equal(asked({ rule, tuples }, guest, 'premium').decision, 'deny');
    assert.equal(asked({ rule }, guest).decision, 'deny');
  });

  it('counts groups and roles of the principal as memberships', () => {
    const byGroup = { rule: viewers, tuples: ['model:tiny-gpt2#viewer@group:g1#member'] };
    const byRole = { rule: viewers, tuples: ['model:tiny-gpt2#viewer@role:User#member'] };
    assert.equal(asked(byGroup, principalWith({ roles: ['User'], groups: ['g1'] })).decision, 'permit');
    assert.equal(asked(byGroup, principalWith({ roles: ['User'], groups: ['g2'] })).decision, 'deny');
    assert.equal(asked(byRole, alice).decision, 'permit');
  });

  it('asks for another subject, without the memberships of the principal', () => {
    const rule = deny('!related("viewer", "model:tiny-gpt2", "user:" + principal.claims.manager)');
    const tuples = ['model:tiny-gpt2#viewer@user:carol', 'model:tiny-gpt2#viewer@group:g1#member'];
    const of = (manager: unknown): Principal =>
      principalWith({ roles: ['User'], groups: ['g1'], claims: { manager } });
    assert.equal(asked({ rule, tuples }, of('carol')).decision, 'permit');
    assert.equal(asked({ rule, tuples }, of('dave')).decision, 'deny');
    // A claim cannot make itself a userset or everybody.
    for (const claim of ['', '*', 'x#member', 7, undefined])
      assert.equal(asked({ rule, tuples: [...tuples] }, of(claim)).decision, 'deny', String(claim));
  });

  it('takes models off the list', () => {
    const parts = partsOf({ rule: viewers, tuples: ['model:tiny-gpt2#viewer@user:alice'] });
    const exchange = requestWith({
      route: routeWith({ kind: 'models', action: 'models.list' }),
      principal: alice,
    });
    assert.deepEqual(visibleModels(evaluationRequest(exchange, null), parts), ['tiny-gpt2']);
  });
});

describe('a relation that cannot be said', () => {
  const banned = deny('related("banned", "model:" + request.model)');
  const unsaid: [string, Setting, Principal][] = [
    ['for somebody whose groups are unknown', { rule: banned }, { ...alice, groupsUnknown: true }],
    [
      'for an issuer whose people have no name',
      { rule: banned, principals: { contoso: { subject: 'user' } } },
      alice,
    ],
    ['with two issuers and no names', { rule: banned, issuers: ['embedded', 'contoso'] }, alice],
    ['for anybody', { rule: banned }, { ...anonymousPrincipal('192.0.2.1'), roles: new Set(['User']) }],
    [
      'for a subject that is too long',
      { rule: banned },
      principalWith({ roles: ['User'], subject: 'x'.repeat(600) }),
    ],
    [
      'while the tuples of elsewhere are not known',
      { rule: banned, learned: { wanted: () => undefined, current: () => null } },
      alice,
    ],
  ];
  for (const [title, setting, principal] of unsaid) {
    it(`denies by a deny rule, ${title}`, () => {
      const decision = asked(setting, principal);
      assert.equal(decision.decidedBy, 'rules.asks');
      assert.equal(decision.code, 'when_failed');
    });

    it(`permits nothing by a permit rule, ${title}`, () => {
      const rule = permit('!related("banned", "model:" + request.model)');
      const decision = asked({ ...setting, rule }, { ...principal, roles: new Set(['Guest']) });
      assert.equal(decision.decision, 'deny');
    });
  }

  it('is so without any relations at all', () => {
    const exchange = requestWith({ route: routeWith({}), principal: alice, model: 'tiny-gpt2' });
    const { rules } = partsOf({ rule: banned });
    const decision = decide(evaluationRequest(exchange, 'tiny-gpt2'), { authorization, models, rules });
    assert.equal(decision.code, 'when_failed');
  });
});

describe('tuples from elsewhere', () => {
  it('count beside those of relations.yaml, and are read anew when they change', () => {
    let tuples: readonly string[] | null = [
      'team:t#member@user:alice',
      'nonsense',
      'model:x#owner@user:alice',
    ];
    const setting: Setting = {
      rule: viewers,
      tuples: ['model:tiny-gpt2#viewer@team:t#member'],
      learned: { wanted: () => undefined, current: () => tuples },
    };
    const parts = partsOf(setting);
    const exchange = requestWith({ route: routeWith({}), principal: alice, model: 'tiny-gpt2' });
    const now = (): string => decide(evaluationRequest(exchange, 'tiny-gpt2'), parts).decision;
    assert.equal(now(), 'permit');
    tuples = [];
    assert.equal(now(), 'deny');
    tuples = ['team:t#member@user:alice'];
    assert.equal(now(), 'permit');
    tuples = null;
    assert.equal(now(), 'deny');
  });
});

describe('what the people of an issuer are called', () => {
  const tuples = ['model:tiny-gpt2#viewer@user:alice'];
  const principals = { embedded: { subject: 'user' }, contoso: { subject: 'team' } };

  it('tells people of two issuers apart', () => {
    const setting = { rule: viewers, tuples, principals, issuers: ['embedded', 'contoso'] };
    assert.equal(asked(setting, alice).decision, 'permit');
    assert.equal(asked(setting, { ...alice, issuerName: 'contoso' }).decision, 'deny');
  });

  it('leaves groups and roles out where they are not named', () => {
    const setting = { rule: viewers, tuples: ['model:tiny-gpt2#viewer@role:User#member'], principals };
    assert.equal(asked(setting, alice).decision, 'deny');
  });
});
