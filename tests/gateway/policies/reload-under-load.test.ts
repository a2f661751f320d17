// Policies change while requests run through a whole gateway: each request is decided by one bundle, wholly.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startTestGateway, type TestGateway } from '../../support/start-gateway.ts';

let gateway: TestGateway;
let accessToken: string;
before(async () => {
  gateway = await startTestGateway();
  accessToken = await gateway.mint();
});
after(() => gateway.close());

const shipped = (name: string): string => readFileSync(join(gateway.policies, name), 'utf8');

function replace(name: string, text: string): void {
  writeFileSync(join(gateway.policies, `.${name}.new`), text);
  renameSync(join(gateway.policies, `.${name}.new`), join(gateway.policies, name));
}

async function chat(as = accessToken): Promise<{ status: number; code: string }> {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${as}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'tiny-gpt2', messages: [{ role: 'user', content: 'hello' }] }),
  });
  const body = (await response.json()) as { error?: { code?: string } };
  return { status: response.status, code: body.error?.code ?? 'ok' };
}

function auditRecords(): Record<string, unknown>[] {
  return readdirSync(gateway.auditFolder)
    .filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) => readFileSync(join(gateway.auditFolder, name), 'utf8').split('\n'))
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let round = 0; !(await holds()); round++) {
    assert.ok(round < 1_000, 'it never came to hold');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function readiness(): Promise<string> {
  return (await fetch(`${gateway.internalUrl}/readyz`)).text();
}

describe('a gateway whose policies change', () => {
  it('decides every request by one bundle, with 40 reloads under constant load', async () => {
    const good = shipped('roles.yaml');
    // The same rights in other words: every request must pass, whichever bundle judges it.
    const variants = [good, good.replace('models: [tiny-gpt2]', "models: ['tiny-*']")];
    let isRunning = true;
    const seen = new Map<string, number>();
    const load = Array.from({ length: 8 }, async () => {
      while (isRunning) {
        const { status, code } = await chat();
        seen.set(`${status} ${code}`, (seen.get(`${status} ${code}`) ?? 0) + 1);
      }
    });
    for (let round = 0; round < 40; round++) {
      replace('roles.yaml', variants[round % 2] ?? good);
      await gateway.running.reload();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    isRunning = false;
    await Promise.all(load);
    assert.deepEqual([...seen.keys()], ['200 ok']);
    assert.ok((seen.get('200 ok') ?? 0) > 8);
    replace('roles.yaml', good);
    await gateway.running.reload();
  });

  it('decides every request wholly by the old or wholly by the new bundle, with 100 reloads that swap who may', async () => {
    const good = shipped('roles.yaml');
    const only = (role: string): string =>
      `roles:\n  ${role}: { permits: [chat.completions.create], models: [tiny-gpt2] }\nassignments: []\n`;
    const bundles = [only('Left'), only('Right')];
    const people = {
      left: await gateway.mint({ sub: 'left', roles: ['Left'] }),
      right: await gateway.mint({ sub: 'right', roles: ['Right'] }),
    };
    let isRunning = true;
    const load = Array.from({ length: 8 }, async (_, index) => {
      while (isRunning) await chat(index % 2 === 0 ? people.left : people.right);
    });
    for (let round = 0; round < 100; round++) {
      replace('roles.yaml', bundles[round % 2] ?? good);
      await gateway.running.reload();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    isRunning = false;
    await Promise.all(load);
    replace('roles.yaml', good);
    await gateway.running.reload();
    await until(() => Promise.resolve(auditRecords().at(-1)?.['event'] === 'policies_swapped'));
    const verdicts = new Map<unknown, Set<string>>();
    for (const { principal, policy, code } of auditRecords()) {
      const [person] = /(left|right)$/.exec(String(principal)) ?? [];
      if (person === undefined) continue;
      verdicts.set(policy, (verdicts.get(policy) ?? new Set()).add(`${person} ${String(code)}`));
    }
    const seen = [...verdicts.values()].map((each) => [...each].sort().join());
    assert.ok(seen.includes('left access_denied,right ok'), seen.join(' | '));
    assert.ok(seen.includes('left ok,right access_denied'), seen.join(' | '));
    // The shipped roles, with which it began, know neither of the two. A bundle never says both of one person.
    for (const each of seen)
      assert.doesNotMatch(each, /left ok.*right ok|(left|right) \w+,\1/, seen.join(' | '));
  });

  it('takes a right away from the next request on, and gives it back', async () => {
    const good = shipped('roles.yaml');
    assert.equal((await chat()).code, 'ok');
    replace('roles.yaml', good.replace('chat.completions.create, ', ''));
    await gateway.running.reload();
    assert.deepEqual(await chat(), { status: 403, code: 'access_denied' });
    replace('roles.yaml', good);
    await until(async () => (await chat()).code === 'ok');
  });

  it('keeps the old policies after a bad edit, says so in /readyz, and recovers', async () => {
    const good = shipped('guards.yaml');
    replace('guards.yaml', good.replace(' words: [', ' wrods: ['));
    await until(async () => (await readiness()).includes('did you mean'));
    assert.match(await readiness(), /guards\.yaml:\d+:\d+ guards\.denied-words\.wrods: unknown key/);
    assert.equal((await chat()).code, 'ok');
    replace('guards.yaml', good);
    await until(async () => !(await readiness()).includes('did you mean'));
  });

  it('keeps the old policies when a file is deleted', async () => {
    const good = shipped('limits.yaml');
    unlinkSync(join(gateway.policies, 'limits.yaml'));
    await until(async () => (await readiness()).includes('does not exist'));
    assert.equal((await chat()).code, 'ok');
    replace('limits.yaml', good);
    await until(async () => !(await readiness()).includes('does not exist'));
  });

  it('writes each swap into the audit log with both digests and the changed files', async () => {
    const records = (): Record<string, unknown>[] =>
      auditRecords().filter(({ event }) => event === 'policies_swapped');
    await until(async () => records().length > 3);
    const [swap] = records();
    assert.match(String(swap?.['old_digest']), /^[0-9a-f]{64}$/);
    assert.match(String(swap?.['new_digest']), /^[0-9a-f]{64}$/);
    assert.deepEqual(swap?.['changed_files'], ['roles.yaml']);
  });
});
