// The answer about a principal is the one that its own request gets: the same claims, once in an access token and once
// stated by another service, over a bundle with roles, assignments, rules and step-up.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startAccessGateway, type AccessGateway } from '../../conformance/authzen-gateway.ts';

const roles = `roles:
  LLM.User: { permits: [models.list, chat.completions.create, completions.create, embeddings.create], models: [tiny-gpt2] }
  LLM.Lister: { permits: [models.list], models: ['*'] }
  LLM.Admin: { inherits: [LLM.User], permits: [admin.*], models: ['*'] }
  LLM.Auditor: { permits: [models.list] }
  Access.Evaluator: { permits: [access.evaluate] }
assignments:
  - { role: LLM.User, groups: [readers] }
  - { role: LLM.User, subjects: [s0] }
  - { role: LLM.Lister, client_ids: [5a11b0a7-0000-4000-8000-000000000003] }
separation_of_duties: [[LLM.Admin, LLM.Auditor]]
`;
const rules = `rules:
  - { name: short-only, effect: deny, actions: [completions.create], when: request.max_tokens > 50 }
  - { name: no-trial, effect: deny, models: ['*'], when: 'has(principal.claims.plan) && principal.claims.plan == "trial"' }
  - { name: guests-embed, effect: permit, actions: [embeddings.create], models: [tiny-gpt2], scopes: [Embed] }
  - { name: strong, actions: [admin.*], require: { acr: [mfa] } }
`;

let gateway: AccessGateway;
before(async () => {
  gateway = await startAccessGateway(null, { 'roles.yaml': roles, 'rules.yaml': rules });
});
after(() => gateway.close());

/** A fixed sequence, so that a failure can be repeated. */
function random(seed: number): <T>(choices: readonly T[]) => T {
  let state = seed;
  return (choices) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const chosen = choices[(state >>> 8) % choices.length];
    if (chosen === undefined) throw new Error('no choices');
    return chosen;
  };
}

const requests = [
  {
    action: 'chat.completions.create',
    path: '/v1/chat/completions',
    body: { messages: [{ role: 'user', content: 'x' }] },
  },
  { action: 'completions.create', path: '/v1/completions', body: { prompt: 'x', max_tokens: 10 } },
  { action: 'completions.create', path: '/v1/completions', body: { prompt: 'x', max_tokens: 51 } },
  { action: 'embeddings.create', path: '/v1/embeddings', body: { input: 'x' } },
  { action: 'models.list', path: '/v1/models', body: null },
  { action: 'admin.users.list', path: '/admin/users', body: null },
] as const;

describe('an evaluation of a principal', () => {
  it('is what its own request is answered, for 250 of them', async () => {
    const pick = random(7);
    const seen = { permitted: 0, denied: 0 };
    for (let turn = 0; turn < 250; turn++) {
      const id = pick(['s0', 's1', 's2']);
      const claims = {
        roles: pick([
          [],
          ['LLM.User'],
          ['LLM.User'],
          ['LLM.Admin'],
          ['LLM.Admin'],
          ['LLM.Auditor'],
          ['LLM.Admin', 'LLM.Auditor'],
          ['Unknown'],
        ]),
        scp: pick(['LLM.Access', 'LLM.Access', 'LLM.Access', 'LLM.Access Embed', 'openid']),
        client_id: pick(
          ['1', '1', '1', '1', '3', '9'].map((last) => `5a11b0a7-0000-4000-8000-00000000000${last}`),
        ),
        ...pick([{}, {}, { groups: ['readers'] }, { groups: ['others'] }]),
        ...pick([{}, {}, {}, { plan: 'trial' }, { plan: 'paid' }]),
        ...pick([{}, { acr: 'mfa' }, { acr: 'pwd' }]),
      };
      const asked = pick(requests);
      const model = asked.body === null ? null : pick(['tiny-gpt2', 'tiny-gpt2', 'gpt2']);
      const accessToken = await gateway.mint({ ...claims, azp: claims.client_id, sub: id });
      const live = await fetch(`${gateway.url}${asked.path}`, {
        method: asked.body === null ? 'GET' : 'POST',
        headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
        ...(asked.body === null ? {} : { body: JSON.stringify({ model, ...asked.body }) }),
      });
      await live.arrayBuffer();
      const isPermitted = ![401, 403, 404].includes(live.status);
      const { status, json } = await gateway.ask('evaluation', {
        subject: { type: 'principal', id, properties: { iss: gateway.issuer.issuer, ...claims } },
        action: { name: asked.action, properties: asked.body ?? {} },
        resource: model === null ? { type: 'gateway', id: 'sallyport' } : { type: 'model', id: model },
        context: { ip_address: '127.0.0.1' },
      });
      const what = JSON.stringify({ turn, id, claims, action: asked.action, model, live: live.status, json });
      assert.equal(status, 200, what);
      assert.equal(json.decision, isPermitted, what);
      const asksForMore = live.headers.get('www-authenticate')?.includes('insufficient_user_authentication');
      assert.equal(json.context?.reason === 'insufficient_user_authentication', asksForMore === true, what);
      seen[isPermitted ? 'permitted' : 'denied']++;
    }
    assert.ok(seen.permitted > 40 && seen.denied > 40, JSON.stringify(seen));
  });
});
