// The shorthands of policy tests for Entra: several tenants, app-only, client strength, overage, paired audiences.
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { loadBundle } from '../../../gateway/policies/bundle.ts';
import { createEvaluator } from '../../../gateway/policies/evaluation/evaluate.ts';
import { answerTo, reasonCodes } from '../../../gateway/policies/evaluation/run-tests.ts';
import { policyTestsSchema } from '../../../gateway/policies/evaluation/test-schema.ts';
import { context, writePolicies } from './policy-directory.ts';

const [ours, partner, stranger] = [
  '3f6c0000-0000-4000-8000-00000000000a',
  '4e5d0000-0000-4000-8000-00000000000b',
  '5d4e0000-0000-4000-8000-00000000000c',
];

const written = writePolicies({
  'issuers.yaml': `issuers:
  contoso:
    entra: { tenants: [${ours}, ${partner}], versions: ['2.0', '1.0'], client_authentication: secret }
    audiences: [9b1e0000-0000-4000-8000-00000000000c, api://sallyport]
    client_ids: [web, batch]
    client_audiences: { batch: [api://sallyport] }
  daemons:
    entra: { tenant_id: 6c3d0000-0000-4000-8000-00000000000d, identity_type: app, cloud: china, client_authentication: certificate }
    audiences: [9b1e0000-0000-4000-8000-00000000000c]
    client_ids: [nightly]
`,
  'roles.yaml': `roles:
  LLM.User: { permits: [models.list, chat.completions.create], models: [tiny-gpt2] }
  LLM.Admin: { inherits: [LLM.User], permits: [admin.*], models: ['*'] }
assignments:
  - { role: LLM.User, client_ids: [batch, nightly] }
  - { role: LLM.User, groups: [readers] }
`,
  'rules.yaml': `rules:
  - { name: not-the-blocked, effect: deny, when: '"blocked" in principal.groups' }
`,
});
after(written.remove);
const bundle = loadBundle(written.directory, context);
const evaluator = createEvaluator({ bundle, context });
const surroundings = { issuers: bundle.issuers, embeddedIssuer: null };

const user = { roles: ['LLM.User'] };
const rows: [title: string, as: Record<string, unknown>, outcome: string, reason?: string][] = [
  ['a person of the first tenant', { 'entra-v2': user }, 'permit'],
  ['a person of the second tenant', { 'entra-v2': { ...user, tenant: partner } }, 'permit'],
  ['a person of the second tenant in v1.0', { 'entra-v1': { ...user, tenant: partner } }, 'permit'],
  ['a person of another tenant', { 'entra-v2': { ...user, tenant: stranger } }, 'invalid_token', 'iss'],
  [
    'a person of another tenant in v1.0',
    { 'entra-v1': { ...user, tenant: stranger } },
    'invalid_token',
    'iss',
  ],
  ['a tid of the other tenant', { 'entra-v2': { ...user, with: { tid: partner } } }, 'invalid_token', 'tid'],
  [
    'a public client',
    { 'entra-v2': { ...user, with: { azpacr: '0' } } },
    'invalid_token',
    'client_authentication',
  ],
  ['an application on its own behalf', { 'app-only': { client_id: 'batch' } }, 'permit', 'role_permits'],
  ['the same without idtyp', { 'app-only': { client_id: 'batch', with: { idtyp: null } } }, 'permit'],
  ['a person who comes through it', { 'entra-v2': { client_id: 'batch' } }, 'access_denied', 'no_known_role'],
  [
    'an audience of others',
    { 'app-only': { client_id: 'batch', with: { aud: '9b1e0000-0000-4000-8000-00000000000c' } } },
    'invalid_token',
    'client_audience',
  ],
  ['somebody of the group', { 'entra-v2': { groups: ['readers'] } }, 'permit'],
  ['somebody of too many groups', { 'entra-v2': { overage: true } }, 'access_denied', 'no_known_role'],
  [
    'somebody of too many groups with a role',
    { 'entra-v2': { ...user, overage: true } },
    'access_denied',
    'when_failed',
  ],
  ['a daemon', { 'app-only': { issuer: 'daemons' } }, 'permit'],
  [
    'a daemon with a mere secret',
    { 'app-only': { issuer: 'daemons', with: { azpacr: '1' } } },
    'invalid_token',
    'client_authentication',
  ],
  [
    'a person where daemons are asked for',
    { 'entra-v2': { issuer: 'daemons', ...user } },
    'invalid_token',
    'identity_type',
  ],
];

describe('a policy test', () => {
  for (const [title, as, outcome, reason] of rows) {
    it(`of ${title} answers ${outcome}`, () => {
      const [test] = policyTestsSchema.parse([
        { name: title, as, do: 'chat.completions.create', model: 'tiny-gpt2', expect: 'permit' },
      ]);
      assert.ok(test);
      const answer = answerTo(test, evaluator, surroundings);
      assert.equal(answer.refusal?.code ?? 'permit', outcome, answer.refusal?.reason);
      if (reason !== undefined)
        assert.ok(reasonCodes(answer).includes(reason), reasonCodes(answer).join(' '));
    });
  }
});
