// An issuer that is down when the gateway starts, comes up, and goes down again, as callers and operators see it.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startFakeIssuer, type FakeIssuer } from '../support/fake-issuer.ts';
import { createSigningKey } from '../support/mint-access-token.ts';
import { startTestGateway, type TestGateway } from '../support/start-gateway.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-issuer-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const claims = {
  aud: 'api://sallyport',
  client_id: '5a11b0a7-0000-4000-8000-000000000001',
  sub: 'alice',
  scp: 'LLM.Access',
  roles: ['LLM.User'],
};
const ask = (gateway: TestGateway, accessToken: string): Promise<Response> =>
  fetch(`${gateway.url}/v1/models`, { headers: { authorization: `Bearer ${accessToken}` } });

/** The issuer's line of /readyz, and the whole. */
async function readiness(
  gateway: TestGateway,
): Promise<{ status: number; ready: boolean; problem: string | null }> {
  const answer = await fetch(`${gateway.url}/readyz`);
  const { checks } = (await answer.json()) as {
    checks: { kind: string; ready: boolean; problem: string | null }[];
  };
  const issuer = checks.find(({ kind }) => kind === 'issuer');
  return { status: answer.status, ready: issuer?.ready === true, problem: issuer?.problem ?? null };
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (await isTrue()) return;
    await delay(50);
  }
  assert.fail('it did not come true in time');
}

describe('an issuer that is down', () => {
  const key = createSigningKey();
  const start = (issuer: FakeIssuer): Promise<TestGateway> =>
    startTestGateway({
      config: { embedded_issuer: issuer.issuer, data: folder },
      edit: { 'issuers.yaml': [['clock_skew: 30s', 'clock_skew: 30s\n    jwks: { cooldown: 1s }']] },
    });

  it('at the start makes its tokens 503 with Retry-After, and /readyz says why; later they are served', async () => {
    let issuer = await startFakeIssuer({ keys: [key] });
    await issuer.close();
    const gateway = await start(issuer);
    try {
      const refused = await ask(gateway, issuer.mint(claims));
      assert.equal(refused.status, 503);
      assert.ok(Number(refused.headers.get('retry-after')) >= 1);
      assert.equal(((await refused.json()) as { error: { code: string } }).error.code, 'issuer_unavailable');
      const { status, problem } = await readiness(gateway);
      assert.equal(status, 503);
      assert.match(problem ?? '', /nothing listens there/);

      issuer = await startFakeIssuer({ keys: [key], port: issuer.port });
      await until(async () => (await ask(gateway, issuer.mint(claims))).status === 200);
      await until(async () => (await readiness(gateway)).status === 200);
    } finally {
      await gateway.close();
      await issuer.close();
    }
  });

  it('later leaves tokens of known keys good and answers 503 for keys it cannot know of', async () => {
    const issuer = await startFakeIssuer({ keys: [key] });
    const gateway = await start(issuer);
    try {
      const seen = issuer.mint(claims);
      await until(async () => (await ask(gateway, seen)).status === 200);
      await issuer.close();
      assert.equal((await ask(gateway, seen)).status, 200);
      assert.equal((await ask(gateway, issuer.mint({ ...claims, sub: 'bob' }))).status, 200);
      issuer.rotate();
      // Within the cool-down an unknown key is a bad token; after it the issuer would be asked.
      await until(async () => (await ask(gateway, issuer.mint(claims))).status === 503);
      const refused = await ask(gateway, issuer.mint(claims));
      assert.ok(Number(refused.headers.get('retry-after')) >= 1);
      const { ready, problem } = await readiness(gateway);
      assert.equal(ready, true);
      assert.match(problem ?? '', /nothing listens there/);
    } finally {
      await gateway.close();
      await issuer.close().catch(() => undefined);
    }
  });

  it('when a gateway starts that knew its keys before does not matter', async () => {
    const issuer = await startFakeIssuer({ keys: [key] });
    const first = await start(issuer);
    await until(async () => (await ask(first, issuer.mint(claims))).status === 200);
    await first.close();
    assert.ok(readdirSync(join(folder, 'issuer-keys')).every((name) => name.endsWith('.json')));
    await issuer.close();
    const second = await start(issuer);
    try {
      await until(async () => (await ask(second, issuer.mint(claims))).status === 200);
    } finally {
      await second.close();
    }
  });
});
