// RFC 9470: a resource server that asks for a stronger or a more recent sign-in.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startTestGateway, type TestGateway } from '../support/start-gateway.ts';

const rules = `rules:
  - { name: fresh, actions: [chat.completions.create], require: { acr: [gold, silver], max_age: 15m } }
  - { name: two-factors, actions: [embeddings.create], require: { amr: [mfa] } }
`;

describe('step-up authentication (RFC 9470)', () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startTestGateway({
      edit: {
        'rules.yaml': [['rules: []\n', rules]],
        'limits.yaml': [
          ['failed_authentications: { requests: 1000,', 'failed_authentications: { requests: 3,'],
        ],
      },
    });
  });
  after(() => gateway.close());

  const ask = async (path: string, claims: Readonly<Record<string, unknown>>): Promise<Response> =>
    fetch(`${gateway.url}${path}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await gateway.mint(claims)}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ model: 'tiny-gpt2', messages: [{ role: 'user', content: 'hi' }], input: 'hi' }),
    });
  const chat = '/v1/chat/completions';
  const now = (): number => Math.floor(Date.now() / 1_000);

  it('challenges with insufficient_user_authentication, acr_values and max_age (§3)', async () => {
    const answer = await ask(chat, {});
    assert.equal(answer.status, 401);
    assert.equal(
      answer.headers.get('www-authenticate'),
      `Bearer realm="sallyport", error="insufficient_user_authentication", error_description="This needs a stronger or more recent sign-in. Sign in again.", acr_values="gold silver", max_age="900", resource_metadata="${gateway.url}/.well-known/oauth-protected-resource"`,
    );
    const { error } = (await answer.json()) as { error: { code: string } };
    assert.equal(error.code, 'insufficient_user_authentication');
  });

  const refused: [what: string, claims: () => Record<string, unknown>][] = [
    ['no acr at all', () => ({ auth_time: now() })],
    ['another acr', () => ({ acr: 'bronze', auth_time: now() })],
    ['an acr in another letter case', () => ({ acr: 'GOLD', auth_time: now() })],
    ['a list where acr is one word', () => ({ acr: ['gold'], auth_time: now() })],
    ['no auth_time', () => ({ acr: 'gold' })],
    ['a sign-in that is too old', () => ({ acr: 'gold', auth_time: now() - 901 })],
    ['an auth_time that is text', () => ({ acr: 'gold', auth_time: String(now()) })],
  ];
  for (const [what, claims] of refused)
    it(`refuses ${what} (§4)`, async () => {
      const answer = await ask(chat, claims());
      assert.equal(answer.status, 401);
      assert.match(answer.headers.get('www-authenticate') ?? '', /insufficient_user_authentication/);
      await answer.body?.cancel();
    });

  it('names neither acr_values nor max_age when the rule asks for neither', async () => {
    const answer = await ask('/v1/embeddings', { amr: ['pwd'] });
    assert.equal(answer.status, 401);
    assert.doesNotMatch(answer.headers.get('www-authenticate') ?? '', /acr_values|max_age/);
    await answer.body?.cancel();
  });

  it('lets through who has signed in so, and counts no failed authentication for the refusals before', async () => {
    const answer = await ask(chat, { acr: 'silver', auth_time: now() - 60 });
    assert.equal(answer.status, 200);
    await answer.body?.cancel();
  });

  it('does not ask for a sign-in that would not help', async () => {
    const answer = await ask(chat, { roles: [] });
    assert.equal(answer.status, 403);
    await answer.body?.cancel();
  });
});
