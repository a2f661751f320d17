import assert from 'node:assert/strict';
import { cpSync, mkdirSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { pino } from 'pino';
import { ConfigurationError, type Finding } from '../../../core/yaml-file.ts';
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
function watchTemporary(options: { linked?: boolean; pollMs?: number } = {}): Watched {
  const { directory: folder, remove } = writePolicies();
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
      { oldDigest: before.digest, newDigest: after.digest, changedFiles: ['roles.yaml'], version: 2 },
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
    assert.equal(holder.reload(), true);
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
    assert.equal(holder.reload(), false);
    assert.equal(holder.reload(), false);
    assert.equal(problems.length, 1);
    assert.equal(logged.filter((line) => line['level'] === 50).length, 1);

    replace(directory, moreModels);
    await until(() => swaps.length === 1);
    assert.equal(holder.problem(), null);
    assert.deepEqual(problems[1], []);
    assert.equal(swaps[0]?.oldDigest, before.digest);
  });

  it('stay when an edit with a fault is taken back, without a swap', () => {
    const { directory, holder, swaps } = watchTemporary();
    const before = holder.current();
    replace(directory, faulty);
    assert.equal(holder.reload(), false);
    replace(directory, { 'roles.yaml': goodFiles['roles.yaml'] ?? '' });
    assert.equal(holder.reload(), true);
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
      () => watchPolicies({ directory, context, authentication: { log }, log }),
      ConfigurationError,
    );
    remove();
  });
});
