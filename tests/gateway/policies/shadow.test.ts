// A candidate beside the live policies of a whole gateway: what it finds, and that nothing of it reaches a request.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { packageRoot } from '../../../core/package.ts';
import type { ShadowReport } from '../../../gateway/policies/shadow.ts';
import { startTestGateway, type TestGateway } from '../../support/start-gateway.ts';

let gateway: TestGateway;
let folder: string;
let administrator: string;
const write = (name: string, text: string): void => writeFileSync(join(folder, 'next', name), text);
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-shadow-'));
  cpSync(join(packageRoot, 'policies'), join(folder, 'next'), { recursive: true });
  write(
    'rules.yaml',
    `rules:\n  - { name: paid-only, effect: deny, models: [tiny-gpt2], when: 'principal.claims.plan != "paid"' }\n`,
  );
  gateway = await startTestGateway({ config: { shadow_policies: join(folder, 'next') } });
  administrator = await gateway.mint({ sub: 'root', roles: ['LLM.Admin'] });
  await until('the candidate is read', ({ digest }) => digest !== null);
});
after(async () => {
  await gateway.close();
  rmSync(folder, { recursive: true, force: true });
});

const shown = (accessToken: string): Promise<Response> =>
  fetch(`${gateway.url}/admin/policies/shadow`, { headers: { authorization: `Bearer ${accessToken}` } });
const report = async (): Promise<ShadowReport> =>
  (await shown(administrator)).json() as Promise<ShadowReport>;

async function until(what: string, holds: (report: ShadowReport) => boolean): Promise<ShadowReport> {
  for (let round = 0; round < 1_000; round++) {
    const found = await report();
    if (holds(found)) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`it never came to hold: ${what}`);
}

async function chat(accessToken: string): Promise<{ status: number; id: string }> {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'tiny-gpt2', messages: [{ role: 'user', content: 'hello' }] }),
  });
  await response.text();
  return { status: response.status, id: response.headers.get('x-request-id') ?? '' };
}

describe('a candidate in the shadow', () => {
  it('is never enforced; what it would refuse is counted and listed with an example', async () => {
    const free = await gateway.mint({ sub: 'frank', plan: 'free' });
    const first = await chat(free);
    const second = await chat(free);
    assert.deepEqual([first.status, second.status], [200, 200]);
    const { differences, live, digest } = (await until(
      'both are compared',
      ({ differences: found }) => found[0]?.count === 2,
    )) as ShadowReport & { live: string };
    assert.notEqual(live, digest);
    const [found] = differences;
    assert.match(found?.principal ?? '', / frank$/);
    assert.deepEqual(found?.live, { decision: 'permit', code: 'permit', by: 'roles.LLM.User' });
    assert.deepEqual(
      [found.candidate.decision, found.candidate.code, found.candidate.by],
      ['deny', 'access_denied', 'rules.paid-only'],
    );
    assert.equal(found.request_id, second.id);
    const metrics = await (await fetch(`${gateway.internalUrl}/metrics`)).text();
    assert.match(
      metrics,
      /sallyport_shadow_decisions_total\{live="permit",candidate="deny",rule="rules\.paid-only"\} 2/,
    );
  });

  it('says nothing where it decides alike', async () => {
    const before = await report();
    await chat(await gateway.mint({ sub: 'petra', plan: 'paid' }));
    const later = await until('it is compared', ({ compared }) => compared > before.compared + 1);
    assert.ok(later.differences.every(({ principal }) => !principal.endsWith(' petra')));
  });

  it('lists an evaluation of its own that fails as a refusal, and enforces nothing of it', async () => {
    assert.equal((await chat(await gateway.mint({ sub: 'nobody-knows-the-plan' }))).status, 200);
    const { differences } = await until('it is listed', ({ differences: found }) =>
      found.some(({ principal }) => principal.endsWith('plan')),
    );
    assert.equal(differences[0]?.candidate.reason, 'rules.paid-only when_failed');
  });

  it('is shown to administrators alone', async () => {
    for (const roles of [['LLM.User'], []]) {
      const response = await shown(await gateway.mint({ roles }));
      assert.equal(response.status, 403);
      assert.equal(((await response.json()) as { code: string }).code, 'admin_access_required');
    }
    assert.equal((await fetch(`${gateway.url}/admin/policies/shadow`)).status, 401);
  });

  it('begins anew with another bundle, keeps the last good one after a bad edit, and says so', async () => {
    const good = readFileSync(join(folder, 'next', 'rules.yaml'), 'utf8');
    const { digest } = await report();
    write('rules.yaml', good.replace('effect: deny', 'effect: dny'));
    const bad = await until('the fault is told', ({ problem }) => problem !== null);
    assert.match(bad.problem ?? '', /rules\.yaml:2/);
    assert.equal(bad.digest, digest);
    assert.equal((await chat(await gateway.mint({ plan: 'free' }))).status, 200);
    const ready = (await (await fetch(`${gateway.internalUrl}/readyz`)).json()) as { status: string };
    assert.equal(ready.status, 'ready');
    write('rules.yaml', 'rules: []\n');
    const fresh = await until(
      'the new one is read',
      (found) => found.digest !== digest && found.problem === null,
    );
    assert.deepEqual(fresh.differences, []);
  });

  it('lists at most 200 kinds of difference, the newest first', async () => {
    write('rules.yaml', 'rules:\n  - { name: closed, effect: deny, actions: [chat.*] }\n');
    const { since } = await report();
    await until('the new one is read', (found) => found.since !== since && found.digest !== null);
    for (let from = 0; from < 220; from += 20)
      await Promise.all(
        Array.from({ length: 20 }, async (_, index) =>
          chat(await gateway.mint({ sub: `person-${from + index}` })),
        ),
      );
    const { differences, different } = await until('all are compared', (found) => found.different >= 220);
    assert.equal(different, 220);
    assert.equal(differences.length, 200);
    assert.match(differences[0]?.principal ?? '', /person-2\d\d$/);
  });
});

describe('a gateway without a candidate, or with one that is not there', () => {
  it('starts, serves and says why nothing is compared', async () => {
    mkdirSync(join(folder, 'empty'));
    for (const [config, problem] of [
      [{}, /names no candidate/],
      [{ shadow_policies: join(folder, 'empty') }, /does not exist|being read/],
    ] as const) {
      const other = await startTestGateway({ config });
      const accessToken = await other.mint({ roles: ['LLM.Admin'] });
      const response = await fetch(`${other.url}/admin/policies/shadow`, {
        headers: { authorization: `Bearer ${accessToken}` },
      });
      const found = (await response.json()) as ShadowReport;
      assert.equal(response.status, 200);
      assert.match(found.problem ?? '', problem);
      assert.equal(found.digest, null);
      await other.close();
    }
  });
});
