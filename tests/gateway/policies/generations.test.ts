// Bundles of 1,000 rules follow one another under load, each a generation whose number stands in four files. Every answer
// shows its generation in three places (a header of limits.yaml, the rule and role that decided, the digest in the audit
// record); a request that saw two bundles would show two numbers, or be refused because they do not fit together.
import assert from 'node:assert/strict';
import {
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startTestGateway, type TestGateway } from '../../support/start-gateway.ts';

const generations = 12;
const names = ['issuers.yaml', 'roles.yaml', 'rules.yaml', 'limits.yaml', 'guards.yaml', 'routes.yaml'];
let gateway: TestGateway;
let shipped: ReadonlyMap<string, string>;

before(async () => {
  gateway = await startTestGateway();
  shipped = new Map(names.map((name) => [name, readFileSync(join(gateway.policies, name), 'utf8')]));
});
after(() => gateway.close());

function filesOf(generation: number): ReadonlyMap<string, string> {
  const others = Array.from(
    { length: 999 },
    (_, index) =>
      `  - { name: other-${index}, effect: deny, clients: [client-${index}], when: request.max_tokens > ${generation} }\n`,
  );
  const changed: Record<string, string> = {
    'roles.yaml': `roles:\n  Generation-${generation}: { permits: [models.list] }\nassignments:\n  - { role: Generation-${generation}, subjects: [alice] }\n`,
    'rules.yaml': `rules:\n  - { name: generation-${generation}, effect: permit, roles: [Generation-${generation}], actions: [chat.completions.create], models: [tiny-gpt2] }\n${others.join('')}`,
    'limits.yaml': (shipped.get('limits.yaml') ?? '').replace(
      /(requests-per-principal:.*requests: )\d+/,
      `$1${1_000_000 + generation}`,
    ),
  };
  return new Map(names.map((name) => [name, changed[name] ?? shipped.get(name) ?? '']));
}

/** What a kubelet does: all files in a new folder, then one link is swapped. */
function swapIn(generation: number): void {
  const folder = `..generation-${generation}`;
  mkdirSync(join(gateway.policies, folder));
  for (const [name, text] of filesOf(generation)) writeFileSync(join(gateway.policies, folder, name), text);
  symlinkSync(folder, join(gateway.policies, '..data_tmp'));
  renameSync(join(gateway.policies, '..data_tmp'), join(gateway.policies, '..data'));
  rmSync(join(gateway.policies, `..generation-${generation - 1}`), { recursive: true, force: true });
}

interface Answered {
  readonly id: string;
  readonly status: number;
  /** From limits.yaml. */
  readonly limit: number;
}

async function chat(accessToken: string): Promise<Answered> {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'tiny-gpt2', messages: [{ role: 'user', content: 'hello' }] }),
  });
  await response.text();
  return {
    id: response.headers.get('x-request-id') ?? '',
    status: response.status,
    limit: Number(response.headers.get('x-ratelimit-limit-requests')),
  };
}

function auditRecords(): Record<string, unknown>[] {
  return readdirSync(gateway.auditFolder)
    .filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) => readFileSync(join(gateway.auditFolder, name), 'utf8').split('\n'))
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let round = 0; !holds(); round++) {
    assert.ok(round < 3_000, `it never came to hold: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('generations of 1,000 rules under load', () => {
  it('lose no request, and every request sees one of them, wholly', async () => {
    const accessToken = await gateway.mint({ sub: 'alice', roles: [] });
    swapIn(0);
    for (const name of names) {
      unlinkSync(join(gateway.policies, name));
      symlinkSync(join('..data', name), join(gateway.policies, name));
    }
    await gateway.running.reload();
    const answers: Answered[] = [];
    let isRunning = true;
    const load = Array.from({ length: 6 }, async () => {
      while (isRunning) answers.push(await chat(accessToken));
    });
    const highest = (): number => Math.max(...answers.map(({ limit }) => limit)) - 1_000_000;
    for (let generation = 1; generation <= generations; generation++) {
      swapIn(generation);
      // Half of them are noticed by the watch, half are asked for, some of these in vain.
      if (generation % 2 === 0) await Promise.all([gateway.running.reload(), gateway.running.reload()]);
      await until(`generation ${generation} is in use`, () => highest() >= generation);
    }
    isRunning = false;
    await Promise.all(load);

    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    const last = answers.at(-1)?.id;
    await until('the last answer is in the audit log', () =>
      auditRecords().some(({ request_id: id }) => id === last),
    );
    const records = new Map(auditRecords().map((record) => [record['request_id'], record]));
    const digests = new Map<number, Set<unknown>>();
    for (const { id, limit } of answers) {
      const record = records.get(id);
      const generation = limit - 1_000_000;
      assert.equal(record?.['decided_by'], `rules.generation-${generation}`, id);
      digests.set(generation, (digests.get(generation) ?? new Set()).add(record['policy']));
    }
    assert.ok(digests.size > generations, String(digests.size));
    assert.ok([...digests.values()].every((seen) => seen.size === 1));
    assert.equal(new Set([...digests.values()].flatMap((seen) => [...seen])).size, digests.size);
  });

  it('are each told in the audit log, with what changed', () => {
    const swaps = auditRecords().filter(({ event }) => event === 'policies_swapped');
    const newest = swaps.at(-1);
    assert.ok(swaps.length >= generations);
    assert.deepEqual(newest?.['changed_files'], ['roles.yaml', 'rules.yaml', 'limits.yaml'].toSorted());
    const changes = newest['changes'] as string[];
    assert.equal(changes.length, 50);
    assert.ok(changes.includes(`role Generation-${generations} added`));
    assert.ok(changes.includes(`rule generation-${generations} added`));
    assert.equal(newest['worker'], null);
  });
});
