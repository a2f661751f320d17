import assert from 'node:assert/strict';
import { cpSync, mkdirSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { pino } from 'pino';
import { ConfigurationError, type Finding } from '../../../core/yaml-file.ts';
import type { RequireTests } from '../../../gateway/policies/candidate.ts';
import { watchPolicies, type PolicyHolder, type PolicySwap } from '../../../gateway/policies/reload.ts';
import { context, edited, goodFiles, writePolicies } from './policy-directory.ts';

interface Watched {
  readonly directory: string;
  readonly holder: PolicyHolder;
  readonly swaps: PolicySwap[];
  readonly problems: (readonly Finding[])[];
  readonly logged: Record<string, unknown>[];
}

const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

/** A holder over a temporary directory; no issuer is there, which must not matter to the policies. */
function watchTemporary(
  options: { linked?: boolean; pollMs?: number; requireTests?: RequireTests; tests?: string } = {},
): Watched {
  const { directory: folder, remove } = writePolicies();
  if (options.tests !== undefined) writeTests(folder, options.tests);
  let directory = folder;
  if (options.linked === true) {
    directory = `${folder}-link`;
    symlinkSync(folder, directory);
  }
  const swaps: PolicySwap[] = [];
  const problems: (readonly Finding[])[] = [];
  const logged: Record<string, unknown>[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void logged.push(JSON.parse(line)) });
  const holder = watchPolicies({
    directory,
    context,
    requireTests: options.requireTests ?? 'when_present',
    authentication: { embeddedIssuer: context.embeddedIssuer, log },
    log,
    onSwap: (swap) => swaps.push(swap),
    onProblem: (findings) => problems.push(findings),
    pollMs: options.pollMs ?? 60_000,
    quietMs: 20,
  });
  open.push(() => {
    holder.close();
    remove();
    rmSync(directory, { recursive: true, force: true });
  });
  return { directory, holder, swaps, problems, logged };
}

/** Waits until something holds; gives up long after it should have, so that the test process ends. */
async function until(holds: () => boolean): Promise<void> {
  for (let round = 0; !holds(); round++) {
    assert.ok(round < 2_000, 'it never came to hold');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** What editors and deployments do: write beside, then rename over. */
function replace(directory: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(directory, `.${name}.tmp`), text);
    renameSync(join(directory, `.${name}.tmp`), join(directory, name));
  }
}

function writeTests(directory: string, text: string): void {
  mkdirSync(join(directory, 'tests'), { recursive: true });
  writeFileSync(join(directory, 'tests', 'people.yaml'), text);
}

const moreModels = edited('roles.yaml', 'models: [tiny-gpt2]', 'models: [tiny-gpt2, premium-*]');
const faulty = edited('roles.yaml', 'permits: [models.list', 'permts: [models.list');

describe('policies in use', () => {
  it('are swapped when a file is written in place', async () => {
    const { directory, holder, swaps } = watchTemporary();
    const before = holder.current();
    writeFileSync(join(directory, 'roles.yaml'), moreModels['roles.yaml'] ?? '');
    await until(() => swaps.length === 1);
    const after = holder.current();
    assert.deepEqual(swaps, [
      {
        oldDigest: before.digest,
        newDigest: after.digest,
        changedFiles: ['roles.yaml'],
        changes: ['role LLM.User: models +premium-*'],
        version: 2,
      },
    ]);
    assert.notEqual(after.authorization, before.authorization);
    assert.equal(after.version, 2);
  });

  it('are swapped when a file is replaced by renaming', async () => {
    const { directory, swaps } = watchTemporary();
    replace(directory, moreModels);
    await until(() => swaps.length === 1);
    replace(directory, { 'roles.yaml': goodFiles['roles.yaml'] ?? '' });
    await until(() => swaps.length === 2);
    assert.equal(swaps[0]?.oldDigest, swaps[1]?.newDigest);
  });

  it('are swapped once when several files change together', async () => {
    const { directory, holder, swaps } = watchTemporary();
    replace(directory, { ...edited('limits.yaml', 'requests: 60', 'requests: 61'), ...moreModels });
    await until(() => holder.current().version > 1);
    assert.deepEqual(swaps.at(-1)?.changedFiles, ['limits.yaml', 'roles.yaml']);
  });

  it('are swapped when the directory is a link that is pointed elsewhere', async () => {
    const { directory, swaps } = watchTemporary({ linked: true });
    const { directory: other, remove } = writePolicies(moreModels);
    open.push(remove);
    symlinkSync(other, `${directory}.new`);
    renameSync(`${directory}.new`, directory);
    await until(() => swaps.length === 1);
    assert.deepEqual(swaps[0]?.changedFiles, ['roles.yaml']);
  });

  it('are swapped when Kubernetes swaps ..data', async () => {
    const { directory, holder, swaps } = watchTemporary();
    for (const [version, files] of [
      ['..1', goodFiles],
      ['..2', { ...goodFiles, ...moreModels }],
    ] as const) {
      mkdirSync(join(directory, version));
      for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, version, name), text);
    }
    symlinkSync('..1', join(directory, '..data'));
    for (const name of Object.keys(goodFiles)) {
      unlinkSync(join(directory, name));
      symlinkSync(join('..data', name), join(directory, name));
    }
    assert.equal(await holder.reload(), true);
    assert.equal(swaps.length, 0);
    symlinkSync('..2', join(directory, '..data_tmp'));
    renameSync(join(directory, '..data_tmp'), join(directory, '..data'));
    await until(() => swaps.length === 1);
    assert.deepEqual(swaps[0]?.changedFiles, ['roles.yaml']);
  });

  it('are found by looking when no event comes, such as a change behind a link', async () => {
    const { directory, swaps } = watchTemporary({ pollMs: 25 });
    const { directory: elsewhere, remove } = writePolicies();
    open.push(remove);
    unlinkSync(join(directory, 'roles.yaml'));
    symlinkSync(join(elsewhere, 'roles.yaml'), join(directory, 'roles.yaml'));
    await new Promise((resolve) => setTimeout(resolve, 100));
    writeFileSync(join(elsewhere, 'roles.yaml'), moreModels['roles.yaml'] ?? '');
    await until(() => swaps.length === 1);
    assert.deepEqual(swaps[0]?.changedFiles, ['roles.yaml']);
  });

  it('stay when an edit has a fault, which is said once, and are swapped by the next good edit', async () => {
    const { directory, holder, swaps, problems, logged } = watchTemporary();
    const before = holder.current();
    replace(directory, faulty);
    await until(() => holder.problem() !== null);
    assert.equal(holder.current(), before);
    assert.match(
      holder.problem() ?? '',
      /roles\.yaml:3:5 roles\.LLM\.User\.permts: unknown key "permts"; did you mean "permits"\?/,
    );
    assert.equal(await holder.reload(), false);
    assert.equal(await holder.reload(), false);
    assert.equal(problems.length, 1);
    assert.equal(logged.filter((line) => line['level'] === 50).length, 1);

    replace(directory, moreModels);
    await until(() => swaps.length === 1);
    assert.equal(holder.problem(), null);
    assert.deepEqual(problems[1], []);
    assert.equal(swaps[0]?.oldDigest, before.digest);
  });

  it('stay when an edit with a fault is taken back, without a swap', async () => {
    const { directory, holder, swaps } = watchTemporary();
    const before = holder.current();
    replace(directory, faulty);
    assert.equal(await holder.reload(), false);
    replace(directory, { 'roles.yaml': goodFiles['roles.yaml'] ?? '' });
    assert.equal(await holder.reload(), true);
    assert.equal(holder.problem(), null);
    assert.equal(holder.current(), before);
    assert.equal(swaps.length, 0);
  });

  const damages: [string, (directory: string) => void][] = [
    ['a file is deleted', (directory) => unlinkSync(join(directory, 'limits.yaml'))],
    ['a file is emptied', (directory) => writeFileSync(join(directory, 'issuers.yaml'), '')],
    [
      'a file is cut in two',
      (directory) =>
        writeFileSync(join(directory, 'routes.yaml'), (goodFiles['routes.yaml'] ?? '').slice(0, 200)),
    ],
    ['the whole directory is deleted', (directory) => rmSync(directory, { recursive: true })],
    [
      'a file becomes a directory',
      (directory) => {
        unlinkSync(join(directory, 'guards.yaml'));
        mkdirSync(join(directory, 'guards.yaml'));
      },
    ],
    [
      'a link leads nowhere',
      (directory) => {
        unlinkSync(join(directory, 'guards.yaml'));
        symlinkSync('nowhere', join(directory, 'guards.yaml'));
      },
    ],
    [
      'the audience is emptied',
      (directory) => replace(directory, edited('issuers.yaml', '[api://sallyport]', '[]')),
    ],
    [
      'a file of another name appears',
      (directory) => writeFileSync(join(directory, 'rule.yaml'), 'rules: []'),
    ],
  ];
  for (const [what, damage] of damages) {
    it(`stay when ${what}`, async () => {
      const { directory, holder, swaps } = watchTemporary({ pollMs: 25 });
      const before = holder.current();
      damage(directory);
      await until(() => holder.problem() !== null);
      assert.equal(holder.current(), before);
      assert.equal(swaps.length, 0);
    });
  }

  it('come back after the whole directory was deleted and made again', async () => {
    const { directory, swaps, holder } = watchTemporary({ pollMs: 25 });
    rmSync(directory, { recursive: true });
    await until(() => holder.problem() !== null);
    const { directory: other, remove } = writePolicies(moreModels);
    open.push(remove);
    cpSync(other, directory, { recursive: true });
    await until(() => swaps.length > 0 && holder.problem() === null);
    writeFileSync(join(directory, 'roles.yaml'), goodFiles['roles.yaml'] ?? '');
    await until(() => swaps.length === 2);
  });

  it('are not held at all when the first bundle has a fault', () => {
    const { directory, remove } = writePolicies(faulty);
    const log = pino({ level: 'silent' });
    assert.throws(
      () => watchPolicies({ directory, context, requireTests: false, authentication: { log }, log }),
      ConfigurationError,
    );
    remove();
  });
});

/** A test file of one test; `name` tells it from others. */
const oneTest = (name: string, expect: string, model = 'tiny-gpt2'): string =>
  `- name: ${name}\n  as: { roles: [LLM.User] }\n  do: chat.completions.create\n  model: ${model}\n  expect: ${expect}\n`;

describe('policies whose own tests decide about their use', () => {
  const onlyTiny = oneTest('a user may not use premium models', 'model_not_found', 'premium-small');

  it('stay when a test of the edit fails, with the test, its place and the outcome, and are swapped when it passes', async () => {
    const { directory, holder, swaps, problems } = watchTemporary({ tests: onlyTiny });
    const before = holder.current();
    replace(directory, moreModels);
    await until(() => holder.problem() !== null);
    assert.equal(holder.current(), before);
    assert.match(
      holder.problem() ?? '',
      /tests\/people\.yaml:1:1 the test "a user may not use premium models" fails: expected model_not_found, got permit by roles\.LLM\.User \(role_permits\)/,
    );
    assert.deepEqual(
      problems[0]?.map(({ code }) => code),
      ['policy_test_failed'],
    );
    writeTests(directory, oneTest('a user may use premium models', 'permit', 'premium-small'));
    await until(() => swaps.length === 1);
    assert.equal(holder.problem(), null);
  });

  it('go on, and the failing test is told, when only a test changes', async () => {
    const { directory, holder, swaps } = watchTemporary({ tests: onlyTiny });
    const before = holder.current();
    writeTests(directory, oneTest('users are refused', 'deny'));
    await until(() => holder.problem() !== null);
    assert.match(holder.problem() ?? '', /"users are refused" fails/);
    assert.equal(holder.current(), before);
    writeTests(directory, onlyTiny);
    await until(() => holder.problem() === null);
    assert.equal(swaps.length, 0);
  });

  it('notice a folder of tests that is made later', async () => {
    const { directory, holder } = watchTemporary({ pollMs: 25 });
    assert.equal(await holder.reload(), true);
    writeTests(directory, oneTest('users are refused', 'deny'));
    await until(() => holder.problem() !== null);
  });

  it('stay when a test file has a fault or asks about what does not exist', async () => {
    const { directory, holder } = watchTemporary({ tests: onlyTiny });
    writeTests(directory, onlyTiny.replace('expect:', 'expct:'));
    assert.equal(await holder.reload(), false);
    assert.match(holder.problem() ?? '', /did you mean "expect"/);
    writeTests(directory, onlyTiny.replace('chat.completions.create', 'chat.completions.creat'));
    assert.equal(await holder.reload(), false);
    assert.match(holder.problem() ?? '', /chat\.completions\.creat/);
  });

  it('name at most twenty failing tests', async () => {
    const { directory, holder } = watchTemporary();
    writeTests(
      directory,
      Array.from({ length: 50 }, (_, index) => oneTest(`number ${index}`, 'deny')).join(''),
    );
    assert.equal(await holder.reload(), false);
    assert.equal(holder.problem()?.split('\n').length, 21);
    assert.match(holder.problem() ?? '', /30 further tests fail$/);
  });

  it('are not held at all when a test of the first bundle fails', () => {
    assert.throws(() => watchTemporary({ tests: oneTest('users are refused', 'deny') }), {
      name: 'ConfigurationError',
      message: /"users are refused" fails/,
    });
  });

  it('are not held without a test where tests are required', () => {
    assert.throws(() => watchTemporary({ requireTests: true }), {
      message: /gateway\.require_tests asks for tests/,
    });
  });

  it('stay when the tests are deleted where tests are required', async () => {
    const { directory, holder } = watchTemporary({ requireTests: true, tests: onlyTiny });
    rmSync(join(directory, 'tests'), { recursive: true });
    assert.equal(await holder.reload(), false);
    assert.match(holder.problem() ?? '', /there is no test/);
  });

  it('leave out tests about models that nobody serves, but not where tests are required', () => {
    const tests = oneTest('users may use what is not here', 'permit', 'gpt2-xl');
    assert.notEqual(watchTemporary({ tests }).holder.current(), null);
    assert.throws(() => watchTemporary({ tests, requireTests: true }), { message: /is not here" fails/ });
  });

  it('do not look at tests where that is switched off', async () => {
    const { directory, holder } = watchTemporary({ tests: 'no list of tests', requireTests: false });
    replace(directory, moreModels);
    assert.equal(await holder.reload(), true);
    assert.equal(holder.current().version, 2);
  });

  it('are read and tested beside the event loop: 1,000 rules and 1,000 tests hold up no timer for long', async () => {
    const { directory, holder, swaps } = watchTemporary();
    const rules = Array.from(
      { length: 1_000 },
      (_, index) =>
        `  - { name: rule-${index}, effect: deny, clients: [client-${index}], when: request.max_tokens > ${index} }\n`,
    );
    writeTests(
      directory,
      Array.from({ length: 1_000 }, (_, index) => oneTest(`number ${index}`, 'permit')).join(''),
    );
    replace(directory, { 'rules.yaml': `rules:\n${rules.join('')}` });
    let turns = 0;
    const ticking = setInterval(() => turns++, 1);
    assert.equal(await holder.reload(), true);
    clearInterval(ticking);
    assert.equal(swaps.length, 1);
    // In one piece it would let none through; how many there are is the machine's affair.
    assert.ok(turns >= 3, String(turns));
    assert.equal(swaps[0]?.changes.length, 50);
    assert.equal(swaps[0].changes.at(-1), 'and 951 more changes');
  });
});
